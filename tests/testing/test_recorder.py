"""The recorder: what was written, by name and arguments, of both kinds of caches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import MutableMapping
from typing import Any

import pytest

from redis_sessions import InvalidInput, Message, Session, SessionNotActive
from redis_sessions.testing import fake_async_cache, fake_cache, record
from redis_sessions.testing._recorder import _WRITES, _noun

X = {"role": "user", "content": "x"}


def test_calls_are_recorded_with_names_and_arguments() -> None:
    """Each call that writes is recorded with its noun, target, arguments, result and error, and reads are not."""
    with fake_cache() as cache, record(cache) as recorder:
        session = cache.create("a", user_id="mia")
        session.append(X, Message("assistant", "hi"), batch_id="b1")
        session.info()
        session.history()
        session.state.put("n", 1)
        session.part("p").append(X, ids=["m1"])
        cache.documents("notes").put("d", "text")
        session.pause(reason="lunch")
        with pytest.raises(SessionNotActive):
            session.append(X)
    assert [(call.name, call.target) for call in recorder.calls] == [
        ("cache.create", ""), ("session.append", "a"), ("state.put", "a"), ("part.append", "p"), ("documents.put", "notes"),
        ("session.pause", "a"), ("session.append", "a"),
    ]  # fmt: skip
    first, second = recorder.named("session.append")
    assert (first.args[0], first.kwargs, first.result.last_seq, first.error) == (X, {"batch_id": "b1"}, 2, None)
    assert isinstance(second.error, SessionNotActive)
    assert recorder.named("session.pause")[0].kwargs == {"reason": "lunch"}
    assert recorder.messages == [("a", X), ("a", {"role": "assistant", "content": "hi"})]
    recorder.clear()
    assert recorder.calls == []
    with pytest.raises(InvalidInput, match="must be one of"):
        recorder.named("append")


READS = {
    "cache": "all_documents by_label categories checkpoints close count documents ensure from_url get "
    "get_documents iter_sessions leases list load monitor open ping scopes session shared threads watch worker workers",
    "session": "check_limits children context export history info is_cancel_requested join last_turn lease ledger load loop "
    "part parts retry_on_conflict turn wait_for_reply watch",
    "run": "requests wait_for",
    "lease": "info",
    "state": "all get",
    "documents": "all get get_bytes get_json get_many list",
    "checkpoints": "get namespaces page",
    "part": "get history info",
    "loop": "events turns",
}
"""The methods that do not write, or only by methods that are recorded, such as those of a worker's runs."""
READS |= {"variables": READS["state"], "shared": READS["state"], "run": f"{READS['session']} {READS['run']}"}


@pytest.mark.parametrize("pair", _WRITES, ids=lambda pair: _noun(pair[0]))
def test_each_method_that_writes_is_known(pair: tuple[type, type]) -> None:
    """Each public method of each class is recorded, or known as one that does not write."""
    for cls in pair:
        methods = {name for name in dir(cls) if not name.startswith("_") and callable(getattr(cls, name))}
        if issubclass(cls, MutableMapping):  # its other methods call methods that are recorded
            methods -= {*dir(MutableMapping)} - {"get", "clear"}
        assert methods == {*_WRITES[pair], *READS[_noun(cls)].split()}


def test_calls_of_handles_of_all_kinds_are_recorded() -> None:
    """A handle that creates its session has the noun session, and documents and checkpoints are recorded, too."""
    with fake_cache() as cache, record(cache) as recorder:
        cache.ensure("b").append(X)
        cache.put_documents({"notes": {"d": "text"}})
        thread = cache.checkpoints("t")
        thread.put("c1", state=b"s")
        thread.delete()
        cache.delete("b")
    assert [(call.name, call.target) for call in recorder.calls] == [
        ("session.append", "b"), ("cache.put_documents", ""), ("checkpoints.put", "t"), ("checkpoints.delete", "t"),
        ("cache.delete", ""),
    ]  # fmt: skip
    assert recorder.messages == [("b", X)]


def test_worker_and_its_handlers_are_recorded() -> None:
    """The writes of a handler, and the end that its worker gives the run, are recorded under the noun run."""

    def handle(run: Any) -> int:
        run.append({"role": "assistant", "content": "looking"})
        return 4

    with fake_cache() as cache, record() as recorder:
        cache.create("root").spawn("clerk", task="find").raise_if_refused()
        cache.worker("clerk", handle, until_idle=True)
    assert [call.name for call in recorder.calls] == ["cache.create", "session.spawn", "run.append", "run.complete"]
    assert recorder.named("run.complete")[0].args == (4,)


def test_asyncio_calls_are_recorded_alike() -> None:
    """Calls of an asyncio cache are recorded when they end, also those of tasks that run at once."""

    async def main() -> list[str]:
        async with fake_async_cache() as cache:
            with record(cache) as recorder:
                session = await cache.create("a")
                await asyncio.gather(*[session.append(X) for _ in range(5)])
                async with session.lease():
                    await session.send("hi")
            return [call.name for call in recorder.calls]

    names = asyncio.run(main())
    assert names[0] == "cache.create"
    assert names.count("session.append") == 5
    assert "session.send" in names


def test_recorder_hears_its_own_cache_in_all_threads() -> None:
    """A recorder of one cache does not hear another cache, and hears all threads. Nothing is changed after its block."""
    before = Session.append
    with fake_cache() as cache, fake_cache() as other, record(cache) as recorder, record() as everything:
        cache.create("a")
        other.create("b")
        threads = [threading.Thread(target=cache.session("a").append, args=(X,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Session.append is not before
    assert len(recorder.calls) == 5
    assert len(everything.calls) == 6
    assert Session.append is before
