"""Checkpoints of a thread: shared blobs, pending writes, pages, drops and copies."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from redis_sessions import (
    AsyncSessionCache,
    BoundExceeded,
    Checkpoints,
    CheckpointWrite,
    InvalidInput,
    SessionCache,
    SessionDamaged,
)
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import checkpoint_keys
from tests.conftest import fake_client
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server

LARGE = {"a": b"x" * 800_000, "b": b"x" * 800_000}
"""Blobs of more than one call."""


def put(thread: Checkpoints, id: str, versions: dict[str, str], **given: Any) -> None:
    """Store a checkpoint whose new blobs are the versions that end with the ID."""
    blobs = {channel: f"{channel}{version}".encode() for channel, version in versions.items() if version == id}
    thread.put(id, state=id.encode(), versions=versions, blobs=blobs, **given)


def test_checkpoint_is_returned_as_stored(cache: SessionCache) -> None:
    """A checkpoint comes back with its parent, metadata, label, versions and blobs, the newest by default."""
    thread = cache.checkpoints("t")
    assert thread.get() is None
    put(thread, "1", {"a": "1", "b": "1", "": "0"})
    put(thread, "2", {"a": "1", "b": "2"}, parent="1", metadata=b"\x00\xff", label="run")
    found = thread.get()
    assert found is not None
    assert found[:6] == ("", "2", "1", b"2", b"\x00\xff", "run")
    assert (found.versions, found.blobs) == ({"a": "1", "b": "2"}, {"a": b"a1", "b": b"b2"})
    first = thread.get("1")
    assert first is not None
    assert (first.parent, first.label, first.blobs) == (None, None, {"a": b"a1", "b": b"b1"})
    assert thread.get("3") is None
    assert thread.get(namespace="other") is None


def test_repeated_put_changes_nothing(cache: SessionCache) -> None:
    """A checkpoint that is put again replaces itself, and its blobs are removed with it."""
    thread = cache.checkpoints("t")
    for _ in range(3):
        put(thread, "1", {"a": "1"}, label="run")
    assert len(thread.page().items) == 1
    put(thread, "1", {"a": "2"}, label="other")
    assert cache.threads(labels=["run"]).items == []
    assert thread.drop(keep=0) == 1
    assert not thread.delete()


def test_pending_write_is_stored_once(cache: SessionCache) -> None:
    """A task writes each number once, unless the write replaces, and writes are ordered by path, task and number."""
    thread = cache.checkpoints("t")
    assert thread.write("1", [CheckpointWrite("b", 0, "c", b"early", "~2")]) == 1
    put(thread, "1", {})
    assert thread.write("1", [CheckpointWrite("z", 10, "c", b"1", "~1"), CheckpointWrite("z", 9, "c", b"2", "~1")]) == 2
    assert thread.write("1", [CheckpointWrite("b", 0, "c", b"late"), CheckpointWrite("b", -1, "e", b"x")]) == 1
    assert thread.write("1", [CheckpointWrite("b", -1, "e", b"y", replaces=True)]) == 0
    found = thread.get("1")
    assert found is not None
    assert [(one.task, one.number, one.data) for one in found.writes] == [
        ("b", -1, b"y"), ("z", 9, b"2"), ("z", 10, b"1"), ("b", 0, b"early"),
    ]  # fmt: skip
    assert thread.write("1", []) == 0


def test_page_is_newest_first(cache: SessionCache) -> None:
    """Pages go from the newest to the oldest checkpoint, of one namespace or of all, below an ID, and with one ID."""
    thread = cache.checkpoints("t")
    for number in range(5):
        put(thread, str(number), {"a": str(number)})
        put(thread, str(number), {"a": str(number)}, namespace="x|y")

    def ids(**given: Any) -> list[str]:
        found, cursor = [], None
        while True:
            page = thread.page(2, cursor, **given)
            found += [one.namespace + one.id for one in page.items]
            cursor = page.cursor
            if cursor is None:
                return found

    assert ids(namespace="") == ["4", "3", "2", "1", "0"]
    assert ids(namespace="x|y", before="2") == ["x|y1", "x|y0"]
    assert ids(before="2") == ["x|y1", "1", "x|y0", "0"]
    assert ids(id="3") == ["x|y3", "3"]
    assert ids(id="3", namespace="") == ["3"]
    assert ids(id="3", before="3") == []
    assert ids(namespace="x") == []
    assert thread.namespaces() == (["", "x|y"], None)
    first = thread.namespaces(1)
    assert (first.items, thread.namespaces(1, first.cursor)) == ([""], (["x|y"], None))


def test_blob_is_removed_with_its_last_checkpoint(cache: SessionCache) -> None:
    """A drop keeps the newest checkpoints of each namespace with their blobs, and removes what no checkpoint names."""
    thread = cache.checkpoints("t")
    for number in range(4):
        put(thread, str(number), {"old": "0", "new": str(number)})
        thread.write(str(number), [CheckpointWrite("t", 0, "c", b"x")])
    thread.write("05", [CheckpointWrite("t", 0, "c", b"of a checkpoint that was never stored")])
    put(thread, "9", {}, namespace="other")
    assert thread.drop(keep=2, exclude=[("", "0")]) == 1
    assert [(one.id, sorted(one.blobs), len(one.writes)) for one in thread.page(namespace="").items] == [
        ("3", ["new", "old"], 1), ("2", ["new", "old"], 1), ("0", ["new", "old"], 1),
    ]  # fmt: skip
    assert thread.drop(keep=1) == 2
    assert thread.drop(ids=[("", "3"), ("other", "9"), ("", "missing")]) == 2
    assert cache.threads().items == []
    assert not thread.delete()


def test_label_finds_checkpoints(cache: SessionCache) -> None:
    """Threads are found by the labels of their checkpoints, which a drop removes."""
    for name in ("a", "b", "c"):
        put(cache.checkpoints(name), "1", {"x": "1"}, label="run" if name != "b" else None)
    assert (cache.threads().items, cache.threads(labels=["run", "no"]).items) == (["a", "b", "c"], ["a", "c"])
    assert cache.threads(1) == (["a"], "a")
    assert cache.checkpoints("a").drop(labels=["run"]) == 1
    assert cache.threads().items == ["b", "c"]


def test_copy_has_everything(cache: SessionCache) -> None:
    """A copy has all checkpoints with their blobs and pending writes, and can be repeated."""
    thread, copy = cache.checkpoints("t"), cache.checkpoints("copy")
    for number in range(3):
        put(thread, str(number), {"old": "0", "new": str(number)}, parent=str(number - 1) if number else None)
    thread.write("2", [CheckpointWrite("t", 0, "c", b"x")])
    for _ in range(2):
        assert thread.copy("copy") == 3
        assert copy.page().items == thread.page().items
    assert thread.delete() is True
    assert len(copy.page().items) == 3
    assert cache.threads().items == ["copy"]


def test_large_blobs_travel_in_parts(cache: SessionCache) -> None:
    """Blobs of several MB are stored and read in parts, and a page ends early."""
    thread = cache.checkpoints("t")
    blobs = {f"c{number}": bytes([number]) * 400_000 for number in range(8)}
    versions = dict.fromkeys(blobs, "1")
    thread.put("1", state=b"s", versions=versions, blobs=blobs)
    thread.put("2", state=b"s", versions=versions)
    found = thread.get("2")
    assert found is not None
    assert found.blobs == blobs
    page = thread.page()
    assert [one.id for one in page.items] == ["2"]
    assert [one.blobs == blobs for one in thread.page(cursor=page.cursor).items] == [True]


def test_put_repeats_blobs_that_were_dropped(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A put whose first blobs were removed by a drop in the meantime stores them again."""
    thread, executor = cache.checkpoints("t"), cache._context.executor
    blobs = {f"c{number}": b"x" * 600_000 for number in range(3)}
    versions = dict.fromkeys(blobs, "1")
    thread.put("0", state=b"", versions=versions, blobs=blobs)
    run, dropped = executor.run, list[int]()

    def run_after_drop(call: Any, *rest: Any) -> Any:
        if call.script is not None and call.script.name == "checkpoints/put" and not dropped:
            dropped.append(True)
            thread.drop(ids=[("", "0")])
        return run(call, *rest)

    monkeypatch.setattr(executor, "run", run_after_drop)
    thread.put("1", state=b"", versions=versions, blobs=blobs)
    found = thread.get()
    assert found is not None
    assert (found.id, found.blobs == blobs) == ("1", True)


class Killed(Exception):
    """Stands for the end of a process."""


@contextmanager
def killed_before_put(cache: SessionCache) -> Iterator[None]:
    """End the block as a process ends that dies before its put of a checkpoint, behind the blobs."""
    executor = cache._context.executor
    run = executor.run

    def run_until_put(call: Any, *rest: Any) -> Any:
        if call.script is not None and call.script.name == "checkpoints/put":
            raise Killed
        return run(call, *rest)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(executor, "run", run_until_put)
        yield


def test_death_between_parts_of_put_leaves_no_checkpoint(cache: SessionCache) -> None:
    """A process that dies between the parts of a large put leaves no checkpoint, and a thread that is listed and deleted."""
    thread = cache.checkpoints("t")
    with killed_before_put(cache):
        blobs = {f"c{number}": b"x" * 600_000 for number in range(3)}
        thread.put("1", state=b"", versions=dict.fromkeys(blobs, "1"), blobs=blobs)
    assert (thread.get(), thread.page().items, cache.threads().items) == (None, [], ["t"])
    assert thread.delete()
    assert cache.threads().items == []


def test_blobs_of_a_put_that_never_came_are_removed(cache: SessionCache) -> None:
    """A later large put removes the blobs of a process that died between the parts of its put, and no blob that is in use."""
    thread, run = cache.checkpoints("t"), cache._context.executor.run

    def large(version: str) -> dict[str, Any]:
        blobs = {f"c{number}": b"x" * 600_000 for number in range(3)}
        return {"state": b"", "versions": dict.fromkeys(blobs, version), "blobs": blobs}

    def stored() -> set[str]:
        fields = run(Call(("HKEYS", thread._keys.values), thread._keys, list, writes=False))
        return {field.decode().rpartition("\n")[2] for field in fields if field.startswith(b"b\n")}

    thread.put("1", **large("used"))
    with killed_before_put(cache):
        thread.put("2", **large("dead"))
    thread.put("3", **large("early"))
    assert stored() == {"used", "dead", "early"}
    names = thread._keys.names
    for mark in run(Call(("ZRANGEBYLEX", names, "[s", "(t"), thread._keys, list, writes=False)):  # the hour is over
        run(Call(("ZREM", names, mark), thread._keys, int))
        run(Call(("ZADD", names, 0, mark[:2] + b"0" * 16 + mark[18:]), thread._keys, int))
    thread.put("4", **large("new"))
    assert stored() == {"used", "early", "new"}
    assert [one.id for one in thread.page().items] == ["4"]
    assert thread.drop(keep=0) == 3
    assert stored() == set()


def test_thread_that_another_process_deleted_is_listed_when_it_is_written_again(url: str, namespace: str) -> None:
    """A process that registered a thread registers it again when it creates it again: after a deletion and after an expiry."""
    with SessionCache.from_url(url, namespace=namespace) as cache, SessionCache(cache) as other:
        for write in (
            lambda: put(cache.checkpoints("t"), "1", {"a": "1"}),
            lambda: cache.checkpoints("t").write("1", [CheckpointWrite("t", 0, "c", b"x")]),
            lambda: cache.checkpoints("t").put("1", state=b"", versions={"a": "1", "b": "1"}, blobs=LARGE),
        ):
            put(cache.checkpoints("t"), "1", {"a": "1"})
            assert other.checkpoints("t").delete()
            assert other.threads().items == []
            write()
            assert other.threads().items == ["t"]
        put(cache.checkpoints("e", ttl=0.2), "1", {"a": "1"})
        time.sleep(0.3)
        assert other.threads().items == ["t"]
        put(cache.checkpoints("e"), "1", {"a": "1"})
        assert other.threads().items == ["e", "t"]


def test_thread_expires_as_a_whole(cache: SessionCache) -> None:
    """A thread expires after its idle time, and leaves the list of threads."""
    thread = cache.checkpoints("t", ttl=0.2)
    put(thread, "1", {"a": "1"})
    thread.write("1", [CheckpointWrite("t", 0, "c", b"x")])
    time.sleep(0.3)
    assert (thread.get(), thread.page().items, cache.threads().items) == (None, [], [])
    cache.checkpoints("t", ttl=0.2).write("1", [CheckpointWrite("t", 0, "c", b"x")])
    put(cache.checkpoints("t"), "1", {"a": "1"})
    time.sleep(0.3)
    assert thread.get() is not None


@pytest.mark.parametrize(
    "given",
    [
        {"id": ""},
        {"id": "a\nb"},
        {"id": 5},
        {"namespace": "\x00"},
        {"parent": ""},
        {"label": "\r"},
        {"state": "text"},
        {"metadata": b"x" * 101},
        {"versions": {"a": ""}},
        {"versions": {"a\n": "1"}},
        {"blobs": {"unknown": b""}},
        {"blobs": {"a": b"x" * 101}},
        {"versions": {"a": "1", "b": "1", "c": "1"}},
    ],
)
def test_bad_checkpoint_is_refused(given: dict[str, Any]) -> None:
    """A name, a type or a size that is not valid is refused, and nothing is stored."""
    bounds = {
        "checkpoint_bytes": 100,
        "blob_bytes": 100,
        "checkpoint_blobs": 2,
        "checkpoints": 1,
        "checkpoint_writes": 1,
    }
    with SessionCache.from_url("fake://", bounds=bounds) as cache:
        thread = cache.checkpoints("t")
        with pytest.raises(InvalidInput):
            thread.put(**{"id": "1", "state": b"", "versions": {"a": "1"}, **given})
        assert (thread.get(), cache.threads().items) == (None, [])
        put(thread, "1", {})
        with pytest.raises(BoundExceeded, match="checkpoints"):
            put(thread, "2", {})
        thread.write("1", [CheckpointWrite("t", 0, "c", b"")])
        with pytest.raises(BoundExceeded, match="checkpoint_writes"):
            thread.write("1", [CheckpointWrite("t", 1, "c", b"")])
        for write in (CheckpointWrite("", 0, "c", b""), CheckpointWrite("t", True, "c", b""), ("t", 0, "c", b"")):
            with pytest.raises(InvalidInput):
                thread.write("1", [write])  # type: ignore[list-item]
        for drop in ({"keep": -1}, {"keep": 1, "labels": ["x"]}, {"ids": [("", "")]}):
            with pytest.raises(InvalidInput):
                thread.drop(**drop)
        with pytest.raises(InvalidInput, match="thread"):
            cache.checkpoints("a b")


def test_damaged_checkpoint_names_its_thread() -> None:
    """A checkpoint that cannot be read is an error that names the thread, and others are readable."""
    with SessionCache.from_url("fake://") as cache:
        thread = cache.checkpoints("t")
        put(thread, "1", {"a": "1"})
        put(thread, "2", {"a": "1"})
        fake_client(cache).hset(checkpoint_keys("sessions", "t").values, "c\n\n2", b"9 9 9 9\ncut")
        with pytest.raises(SessionDamaged, match="'t'"):
            thread.get()
        assert thread.get("1") is not None


def test_put_over_lossy_network_is_stored_once(server: Server, namespace: str) -> None:
    """Puts and writes whose replies were lost are stored once, and their blobs are counted once."""
    losses = Losses(requests=0.05, replies=0.1)
    with (
        proxy(server.port, losses) as port,
        SessionCache.from_url(f"redis://127.0.0.1:{port}", namespace=namespace, timeout=0.2, retry_for=120) as lossy,
    ):
        for number in range(100):
            put(lossy.checkpoints("t"), f"{number:03}", {"old": "000", "new": f"{number:03}"})
            lossy.checkpoints("t").write(f"{number:03}", [CheckpointWrite("t", 0, "c", b"x")])
    assert losses.lost_replies > 0
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        thread = cache.checkpoints("t")
        found = thread.page(1000).items
        assert ([len(one.writes) for one in found], [len(one.blobs) for one in found]) == ([1] * 100, [2] * 100)
        assert thread.drop(keep=0) == 100
        assert not thread.delete()
    server.client.flushall()


def test_random_branches_keep_their_blobs(cache: SessionCache) -> None:
    """After random puts, repetitions and drops each checkpoint has the blobs that it named, and nothing else stays."""
    thread, random_ = cache.checkpoints("t"), random.Random(7)
    model: dict[str, dict[str, bytes]] = {}
    for number in range(60):
        parent = random_.choice(list(model)) if model else None
        values = {**(model[parent] if parent else {}), random_.choice("abc"): f"{number:03}".encode()}
        model[f"{number:03}"] = values
        versions = {channel: data.decode() for channel, data in values.items()}
        new = {channel: data for channel, data in values.items() if data == f"{number:03}".encode()}
        for _ in range(random_.choice((1, 1, 2))):
            thread.put(f"{number:03}", state=b"", versions=versions, blobs=new, parent=parent)
        if number % 7 == 6:
            gone = random_.sample(sorted(model), 3)
            assert thread.drop(ids=[("", id) for id in gone]) == 3
            for id in gone:
                del model[id]
    assert {one.id: one.blobs for one in thread.page(1000).items} == model
    assert thread.drop(keep=0) == len(model)
    assert not thread.delete()


def test_async_checkpoints_return_the_same(url: str, namespace: str) -> None:
    """The async methods have the same names and return the same values, in a loop of its own for each call."""

    async def step(number: int) -> int:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            thread = cache.checkpoints("t")
            await asyncio.gather(*[thread.put(f"{number}.{one}", state=b"x") for one in range(5)])
            await thread.write(f"{number}.0", [CheckpointWrite(str(number), 0, "c", b"x")])
            found = await thread.get(f"{number}.0")
            assert found is not None
            return len((await thread.page()).items)

    counts = [asyncio.run(step(number)) for number in range(3)]
    assert counts == ([5, 5, 5] if url == "fake://" else [5, 10, 15])


def test_drop_reads_generators_once(cache: SessionCache) -> None:
    """IDs, labels and exclusions of a drop may be generators: what they name is removed, or stays."""
    thread: Any = cache.checkpoints("t")
    for id in "12345":
        put(thread, id, {"a": id}, label=f"run-{id}")
    assert thread.drop(keep=1, exclude=(("", id) for id in "2")) == 3
    assert thread.drop(ids=(("", id) for id in "2")) == 1
    assert thread.drop(labels=(f"run-{id}" for id in "4")) == 0
    assert thread.drop(labels=(f"run-{id}" for id in "5")) == 1
    assert thread.get() is None


@pytest.mark.parametrize("given", [[("", "1", "2")], [("",)], ["ab"], "ab", 5, [5]], ids=str)
@pytest.mark.parametrize("name", ["ids", "exclude"])
def test_drop_refuses_what_is_no_pair(cache: SessionCache, name: str, given: Any) -> None:
    """A drop of anything but a list of namespaces and IDs is refused by name, and nothing is removed."""
    thread = cache.checkpoints("t")
    put(thread, "1", {"a": "1"})
    with pytest.raises(InvalidInput) as refused:
        thread.drop(**{name: given})
    assert refused.value.name == name
    assert thread.get("1") is not None
