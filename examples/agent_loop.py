"""Agent loops: record the configuration, usage and turns of each loop, and select the better of two candidates."""

from __future__ import annotations

import sys

from redis_sessions import Loop, Session, SessionCache

CONFIGS = [
    {"model": "small", "provider": "p", "temperature": 0.2},
    {"model": "large", "provider": "p", "temperature": 0.7},
]


def write_draft(loop: Loop, draft: str, tokens: int) -> None:
    """Record one model call in a loop. A retry of the same step counts its usage once."""
    usage = {"input": tokens, "output": len(draft), "total": tokens + len(draft)}
    loop.add_event({"type": "model_called"})
    loop.add_turn("user", inputs=["Write it."], output=draft, usage=usage)
    loop.record_usage("step-1", usage)
    loop.complete()


def write_candidates(session: Session) -> Loop:
    """Run a planning loop with two candidates below it. Return the selected candidate."""
    plan = session.start_loop(config=CONFIGS[0])
    for number, config in enumerate(CONFIGS, 1):
        candidate = session.start_loop(config=config, parent=plan.id, group="drafts")
        write_draft(candidate, "Belts turn." * number, tokens=100 * number)
    candidate.select(config_index=1, evaluation={"input": 30, "total": 30})
    plan.complete()
    return candidate


def main(url: str) -> None:
    with SessionCache.from_url(url, namespace="examples-loops", ttl="1h") as cache:
        session = cache.conversation("telegram-4711", inactivity="30m", user_id="mia")
        print(f"session formed by {session.info().formation.kind}")
        session.append({"role": "user", "content": "Write about belts."})

        selected = write_candidates(session)
        ledger = session.ledger()
        print(f"loops: {[(loop.config.model, loop.status) for loop in ledger.loops if loop.config]}")
        is_last = ledger.groups["drafts"].selected == selected.id
        print(f"selected of {len(ledger.siblings(selected.id))}: the last, {is_last}")
        print(f"used {ledger.usage.total} tokens, in {len(ledger.chain(selected.id))} levels of loops")

        turn = selected.turns().items[0]
        session.append({"role": "assistant", "content": turn.output})
        session.compact(session.info().last_seq, "Mia wanted a text about belts, and has it.")
        print(f"compacted: {[message.text for message in session.context()]}")
        session.delete()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded://")
