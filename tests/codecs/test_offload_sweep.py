"""A sweep removes the files to which nothing refers, and no other, while the fleet works."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import (
    AccessDenied,
    BlobStoreUnavailable,
    BlobSweepResult,
    ConcurrentModification,
    InvalidInput,
    InvalidState,
    Session,
    SessionCache,
    SessionDamaged,
    SessionNotActive,
    SessionNotFound,
    StoreUnavailable,
)
from redis_sessions._core.protocol.blobs import now_ms
from redis_sessions._sync.services import blob_sweeper, unlisted
from redis_sessions.codecs import EVERYTHING, Zstd
from tests.codecs.conftest import OpenCache, cipher, client_of, contents, user
from tests.support.blob_store import Store, broken, large, named_at, offload
from tests.support.servers import await_true


@pytest.fixture
def store() -> Store:
    """Return a store."""
    return Store()


@pytest.fixture
def offloading(open_cache: OpenCache, store: Store) -> SessionCache:
    """Return a cache that encrypts and offloads."""
    return open_cache(codecs=[Zstd(), cipher(), offload(store)])


def fill(session: Session) -> str:
    """Store a large value at each place of a session, and return it."""
    text = large()
    session.append(*[user(text) for _ in range(4)], batch_id=f"fill{random.random()}")
    session.pin(1)
    session.state.put("s", text)
    session.variables.put("v", text)
    session.part("p").append(user(text))
    return text


def texts_of(session: Session) -> set[str]:
    """Return the different contents of a session's messages, without the results of its children."""
    return {text for text in contents(session) if not text.startswith("[worker ")}


def assert_whole(session: Session, text: str) -> None:
    """Check that each value of a session can be read."""
    assert set(contents(session)) == {text}
    assert (session.state.get("s"), session.variables.get("v")) == (text, text)
    assert [one.content for one in session.part("p").history()] == [text]


def test_referenced_files_stay(offloading: SessionCache, store: Store) -> None:
    """Files of sessions, inboxes, kept messages, parts, documents, checkpoints, forks and the quarantine stay."""
    with named_at():
        session = offloading.create("a", max_messages=4, ttl=None)
        text = fill(session)
        session.append(user(text), user(text))  # the pinned message is kept in the hash
        held = offloading.create("held")
        fill(held)
        lease = held.lease().acquire()
        offloading.session("held").send(large())
        origin = offloading.create("origin")
        lost = large()
        origin.append(user(lost))
        origin.state.put("s", lost)
        fork = origin.fork()
        origin.delete()
        damaged = offloading.create("damaged")
        fill(damaged)
        client_of(offloading, damaged)("HSET", damaged._keys.session, "counters", "nonsense")
        offloading.documents("d").put("x", text)
        offloading.checkpoints("t").put("c", state=text.encode(), versions={"ch": "1"}, blobs={"ch": text.encode()})
        dropped = offloading.create("dropped")
        fill(dropped)
        offloading.documents("gone").put("x", text)
    young = offloading.create("young")
    young.append(user(text))
    young.delete()
    dropped.delete()
    offloading.documents("gone").delete("x")
    before = store.files()
    seen: list[BlobSweepResult] = []
    unused = [path for path in before if _folder(offloading, "session", "dropped") in path]
    unused += [path for path in before if _folder(offloading, "document", "gone") in path]
    unused += [path for path in store.files() if path.endswith(tuple(_replaced(offloading, store, session)))]
    dry = offloading.sweep_blobs(dry_run=True)
    assert store.files() == before
    found = offloading.sweep_blobs(progress=seen.append)
    assert found == dry == seen[-1]
    assert (found.files, found.young) == (len(before), 1)
    assert found.files == found.young + found.referenced + found.removed + found.copied
    assert set(before) - set(store.files()) == set(unused)
    assert_whole(session, text)
    assert fork.state.get("s") == lost
    assert set(contents(fork)) == {lost}
    lease.release()
    assert len(contents(held)) == 5
    offloading.session("damaged").delete()
    again = offloading.sweep_blobs()
    assert again.removed == 7
    assert offloading.sweep_blobs().removed == 0


@pytest.mark.parametrize("group", [False, True])
def test_files_of_popped_messages_stay_for_a_repeated_pop(offloading: SessionCache, store: Store, group: bool) -> None:
    """A pop whose reply was lost returns the message again, also when a sweep came between."""
    session = offloading.create()
    with named_at():
        session.append(user(large()), user(large()))
    popped = session.pop(group=group, batch_id="b")
    assert offloading.sweep_blobs().removed == 0
    assert [one.payload for one in session.pop(group=group, batch_id="b")] == [one.payload for one in popped]
    client_of(offloading, session)("DEL", session._keys.popped)
    assert offloading.sweep_blobs().removed == 1


def _folder(cache: SessionCache, kind: str, id: str) -> str:
    step: Any = cache._context.chain
    folder: str = step.blobs._folder(kind, id)
    return folder


def _replaced(cache: SessionCache, store: Store, session: Session) -> Iterator[str]:
    """Yield the names of the files of a session that its cap has dropped."""
    names = {path.rpartition("/")[2] for path in store.files() if _folder(cache, "session", session.id) in path}
    run = client_of(cache, session)
    stored = b" ".join(
        [
            *run("HVALS", session._keys.session),
            *run("LRANGE", session._keys.messages, 0, -1),
            *run("HVALS", session._keys.parts),
        ]
    )
    return (name for name in names if name.encode() not in stored)


def test_copy_while_values_are_read(offloading: SessionCache, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is forked and deleted while a sweep reads keeps its files, though the sweep met neither session."""
    with named_at():
        origin = offloading.create("origin")
        text = fill(origin)
    forks: list[Session] = []

    def scan_before(context: Any, pattern: str, *, twice: bool) -> Iterator[bytes]:
        keys = list(unlisted.scan(context, pattern, twice=twice))  # SCAN need not return a key that was made since
        if keys and not forks:
            forks.append(origin.fork())
            origin.delete()
        return iter(keys)

    monkeypatch.setattr(blob_sweeper, "scan", scan_before)
    found = offloading.sweep_blobs()
    assert (found.copied, found.removed) == (7, 0)
    (fork,) = forks
    assert set(contents(fork)) == {text}
    monkeypatch.setattr(blob_sweeper, "scan", unlisted.scan)
    fork.delete()
    assert offloading.sweep_blobs().removed == 0
    monkeypatch.setattr(blob_sweeper, "COPY_MARGIN_MS", -1000)
    assert (offloading.sweep_blobs().removed, store.find("/blobs")) == (7, [])


@pytest.mark.parametrize("skip_damaged", [False, True])
def test_file_that_is_swept_while_a_page_is_read(offloading: SessionCache, store: Store, skip_damaged: bool) -> None:
    """A message that is replaced, and whose file is swept, between the page and the file, is read as it is now."""
    session, text = offloading.create("a"), large()
    with named_at():
        session.append(user(text), user(large()))
    is_done: list[str] = []

    def replace(path: str) -> None:
        if not is_done:
            is_done.append(path)
            seq = 1 if text in str(offloading.session("a").history(limit=1, before_seq=2)) else 2
            offloading.session("a").replace(seq, user("short"))
            offloading.sweep_blobs()

    store.on_read = replace
    found = contents(session, skip_damaged=skip_damaged)
    assert is_done
    assert (len(found), found.count("short")) == (2, 1)


@pytest.mark.parametrize("method", ["get", "get_many", "all", "all_documents"])
def test_file_that_is_swept_while_a_document_is_read(offloading: SessionCache, store: Store, method: str) -> None:
    """A document that is replaced, and whose file is swept, before the file is read, is read as it is now."""
    notes = offloading.documents("notes")
    with named_at():
        notes.put("d", large())
    is_done: list[str] = []

    def replace(path: str) -> None:
        if not is_done:
            is_done.append(path)
            notes.put("d", "short")
            offloading.sweep_blobs()

    store.on_read = replace
    if method == "get":
        assert notes.get("d") == "short"
    elif method == "get_many":
        assert notes.get_many(["d"])["d"].value == "short"
    else:
        listed = list(notes.all()) if method == "all" else offloading.all_documents(["notes"])["notes"]
        assert [one.value for one in listed] == ["short"]
    store.on_read = lambda path: None
    notes.put("d", large())
    store.rm_file(store.files()[0])
    with pytest.raises(InvalidState, match="is missing"):
        notes.get("d")


def test_file_that_is_swept_while_a_session_is_exported(offloading: SessionCache, store: Store) -> None:
    """An export begins again when a file is gone, because its value was replaced. A file that is missing is named."""
    session = offloading.create("a")
    with named_at():
        session.append(user(large()), user("two"), user(large("three")))
    lines = session.export()
    given = [next(lines) for _ in range(3)]
    session.replace(1, user("short"))
    assert offloading.sweep_blobs().removed == 1
    given += lines
    session.delete()
    assert offloading.import_sessions(given).imported == 1
    assert [text[:5] for text in contents(session)] == ["short", "two", "three"]
    store.rm_file(store.files()[-1])
    with pytest.raises(SessionDamaged, match="is missing"):
        list(session.export())


def test_sweep_needs_the_notes_of_copies(
    offloading: SessionCache, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its note the copy of the test before would lose its files: the guard is needed."""
    monkeypatch.setattr("redis_sessions._sync.api.session.mark_files_copied", lambda context, keys: None)
    with pytest.raises(AssertionError):
        test_copy_while_values_are_read(offloading, store, monkeypatch)


def test_sweep_beside_writers(offloading: SessionCache, store: Store) -> None:
    """While threads fork, delete, pin, trim, send, spawn and edit, no sweep removes a file that a living session needs."""
    texts: dict[str, str] = {}
    with named_at():
        for number in range(4):
            session = offloading.create(f"s{number}", max_messages=6)
            texts[session.id] = fill(session)
    living, lock = {id: id for id in texts}, threading.Lock()
    problems: list[BaseException] = []

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(20):
            with lock:
                id = dice.choice(sorted(living))
                origin = living[id]
            session, text = offloading.session(id), texts[origin]
            try:
                act = dice.randrange(7)
                if act <= 2:
                    fork = session.fork()
                    if act and len(living) > 3:
                        session.delete()
                    with lock:
                        living[fork.id] = origin
                        if act and len(living) > 3:
                            living.pop(id, None)
                elif act == 3:
                    session.append(user(text))
                elif act == 4:
                    session.send(text)
                elif act == 5:
                    child = session.spawn("worker", context="fork").session_key
                    if child is not None:
                        assert texts_of(offloading.session(child)) == {text}
                        offloading.session(child).delete()
                else:
                    assert texts_of(session) == {text}
            except (SessionNotFound, SessionNotActive, ConcurrentModification):
                with lock:
                    living.pop(id, None) if len(living) > 3 else None
            except BaseException as problem:
                problems.append(problem)
                return

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    sweeps = [offloading.sweep_blobs("10m")]
    while any(thread.is_alive() for thread in threads):
        sweeps.append(offloading.sweep_blobs("10m"))
    assert problems == []
    assert all(one.files == one.young + one.referenced + one.copied + one.removed for one in sweeps)
    for row in offloading.iter_sessions():
        session = offloading.session(row.id)
        assert texts_of(session) == {session.state.get("s")}


_KILLED = """
import os, sys
from redis_sessions import SessionCache
from redis_sessions._sync.transport.executor import Executor
from redis_sessions.codecs import Offload
url, namespace, folder = sys.argv[1:]
cache = SessionCache.from_url(url, namespace=namespace, codecs=[Offload("file://" + folder, above=1024)])
session = cache.session("a")
session.info()
Executor._attempt = lambda self, call: os._exit(9)
session.append({"role": "user", "content": "x" * 3000})
"""


def test_writer_that_dies_leaves_a_file(
    open_cache: OpenCache, url: str, namespace: str, tmp_path: Path, engine: str
) -> None:
    """A process that is killed between the file and the append leaves a file, which a sweep removes after the grace."""
    if engine == "fake":
        url = "memory"
    folder = tmp_path / "blobs"
    cache = open_cache(codecs=[offload(f"file://{folder}")])
    session = cache.create("a")
    if engine == "fake":  # no other process reaches it, so the write breaks off here
        step: Any = cache._context.chain
        step.blobs.upload(step.blobs.adopt(b"x" * 3000, "a").split()[0].decode(), b"x" * 3000)
        step.blobs.pending = type(step.blobs.pending)()
    else:
        command = [sys.executable, "-c", _KILLED, url, namespace, str(folder)]
        assert subprocess.run(command, env=os.environ, timeout=60, check=False).returncode == 9
    assert session.info().last_seq == 0
    found = cache.sweep_blobs()
    assert (found.files, found.young, found.removed) == (1, 1, 0)
    with pytest.MonkeyPatch.context() as patch:
        day = 24 * 3600 * 1000
        patch.setattr(blob_sweeper, "now_ms", lambda: now_ms() + day)
        assert cache.sweep_blobs().removed == 1
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_many_files_take_several_readings(
    offloading: SessionCache, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more old files than one reading checks, all are checked, and none that is needed goes."""
    monkeypatch.setattr(blob_sweeper, "MAX_CANDIDATES", 3)
    with named_at():
        kept, dropped = offloading.create("kept"), offloading.create("dropped")
        text = fill(kept)
        fill(dropped)
    dropped.delete()
    found = offloading.sweep_blobs()
    assert (found.files, found.referenced, found.removed) == (14, 7, 7)
    assert_whole(kept, text)


def test_sweep_that_cannot_read_removes_nothing(
    offloading: SessionCache, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep ends with an error, and removes nothing, when a server or the store does not answer."""
    with named_at():
        session = offloading.create("a")
        fill(session)
    before = store.files()

    def refuse(context: Any, pattern: str, *, twice: bool) -> Iterator[bytes]:
        raise AccessDenied(where="x", detail="no SCAN")

    monkeypatch.setattr(blob_sweeper, "scan", refuse)
    with pytest.raises(AccessDenied):
        offloading.sweep_blobs()
    monkeypatch.undo()

    def lose(executor: Any, call: Any, default: Any) -> Any:
        raise StoreUnavailable(where="x", waited=1.0, detail="gone")

    monkeypatch.setattr(blob_sweeper, "run_or_default", lose)
    with pytest.raises(StoreUnavailable):
        offloading.sweep_blobs()
    monkeypatch.undo()
    monkeypatch.setattr(store, "find", broken(PermissionError("gone")))
    with pytest.raises(BlobStoreUnavailable, match="gone"):
        offloading.sweep_blobs()
    monkeypatch.undo()
    assert store.files() == before


@pytest.mark.parametrize("grace", [0, "9m", -5, "soon"])
def test_bad_grace_is_refused(grace: Any) -> None:
    """A grace that writers could not meet is refused."""
    with (
        SessionCache.from_url("fake://", codecs=[offload(Store())]) as cache,
        pytest.raises(InvalidInput, match="grace"),
    ):
        cache.sweep_blobs(grace)


def test_sweep_needs_offload() -> None:
    """A cache without Offload has nothing to sweep."""
    with (
        SessionCache.from_url("fake://", codecs=[Zstd()]) as cache,
        pytest.raises(InvalidInput, match="must have Offload"),
    ):
        cache.sweep_blobs()


def test_namespaces_are_apart(open_cache: OpenCache, namespace: str, store: Store) -> None:
    """A sweep of one namespace sees no file of another one."""
    codecs = [offload(store)]
    with named_at():
        fill(open_cache(codecs=codecs).create("a"))
        with SessionCache.from_url("fake://", namespace="other", codecs=codecs, encode=EVERYTHING) as other:
            fill(other.create("a"))
            other.session("a").delete()
            assert other.sweep_blobs().removed == 7
    assert open_cache(codecs=codecs).sweep_blobs().referenced == 7


@pytest.mark.parametrize("find_unlisted", [True, False])
def test_forgotten_files_are_removed(offloading: SessionCache, store: Store, find_unlisted: bool) -> None:
    """`forget` with `find_unlisted` removes old files of the user at once, but none that a copy of another user needs."""
    with named_at():
        mine = offloading.create("mine", user_id="mia")
        fill(mine)
        shared = offloading.create("shared", user_id="mia")
        text = fill(shared)
        copy = shared.fork(user_id="bob")
        offloading.documents("users/mia").put("x", text)
        fill(offloading.create("bobs", user_id="bob"))
    offloading.session("mine").append(user(large()))
    store.rm("/blobs", recursive=True) if not store.files() else None
    for path in store.find("/blobs"):
        if "/copies/" in path:
            store.rm_file(path)  # as if the copy were older than an hour
    count = len(store.files())
    result = offloading.forget("mia", find_unlisted=find_unlisted)
    left = len([path for path in store.files() if _folder(offloading, "session", "bobs") not in path])
    if find_unlisted:
        assert (result.files, result.files_left) == (9, 7)
        assert (count, left) == (23, 7)
    else:
        assert (result.files, result.files_left, count) == (0, 16, 23)
        assert offloading.sweep_blobs().removed == 9
    assert set(contents(copy)) == {text}
    await_true(lambda: offloading.count(user_id="mia") == 0)
