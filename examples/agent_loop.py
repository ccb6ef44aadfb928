"""An agent works in loops: what each was configured with, used and did is kept, and the better of two candidates is selected."""

from __future__ import annotations

import sys

from redis_sessions import Loop, Session, SessionCache

CONFIGS = [
    {"model": "small", "provider": "p", "temperature": 0.2},
    {"model": "large", "provider": "p", "temperature": 0.7},
]


def work(session: Session, loop: Loop, draft: str, tokens: int) -> None:
    """One exchange with a model, noted: a retry of the same step would count once."""
    usage = {"input": tokens, "output": len(draft), "total": tokens + len(draft)}
    loop.add_event({"type": "model_called"})
    loop.add_turn("user", inputs=["Write it."], output=draft, usage=usage)
    loop.record_usage("step-1", usage)
    loop.complete()


def main(url: str) -> None:
    with SessionCache.from_url(url, namespace="examples-loops", ttl=3600) as cache:
        session = cache.conversation("telegram-4711", inactivity=1800, user_id="mia")
        print(f"session formed by {session.info().formation.kind}")
        session.append({"role": "user", "content": "Write about belts."})

        plan = session.start_loop(config=CONFIGS[0])
        for number, config in enumerate(CONFIGS):
            candidate = session.start_loop(config=config, parent=plan.id, group="drafts")
            work(session, candidate, "Belts turn." * (number + 1), tokens=100 * (number + 1))
        candidate.select(config_index=1, evaluation={"input": 30, "total": 30})
        plan.complete()

        ledger = session.ledger()
        print(f"loops: {[(loop.config.model, loop.status) for loop in ledger.loops if loop.config]}")
        selected = ledger.groups["drafts"].selected
        print(f"selected of {len(ledger.siblings(candidate.id))}: the last, {selected == candidate.id}")
        print(f"used {ledger.usage.total} tokens, in {len(ledger.chain(candidate.id))} levels of loops")
        (turn,) = candidate.turns()
        session.append({"role": "assistant", "content": turn.output})
        print(f"it wrote: {turn.output}")

        session.compact(session.info().last_seq, "Mia wanted a text about belts, and has it.")
        print(f"compacted: {[message.text for message in session.context()]}")
        session.delete()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded://")
