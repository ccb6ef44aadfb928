"""Worst cases of transcripts: long ones, wide ones, pinned ones, and ones with many open calls."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from redis_sessions import Message, OutcomeUnknown, Session
from redis_sessions._core.commands import deltas, forks, messages
from redis_sessions._core.protocol.keys import session_keys, staged_keys

from .stage import BATCH, LONG, Case, Stage, text

WIDE = 100
"""Messages of a session with the default cap."""
CALLS = 800
"""The most calls and results of a batch."""
TINY = {"role": "user", "content": "x"}


def _call(number: int) -> dict[str, Any]:
    calls = [{"id": f"call_{number}", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _answer(number: int) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": "y"}


def _wide(stage: Stage, **options: Any) -> Session:
    """Return a session of messages of 1 MB, as many as the default cap retains."""
    session = stage.session(**options)
    for number in range(stage.scaled(WIDE)):
        session.append(text(stage.message_bytes, "assistant" if number % 2 else "user"))
    return session


def _long(stage: Stage, count: int = LONG, **options: Any) -> Session:
    """Return a session of tiny messages."""
    session, left = stage.session(**options), stage.scaled(count)
    pair = [TINY, {"role": "assistant", "content": "y"}]
    while left > 0:
        session.append(*(pair * BATCH)[: min(left, BATCH)])
        left -= BATCH
    return session


def _pinned(stage: Stage) -> Session:
    """Return a session with a full cap whose older half is pinned."""
    size = min(stage.scaled(LONG), 1000)
    count = stage.scaled(LONG) // size * size
    session = stage.session(max_messages=2 * count)
    for _ in range(count // size):
        session.append(*[Message("user", "x", pinned=True) for _ in range(size)])
    for _ in range(count // size):
        session.append(*[TINY] * size)
    return session


def append_huge(stage: Stage) -> None:
    """One message of 1 MB, and a batch of 1 MB."""
    plain = stage.session()
    with stage.measured():
        plain.append(text(stage.message_bytes))
    with stage.measured():
        plain.append(*[text(stage.message_bytes // 4)] * 4)


def append_many(stage: Stage) -> None:
    session = _long(stage)
    with stage.measured():
        session.append(*[TINY] * stage.scaled(BATCH))


def append_calls(stage: Stage) -> None:
    """Calls and then their results: more than can be open."""
    session, count = stage.session(), stage.scaled(CALLS)
    with stage.measured():
        for first in range(0, 6 * count, count):
            session.append(*[_call(number) for number in range(first, first + count)])
        for first in range(0, 6 * count, count):
            session.append(*[_answer(number) for number in range(first, first + count)])


def append_calls_at_cap(stage: Stage) -> None:
    """Open calls hold the cap, and messages of the user come."""
    count = stage.scaled(BATCH)
    session, some = stage.session(max_messages=count), stage.scaled(CALLS)
    for first in range(0, count, some):
        session.append(*[_call(number) for number in range(first, first + some)])
    with stage.measured():
        session.append(*[TINY] * count)
        session.append(TINY)


def trim_many(stage: Stage) -> None:
    session = _long(stage, max_messages=stage.scaled(LONG))
    with stage.measured():
        session.append(*[TINY] * stage.scaled(BATCH))


def trim_huge(stage: Stage) -> None:
    session = _wide(stage, max_messages=stage.scaled(WIDE))
    with stage.measured():
        session.append(text(stage.message_bytes))
        session.append(*[text(stage.message_bytes // 4)] * 4)


def lower_cap(stage: Stage) -> None:
    """The cap is lowered from 10,000 to 100, of messages of 10 KB each."""
    session = stage.session(max_messages=stage.scaled(LONG))
    for _ in range(0, stage.scaled(LONG), 100):
        session.append(*[text(10_000)] * 100)
    session.patch(max_messages=stage.scaled(WIDE))
    with stage.measured():
        session.append(TINY)


def pin_all(stage: Stage) -> None:
    count = stage.scaled(LONG)
    session = _long(stage, max_messages=2 * count)
    with stage.measured():
        for seq in range(1, count + 1, max(count // 20, 1)):
            session.pin(seq)
            session.unpin(seq)


def pin_group(stage: Stage) -> None:
    """A group of the most messages is pinned as a whole, and its calls are given up, in a session without a cap."""
    session, count = stage.session(), stage.scaled(CALLS)
    session.append(*[_call(number) for number in range(count)])
    session.append(*[_answer(number) for number in range(count - 1)])
    with stage.measured():
        session.pin(2)
        session.unpin(2)
    session = _long(stage, 2 * LONG)
    session.append(_call(0))
    session.append(*[TINY] * min(998, stage.scaled(BATCH)))
    with stage.measured():
        session.pin(stage.scaled(2 * LONG) + 2)
        session.abandon_calls()
    session.append(*[_call(number) for number in range(count)])
    session.append(*[_call(number) for number in range(count, 2 * count)])
    with stage.measured():
        session.abandon_calls()


def pinned_at_cap(stage: Stage) -> None:
    session = _pinned(stage)
    with stage.measured():
        for _ in range(20):
            session.append(TINY)
        session.append(*[TINY] * stage.scaled(BATCH))
        for _ in range(20):
            session.append(TINY)
    with stage.measured():
        session.history(1000)
        session.history(10)
        session.context()
        session.history(10, role="assistant")
        session.last_turn()
    with stage.measured():
        for seq in range(1, stage.scaled(LONG), max(stage.scaled(LONG) // 10, 1)):
            session.unpin(seq)
    with stage.measured():
        session.fork()
    with stage.measured():
        session.pop()
        session.compact(keep=10, summary="s")
    with stage.measured():
        session.clear()


def kept_wide(stage: Stage) -> None:
    """The cap moved 50 pinned messages of 1 MB to the hash."""
    cap = stage.scaled(WIDE)
    session = stage.session(max_messages=cap)
    for _ in range(cap // 2):
        session.append(Message("user", "x" * (stage.message_bytes - 100), pinned=True))
    for _ in range(2 * cap):
        session.append(TINY)
    with stage.measured():
        session.fork()
        session.fork(up_to_seq=2)
        session.append(TINY)
    with stage.measured():
        session.replace(TINY, after_seq=1)


def compact_long(stage: Stage) -> None:
    session = _long(stage, max_messages=None)
    with stage.measured():
        session.compact(stage.scaled(LONG) - 1, "summary")


def compact_wide(stage: Stage) -> None:
    session = _wide(stage)
    with stage.measured():
        session.compact(stage.scaled(WIDE) - 1, "summary")


def fork_long(stage: Stage) -> None:
    session = _long(stage, 2 * LONG)
    with stage.measured():
        session.fork()
        session.fork(up_to_seq=stage.scaled(2 * LONG) // 2)
        session.spawn("a", context="fork").raise_if_refused()
        keys, new = (session_keys(stage.cache.namespace, one.id) for one in (session, stage.cache.session("new")))
        copy = staged_keys(stage.cache.namespace, "new", "fork")
        stage.cache._context.executor.run(forks.copy_part(keys, "", new, copy, None))


def fork_wide(stage: Stage) -> None:
    session = _wide(stage)
    with stage.measured():
        session.fork()
    with stage.measured():
        session.spawn("a", context="fork").raise_if_refused()


def edit_long(stage: Stage) -> None:
    session = _long(stage, 2 * LONG)
    with stage.measured():
        session.pop()
    with stage.measured():
        session.replace(TINY, after_seq=10)
    session = _long(stage, 2 * LONG)
    with stage.measured():
        session.replace(5, TINY)
        session.replace(TINY)
    session = _long(stage, 2 * LONG)
    with stage.measured():
        session.clear()


def edit_wide(stage: Stage) -> None:
    session = _wide(stage)
    with stage.measured():
        session.replace(5, text(stage.message_bytes))
        session.replace(6, text(stage.message_bytes, "assistant"))
    with stage.measured():
        session.replace(TINY, after_seq=1)
    session = _wide(stage)
    with stage.measured():
        session.clear()
    session = stage.session()
    with stage.measured():
        session.import_messages([text(stage.message_bytes)])
        session.pop()


def edit_gaps(stage: Stage) -> None:
    """Pops and appends in turn leave as many gaps as a session may have."""
    session = _long(stage, 2000)
    for _ in range(stage.scaled(1500)):
        try:
            session.append(TINY)
            session.pop()
        except Exception:  # the gaps have their bound
            break
        session.append({"role": "assistant", "content": "z"})
    with stage.measured():
        session.append(TINY)
        session.history(1000)
        session.history(1000, role="user")
        session.context()
        session.last_turn()
        session.turn(1)
        session.pin(3)
        session.fork()


def read_wide(stage: Stage) -> None:
    session = _wide(stage)
    with stage.measured():
        session.history()
        session.context(10**9)
        session.history(role="user")
        session.history(include_tools=False)
        session.last_turn()
    session = stage.session()
    session.append(TINY)
    for _ in range(stage.scaled(WIDE)):
        session.append(text(stage.message_bytes, "assistant"))
    with stage.measured():
        session.last_turn()
    mixed = stage.session()
    for _ in range(stage.scaled(20)):
        mixed.append(*[TINY] * stage.scaled(1000))
        mixed.append(text(stage.message_bytes))
    with stage.measured():
        mixed.history(1000)
        mixed.history()
        mixed.context(10**9)


def read_long(stage: Stage) -> None:
    session = stage.session()
    session.append(TINY)
    for _ in range(10):
        session.append(*[{"role": "assistant", "content": "y"}] * stage.scaled(BATCH))
    with stage.measured():
        session.history()
        session.history(10, role="user")
        session.history(role="user")
        session.history(role="assistant")
        session.context(10**9)
        session.last_turn()
        session.turn(1)
    with stage.measured():
        session.append(TINY)
        session.pop()


def repeat_batches(stage: Stage) -> None:
    """An append is tried again whose result left the window of the results."""
    session = _long(stage, 2 * LONG)
    wide = _wide(stage)
    context = stage.cache._context
    with stage.measured():
        for one in (session, wide):
            for batch in ([TINY], [TINY] * 2):
                call = messages.append(
                    session_keys(context.namespace, one.id), "", "", batch, context.counter, batch_id="gone"
                )
                call.mark_retry(60_000)
                with suppress(OutcomeUnknown):
                    context.executor.run(call)


def turns_of_cap(stage: Stage) -> None:
    """A cap of whole turns with one turn of the most messages."""
    count = stage.scaled(BATCH)
    session = stage.session(max_messages=count, cap_policy="turn")
    session.append(TINY, *[{"role": "assistant", "content": "y"}] * (count - 1))
    with stage.measured():
        for _ in range(3):
            session.append({"role": "assistant", "content": "y"})
        session.append(TINY)
        session.append(TINY)


def watched(stage: Stage) -> None:
    """A session with 1,000 subscribers."""
    session, context = stage.session(), stage.cache._context
    keys = session_keys(context.namespace, session.id)
    for purpose in ("watch", "message"):
        for number in range(stage.scaled(1000)):
            nonce = f"{number:016x}"
            context.executor.run(
                messages.subscribe(keys, "", nonce, 600_000, "chan:wake:0123456789ab", False, purpose, 1000)
            )
        with stage.measured():
            context.executor.run(messages.subscribe(keys, "", "x", 600_000, "chan", False, purpose, 1001))
            session.publish({"x": "y" * 1000})
            session.append(TINY)
            session.pause()
            session.resume()
    with stage.measured():
        session.delete()


def answered(stage: Stage) -> None:
    """An answer with as many deltas as the bound allows, each as small as can be, and one that makes 64 KiB of them leave."""
    session = stage.session()
    for _ in range(stage.scaled(2600)):
        session.publish("")
    with stage.measured():
        stage.cache._context.executor.run(deltas.read_deltas(session._keys, "", 0, 0))
        session.publish("x" * 65_000)
        session.publish("", restart=True)
        session.append(TINY)


CASES = [
    Case("1 MB, and a batch of 1 MB", append_huge),
    Case("a batch of 2,000 messages", append_many),
    Case("batches of 800 calls and of 800 results", append_calls),
    Case("open calls at the cap", append_calls_at_cap),
    Case("2,000 messages leave by the cap", trim_many),
    Case("1 MB leaves by the cap", trim_huge),
    Case("100 MB leave by a lower cap", lower_cap),
    Case("pin and unpin in 10,000", pin_all),
    Case("pin and abandon a group of 1,000", pin_group),
    Case("10,000 pinned at the cap", pinned_at_cap),
    Case("50 pinned messages of 1 MB left the list", kept_wide),
    Case("compact 10,000", compact_long),
    Case("compact 100 MB", compact_wide),
    Case("fork of 20,000 messages", fork_long),
    Case("fork of 100 MB", fork_wide),
    Case("edits of 20,000 messages", edit_long),
    Case("edits of 100 MB", edit_wide),
    Case("gaps", edit_gaps),
    Case("reads of 100 MB", read_wide),
    Case("reads of 20,000 messages", read_long),
    Case("an append tried again", repeat_batches),
    Case("a turn of 2,000 messages", turns_of_cap),
    Case("1,000 subscribers", watched),
    Case("2,600 deltas", answered),
]
