"""Large values go to a blob store, and the server keeps references."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import fsspec
import pytest

from redis_sessions import (
    AsyncSessionCache,
    BlobStoreUnavailable,
    CheckpointWrite,
    InvalidInput,
    InvalidState,
    RevisionConflict,
    SessionCache,
    SessionDamaged,
    StoreUnavailable,
)
from redis_sessions.codecs import EVERYTHING, Offload, Zstd
from redis_sessions.codecs import offload as offload_module
from redis_sessions.codecs._blob_threads import BlobThreads
from tests.codecs.conftest import OpenCache, cipher, client_of, contents, user
from tests.support.blob_store import Store, broken, large, modes_below, named_at, offload
from tests.support.servers import await_true


@pytest.fixture
def store() -> Store:
    """Return a store."""
    return Store()


def chained(store: Any, **options: Any) -> list[Any]:
    """Return codecs that compress, encrypt and offload."""
    return [Zstd(), cipher(), offload(store, **options)]


def pending(cache: Any) -> int:
    """Return how many values wait for the store."""
    return len(cache._context.chain.blobs.pending._waiting)


def test_thread_goes_on_after_a_function_that_exits() -> None:
    """A function that raises SystemExit gives it to its caller, and its thread runs the next function."""
    threads = BlobThreads(1)
    assert isinstance(threads.submit(sys.exit, 3).exception(timeout=20), SystemExit)
    assert threads.submit(abs, -4).result(timeout=20) == 4


def test_refused_batch_keeps_no_bytes(open_cache: OpenCache, store: Store) -> None:
    """The values of a batch that is refused before it is sent do not stay in memory, also those of a replacement."""
    session = open_cache(codecs=chained(store)).create("a")
    for refused in ({"role": "user", "content": object()}, float("nan")):
        for write in (session.append, session.replace):
            with pytest.raises(InvalidInput):
                write(user(large()), user(large()), refused)
    with pytest.raises(InvalidInput):
        session.append(*[user(large()) for _ in range(3)], *[{"a": 1}] * 20_000)
    assert pending(session) == 0
    assert store.files() == []


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_large_values_are_files(open_cache: OpenCache, store: Store, is_encrypted: bool) -> None:
    """Messages, state, variables, parts, inboxes, documents and checkpoints are read as given, and the server has references."""
    cache = open_cache(codecs=chained(store) if is_encrypted else [offload(store)])
    session = cache.create("a")
    session.variables.put("v", large())
    texts = [large() for _ in range(3)]
    session.append(*map(user, texts))
    session.state.put("s", texts[0])
    session.part("notes").append(user(texts[1]))
    with session.lease():
        cache.session("a").send(texts[2])
        run = client_of(cache, session)
        sizes = [len(value) for key in ("session", "parts") for value in run("HVALS", getattr(session._keys, key))]
        sizes += [len(value) for value in run("LRANGE", session._keys.messages, 0, -1)]
        assert max(sizes) < 500
    cache.documents("d").put_bytes("raw", b"\1a 0 " + texts[0].encode())
    cache.documents("d").put("text", texts[1])
    thread = cache.checkpoints("t")
    thread.put("c1", state=texts[0].encode(), versions={"ch": "1"}, blobs={"ch": texts[1].encode()})
    thread.write("c1", [CheckpointWrite("task", 0, "ch", texts[2].encode())])
    assert len(store.files()) == 12
    assert any(b"zanzibar" in data for data in store.contents()) != is_encrypted
    assert pending(cache) == 0
    session = cache.session("a")
    assert contents(session) == [*texts, texts[2]]
    assert (session.state.get("s"), session.state.all()) == (texts[0], {"s": texts[0]})
    assert len(session.variables.get("v")) > 1024
    assert [one.content for one in session.part("notes").history()] == [texts[1]]
    assert session.load().messages[0].content == texts[0]
    documents = cache.documents("d")
    assert documents.get_bytes("raw") == b"\1a 0 " + texts[0].encode()
    assert {one.value for one in documents.all()} == {b"\1a 0 " + texts[0].encode(), texts[1]}
    assert documents.get_many(["text"])["text"].value == texts[1]
    assert cache.get_documents({"d": ["text"]})["d"]["text"].value == texts[1]
    for checkpoint in (cache.checkpoints("t").get("c1"), cache.checkpoints("t").page().items[0]):
        assert checkpoint is not None
        assert (checkpoint.state, checkpoint.blobs["ch"]) == (texts[0].encode(), texts[1].encode())
        assert checkpoint.writes[0].data == texts[2].encode()


def test_other_values_stay_on_the_server(open_cache: OpenCache, store: Store) -> None:
    """Small values, descriptions, results, reasons and shared values make no file."""
    cache = open_cache(codecs=chained(store))
    session = cache.create("a", name=large(size=900), system_prompt=large(), metadata={"m": large()})
    session.append(user("short"))
    cache.shared("team").put("v", large())
    child = session.spawn("worker", task=large()).session_key
    assert child is not None
    cache.session(child).complete(large(), reason=large())
    assert store.files() == []


def test_lists_do_not_wait_for_the_store(open_cache: OpenCache, store: Store) -> None:
    """A list shows the time of a last message that is a file, and does not read the file."""
    cache = open_cache(codecs=chained(store))
    cache.create("a").append(user(large()))
    (row,) = cache.list().items
    assert row.last_message is not None
    assert (row.last_message.seq, row.last_message.text) == (1, None)
    assert store.reads == []


def test_page_reads_its_files_at_once(open_cache: OpenCache, store: Store) -> None:
    """A history reads each file once, and needs one round trip."""
    cache = open_cache(codecs=chained(store))
    session = cache.create("a")
    texts = [large() for _ in range(40)]
    session.append(*map(user, texts))
    assert contents(session) == texts
    assert sorted(store.reads) == store.files()


def test_watchers_get_large_messages(open_cache: OpenCache, store: Store) -> None:
    """A watcher gets a message whose payload is a file."""
    cache = open_cache(codecs=chained(store))
    session, text = cache.create("a"), large()
    session.append(user(text))
    event = next(iter(session.watch(after_seq=0, timeout=5)))
    assert event.message is not None
    assert event.message.content == text


def test_fork_refers_to_files_of_its_origin(open_cache: OpenCache, store: Store) -> None:
    """A fork, and a child with a forked context, read what their origin stored, also when the origin is gone."""
    cache = open_cache(codecs=chained(store))
    session, text = cache.create("a"), large()
    session.append(user(text), user("hi"))
    session.state.put("s", text)
    fork = session.fork()
    child = session.spawn("worker", context="fork").session_key
    assert child is not None
    assert contents(cache.session(child)) == [text, "hi"]
    before = store.files()
    session.delete()
    assert contents(fork.fork()) == [text, "hi"]
    assert fork.state.get("s") == text
    assert store.files() == before


def test_store_that_is_down_refuses_the_write(open_cache: OpenCache, store: Store) -> None:
    """Nothing is written without the file, the error names the store, nothing waits, and the caller can repeat the call."""
    cache = open_cache(codecs=chained(store))
    session = cache.create("a")
    store.on_write = broken(PermissionError("bucket\x1b[31m is gone"))
    text = large()
    with pytest.raises(BlobStoreUnavailable, match=r"blob store testing://blobs did not serve .*bucket\\x1b") as caught:
        session.append(user(text), batch_id="b")
    assert isinstance(caught.value, StoreUnavailable)
    with pytest.raises(BlobStoreUnavailable):
        session.state.put("s", text)
    with pytest.raises(BlobStoreUnavailable):
        cache.documents("d").put("x", text)
    assert session.info().last_seq == 0
    assert pending(cache) == 0
    store.on_write = lambda path: None
    assert session.append(user(text), batch_id="b").last_seq == 1
    assert contents(session) == [text]


def test_many_calls_name_the_store_each(open_cache: OpenCache, store: Store) -> None:
    """Calls that are sent together are all refused while the store is down, and all work behind it."""
    cache = open_cache(codecs=chained(store))
    documents = {"d": {"x": large(), "y": large()}, "e": {"z": large()}}
    store.on_write = broken(PermissionError("gone"))
    with pytest.raises(BlobStoreUnavailable):
        cache.put_documents(documents)
    store.on_write = broken(OSError("gone"), times=1)
    cache.put_documents(documents)
    assert cache.get_documents({"d": ["x", "y"]})["d"]["y"].value == documents["d"]["y"]


def test_store_errors_that_pass_are_retried(open_cache: OpenCache, store: Store) -> None:
    """A write and a read work when the store fails at first. The file keeps its name."""
    cache = open_cache(codecs=chained(store))
    session, text = cache.create("a"), large()
    store.on_write = broken(OSError("slow down"), times=2)
    session.append(user(text))
    assert (len(store.writes), len(set(store.writes)), len(store.files())) == (3, 1, 1)
    store.on_read = broken(OSError("slow down"), times=2)
    assert contents(session) == [text]


def test_denied_store_is_not_asked_again(open_cache: OpenCache, store: Store) -> None:
    """A store that denies a write is asked once."""
    cache = open_cache(codecs=chained(store))
    session = cache.create("a")
    store.on_write = broken(PermissionError("read only"))
    with pytest.raises(BlobStoreUnavailable, match="read only"):
        session.append(user(large()))
    assert len(store.writes) == 1


def test_store_that_hangs_is_left(store: Store) -> None:
    """A write and a read that hang end with an error after the time of the store."""
    release = threading.Event()
    with SessionCache.from_url("fake://", codecs=chained(store, timeout=0.2), retry_for=1.0) as cache:
        session, text = cache.create("a"), large()
        store.on_write = lambda path: release.wait()
        with pytest.raises(BlobStoreUnavailable, match=r"no answer for 0\.2 s"):
            session.append(user(text))
        assert session.info().last_seq == 0
        release.set()
        store.on_write = lambda path: None
        session.append(user(text))
        release.clear()
        store.on_read = lambda path: release.wait()
        with pytest.raises(BlobStoreUnavailable, match=r"no answer for 0\.2 s"):
            session.history()
        release.set()


def test_unreadable_file_is_named(open_cache: OpenCache, store: Store) -> None:
    """A store that is down, a missing and a changed file are errors that name the place and the file."""
    cache = open_cache(codecs=chained(store))
    session, text = cache.create("a"), large()
    session.append(user("hi"))
    session.append(user(text))
    session.state.put("s", text)
    message, state = (path.rpartition("/")[2] for path in store.writes)
    documents = cache.documents("d")
    documents.put("x", text)
    store.on_read = broken(PermissionError("gone"))
    with pytest.raises(
        BlobStoreUnavailable, match=rf"message with seq 2: file \w+/{message} .* of 'a': PermissionError: gone"
    ):
        session.history()
    with pytest.raises(BlobStoreUnavailable, match=r"with the state.s of 'a': PermissionError"):
        session.state.get("s")
    with pytest.raises(BlobStoreUnavailable, match="with the document d x"):
        documents.get("x")
    with pytest.raises(BlobStoreUnavailable):
        session.history(skip_damaged=True)
    store.on_read = lambda path: None
    for path in store.files():
        store.pipe_file(path, b"changed")
    with pytest.raises(InvalidState, match=rf"seq 2: .*{message} .*has 7 bytes, expected \d+"):
        session.history()
    for path in store.files():
        store.pipe_file(path, bytes(len(store.store[path].getbuffer())))
    store.rm("/blobs", recursive=True)
    with pytest.raises(InvalidState, match=rf"seq 2: .*{message} .*is missing"):
        session.history()
    with pytest.raises(SessionDamaged, match=rf"{state} with the state.s .*is missing"):
        session.state.get("s")
    with pytest.raises(InvalidState, match="is missing"):
        documents.get("x")
    assert contents(session, skip_damaged=True) == ["hi"]


def test_file_with_other_bytes_is_refused(open_cache: OpenCache, store: Store) -> None:
    """A file of the right size with other bytes is damage, also without encryption."""
    cache = open_cache(codecs=[offload(store)])
    session = cache.create("a")
    session.append(user(large()))
    (path,) = store.files()
    store.pipe_file(path, bytes(len(store.store[path].getbuffer())))
    with pytest.raises(InvalidState, match="has other bytes than were stored"):
        session.history()


def test_swapped_reference_is_refused(open_cache: OpenCache, store: Store) -> None:
    """A reference that was moved to another session is refused, because the file is bound to its session."""
    cache = open_cache(codecs=chained(store))
    first, second = cache.create("a"), cache.create("b")
    first.append(user(large()), batch_id="x")
    second.append(user(large()), batch_id="x")
    (element,) = client_of(cache, first)("LRANGE", first._keys.messages, 0, -1)
    client_of(cache, second)("LSET", second._keys.messages, 0, element)
    with pytest.raises(Exception, match="belongs elsewhere"):
        second.history()


def test_refused_write_leaves_a_file_alone(open_cache: OpenCache, store: Store) -> None:
    """A call that the server refuses has stored its file, and leaves nothing that waits."""
    cache = open_cache(codecs=chained(store))
    session = cache.create("a")
    session.append(user("hi"))
    with pytest.raises(RevisionConflict):
        session.append(user(large()), expected_rev=9)
    with pytest.raises(InvalidInput):
        session.append(user(large()), user(large()), batch_id="not one word")
    assert pending(cache) <= 2
    assert len(store.files()) == 1


def test_repeated_append_happens_once(open_cache: OpenCache, store: Store) -> None:
    """A batch ID that is repeated with another file is a duplicate, and the first file counts."""
    cache = open_cache(codecs=chained(store))
    session, text = cache.create("a"), large()
    session.append(user(text), batch_id="b")
    assert session.append(user(text), batch_id="b").duplicate
    assert contents(session) == [text]


def test_concurrent_appends(open_cache: OpenCache, store: Store) -> None:
    """100 appends of threads store 100 files, and all messages are read."""
    cache = open_cache(codecs=chained(store))
    session = cache.create("a", max_messages=None)
    texts = [large() for _ in range(100)]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda text: session.append(user(text)), texts))
    assert sorted(contents(session)) == sorted(texts)
    assert (len(store.files()), pending(cache)) == (100, 0)


def test_event_loop_does_not_wait_for_the_store(url: str, namespace: str, store: Store) -> None:
    """100 appends of tasks use the store from other threads only, and a task that is cancelled leaves nothing that waits."""
    texts = [large() for _ in range(100)]

    async def work() -> None:
        codecs = chained(store)
        async with AsyncSessionCache.from_url(url, namespace=namespace, codecs=codecs, encode=EVERYTHING) as cache:
            session = await cache.create("a", max_messages=None)
            await asyncio.gather(*(session.append(user(text)) for text in texts))
            assert sorted(one.content for one in await session.history()) == sorted(texts)
            await session.state.put("s", texts[0])
            await cache.documents("d").put("x", texts[1])
            assert (await session.state.get("s"), await cache.documents("d").get("x")) == (texts[0], texts[1])
            fork = await session.fork()
            assert len(await fork.history()) == 100
            assert threading.get_ident() not in store.threads
            release, entered = threading.Event(), threading.Event()

            def wait(path: str) -> None:
                entered.set()
                release.wait()

            store.on_write = wait
            task = asyncio.create_task(session.append(user(texts[0])))
            while not entered.is_set():
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            release.set()
            assert (pending(cache), (await session.info()).last_seq) == (0, 100)

    with SessionCache.from_url(url, namespace=namespace):
        asyncio.run(work())


def test_folder_of_files(open_cache: OpenCache, tmp_path: Path) -> None:
    """A local store has files and folders that only their user can read, and follows no link."""
    cache = open_cache(codecs=chained(f"file://{tmp_path}/blobs"))
    session, text = cache.create("a"), large()
    session.append(user(text))
    assert contents(session) == [text]
    assert modes_below(tmp_path) == {("folder", 0o700), ("file", 0o600)}
    step: Any = cache._context.chain
    (file,) = step.blobs.files_of(step.blobs.shards()[0])
    path = Path(step.blobs._path(file))
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    step.blobs.upload(file, b"x")
    assert (path.is_symlink(), path.read_bytes()) == (False, b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_late_attempt_leaves_a_stored_file_whole(
    open_cache: OpenCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt to store a file that was given up, and that fails when it comes late, leaves the file of the next attempt."""
    cache = open_cache(codecs=chained(f"file://{tmp_path}/blobs", timeout=1.0))
    session, text = cache.create("a"), large()
    attempts: list[str] = []
    may_go_on, is_over = threading.Event(), threading.Event()
    real_open = open

    def slow_open(path: Any, mode: str, **options: Any) -> Any:
        attempts.append(str(path))
        if len(attempts) > 1:
            return real_open(path, mode, **options)
        may_go_on.wait(60)
        target = real_open(path, mode, **options)

        def fail(data: bytes) -> None:
            is_over.set()
            raise OSError(28, "No space left on device")

        return mock.Mock(wraps=target, write=fail, __enter__=lambda self: self, __exit__=lambda *_: target.close())

    monkeypatch.setattr(offload_module, "open", slow_open, raising=False)
    session.append(user(text))
    may_go_on.set()
    assert is_over.wait(60)
    await_true(lambda: len(list((tmp_path / "blobs").rglob("?" * 44))) == 1)
    assert contents(session) == [text]


def test_rest_of_a_write_that_died_is_swept(open_cache: OpenCache, tmp_path: Path) -> None:
    """A process that is killed in a write leaves a file that a sweep counts and removes."""
    cache = open_cache(codecs=chained(f"file://{tmp_path}/blobs"))
    with (
        named_at(),
        mock.patch.object(Path, "replace", side_effect=KeyboardInterrupt),
        mock.patch.object(Path, "unlink"),
        pytest.raises((KeyboardInterrupt, BlobStoreUnavailable)),
    ):
        cache.create("a").append(user(large()))
    assert cache.sweep_blobs().removed == 1


def test_reencrypt_moves_values_into_files_and_back(open_cache: OpenCache, store: Store) -> None:
    """`reencrypt` offloads what is large, changes the key of files, and brings files back to the server."""
    text = large()
    cache = open_cache(codecs=[])
    session = cache.create("a")
    session.append(*[user(text) for _ in range(5)])
    session.state.put("s", text)
    session.part("p").append(user(text))
    cache.documents("d").put("x", text)
    cache.checkpoints("t").put("c", state=text.encode())

    def rotated(codecs: list[Any]) -> int:
        opened = open_cache(codecs=codecs)
        found = list(opened.reencrypt())
        assert {one.problem for one in found} == {None}
        assert sum(one.replaced for one in opened.reencrypt()) == 0
        assert pending(opened) == 0 if codecs[-1].letter == "o" else True
        reread = opened.session("a")
        assert contents(reread) == [text] * 5
        assert (reread.state.get("s"), opened.documents("d").get("x")) == (text, text)
        checkpoint = opened.checkpoints("t").get("c")
        assert checkpoint is not None
        assert checkpoint.state == text.encode()
        return sum(one.replaced for one in found)

    assert rotated([offload(store)]) == 9
    assert (len(store.files()), text.encode() in store.contents()[0]) == (9, True)
    assert rotated(chained(store)) == 9
    assert rotated([Zstd(), cipher("k1", "k2", current="k2"), offload(store)]) == 9
    assert len(store.files()) == 27
    back = open_cache(codecs=[Zstd(), cipher("k1", "k2", current="k2"), offload(store, above=64 * 1024)])
    assert sum(one.replaced for one in back.reencrypt()) == 9
    store.rm("/blobs", recursive=True)
    assert contents(back.session("a")) == [text] * 5


def test_compaction_and_edits(open_cache: OpenCache, store: Store) -> None:
    """Summaries, replaced and popped messages are files like others."""
    cache = open_cache(codecs=chained(store))
    session = cache.create("a")
    texts = [large() for _ in range(6)]
    session.append(*map(user, texts))
    session.replace(user(texts[0]), after_seq=5)
    assert session.pop()[0].content == texts[0]
    session.compact(keep=1, summary=lambda messages: texts[1])
    assert texts[1] in contents(session)[0]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: offload(Store(), above=10), "above"),
        (lambda: offload(Store(), timeout=0), "timeout"),
        (lambda: offload(Store(), threads=0), "threads"),
        (lambda: Offload(5), "store: must be a URL of fsspec"),
        (lambda: Offload("/tmp/blobs"), "store: must be a URL of fsspec"),
        (lambda: Offload("nothing://x"), "store: must be a URL of fsspec"),
        (lambda: SessionCache.from_url("fake://", codecs=[offload(Store()), Zstd()]), "Offload as the last one"),
        (lambda: SessionCache.from_url("fake://", codecs=[offload(Store()), offload(Store())]), "different letters"),
    ],
)
def test_bad_options_are_refused(make: Any, text: str) -> None:
    """Each bad option is one clear error."""
    with pytest.raises(InvalidInput, match=text):
        make()


def test_missing_package_of_a_protocol_is_named() -> None:
    """A URL whose protocol needs a package says which one."""
    with pytest.raises(ModuleNotFoundError, match=r"Offload needs a package for s3:// .*s3fs"):
        Offload("s3://bucket/sessions")


def test_offload_is_pickled_with_its_options() -> None:
    """A copy from a pickle writes to the same place. Texts show no password."""
    made = Offload("memory://blobs/x", above=2048)
    again = pickle.loads(pickle.dumps(made))
    assert (again.where, again.above, again.root) == (made.where, 2048, made.root)
    filesystem = fsspec.filesystem("memory")
    assert "secret" not in repr(Offload(filesystem, folder="user:secret@host/blobs"))


def test_hostile_reference_reads_no_file(open_cache: OpenCache, store: Store) -> None:
    """Text of a user that looks like a reference is text."""
    cache = open_cache(codecs=[offload(store)], encode={"documents"})
    session = cache.create("a")
    text = f"\1o 0 {'a' * 32}/{'b' * 44} 5 {'c' * 64}"
    session.append(user(text))
    session.state.put("s", text)
    cache.documents("d").put("x", text)
    assert (contents(session), session.state.get("s"), cache.documents("d").get("x")) == ([text], text, text)
    assert store.reads == []
