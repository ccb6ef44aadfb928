"""Forks, signals, threads that cannot start, and the end of the interpreter."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import AsyncRun, AsyncSessionCache, SessionCache
from redis_sessions._sync.transport import tasks
from tests.support.machine_load import measured_load
from tests.support.servers import Server, await_true

X = {"role": "user", "content": "x"}
IS_LONG = bool(os.environ.get("REDIS_SESSIONS_SOAK"))
_ROOT = Path(__file__).parent.parent.parent


class Interrupted(Exception):
    """Raised by a signal handler."""


@pytest.fixture
def smallest_switch_interval() -> Iterator[None]:
    """Let threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def sockets() -> set[str]:
    """Return the identities of the sockets of this process."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(path.readlink()))
    return {target for target in found if target.startswith("socket:")}


def forked(function: Callable[[], object]) -> int:
    """Call a function in a forked process. Return the exit code: 0 if the function returned."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(60)
            function()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_forks_under_load_share_no_connection(server: Server, namespace: str, smallest_switch_interval: None) -> None:
    """A process that forks while its threads write loses nothing, and a forked process has connections of its own."""
    forks, is_over, written = 500 if IS_LONG else 25, threading.Event(), [0, 0, 0]
    cache = SessionCache.from_url(server.url, namespace=namespace, max_connections=3)
    for id in ("0", "1", "2", "children"):
        cache.create(id, ttl=600, max_messages=None)

    def write(number: int) -> None:
        session = cache.session(str(number))
        while not is_over.is_set():
            session.append(X)
            written[number] += 1

    def child() -> None:
        cache.session("children").append(X)
        with cache.session("children").lease(ttl=5, wait=50):
            assert cache.session("children").history()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    assert [forked(child) for _ in range(forks)] == [0] * forks
    is_over.set()
    for thread in threads:
        thread.join(60)
    assert [cache.session(str(number)).info().last_seq for number in range(3)] == written
    assert cache.session("children").info().last_seq == forks
    cache.close()
    server.client.flushall()


def test_forked_process_holds_no_socket_of_its_parent(server: Server, namespace: str) -> None:
    """A forked process has none of the sockets of its parent's caches open, so the server sees the parent's end."""
    before = sockets()
    cache = SessionCache.from_url(server.url, namespace=namespace)
    other = AsyncSessionCache.from_url(server.url, namespace=namespace)
    cache.get("a")
    assert cache._context.hub.try_subscribe()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(other.get("a"))
    loop.run_until_complete(other._context.hub.try_subscribe())
    own = {
        str(Path(f"/proc/self/fd/{number}").readlink())
        for connection, fileno in _connections()
        if (number := fileno(connection)) >= 0
    }
    assert len(own) == 4
    assert own.isdisjoint(before)

    def child() -> None:
        assert own.isdisjoint(sockets())

    assert forked(child) == 0
    cache.close()
    loop.run_until_complete(other.close())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    server.client.flushall()


def test_forked_process_has_no_background_work_of_its_parent(server: Server, namespace: str) -> None:
    """A forked process does not wait for what a thread of its parent was doing when the process was forked."""
    began, release = threading.Event(), threading.Event()

    def check() -> None:
        began.set()
        release.wait()

    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        queues = cache._context.run_queues
        queues.spawn(check)
        assert began.wait(10)
        assert queues.is_checking

        def child() -> None:
            assert not queues.is_checking
            assert cache.worker("a", lambda run: None, until_idle=True) == 0

        assert forked(child) == 0
        release.set()
        await_true(lambda: not queues.is_checking)


def _connections() -> list[tuple[Any, Callable[[Any], int]]]:
    from redis_sessions import _fork

    return list(_fork._connections.items())


def test_asyncio_cache_works_in_forked_process(server: Server, namespace: str) -> None:
    """A cache that an event loop of the parent uses serves an event loop of the forked process, and the parent goes on."""
    cache = AsyncSessionCache.from_url(server.url, namespace=namespace)

    async def use() -> None:
        session = await cache.get_or_create("a", ttl=60)
        async with session.lease(ttl=5, wait=30):
            await session.append(X)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    assert forked(lambda: asyncio.run(use())) == 0
    loop.run_until_complete(use())
    assert server.client.llen(next(server.client.scan_iter(f"{namespace}:*:messages:a"))) == 3
    loop.run_until_complete(cache.close())
    loop.close()
    server.client.flushall()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the handler can raise in a finalizer
def test_signal_handler_that_raises_loses_no_connection(server: Server, namespace: str) -> None:
    """Calls that a signal handler interrupts at any point leave the pool whole: later calls find connections at once."""
    cache = SessionCache.from_url(server.url, namespace=namespace, max_connections=2, timeout=30, retry_for=30)
    session, is_armed, interrupted = cache.create("a", ttl=600), False, 0

    def interrupt(number: int, frame: object) -> None:
        nonlocal is_armed
        if is_armed:
            is_armed = False
            raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
    try:
        due = time.monotonic() + (60 if IS_LONG else 3)
        while time.monotonic() < due or interrupted < 20:
            try:
                is_armed = True
                session.history(limit=1)
                is_armed = False
            except Interrupted:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    client = cache._context.router._single
    assert client is not None
    assert len(client._connections) <= 2
    assert session.append(X).last_seq == 1
    cache.close()
    server.client.flushall()


def test_thread_that_cannot_start_ends_nothing_for_good(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While no thread can start, calls work and waiters poll. Once threads start again, leases are renewed."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(tasks, "later", tasks._TimerThread().later)
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            session = cache.create("a", ttl=60)
            assert session.append(X).last_seq == 1
            assert not cache._context.hub.try_subscribe()
            with session.lease(ttl=5, wait=5):
                session.append(X)
        with session.lease(ttl=2) as lease:
            time.sleep(2.6)
            assert lease.is_held
            session.append(X)
        await_true(lambda: cache._context.hub.try_subscribe())
    server.client.flushall()


def test_renewal_thread_that_cannot_start_is_tried_again(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease of asyncio whose renewal thread could not start is renewed by a thread that the next lease starts."""
    from redis_sessions._async.transport import renewal_thread

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    thread = renewal_thread._RenewalThread()
    monkeypatch.setattr(renewal_thread, "later", thread.later)

    async def main() -> None:
        async with AsyncSessionCache.from_url(server.url, namespace=namespace) as cache:
            first = await (await cache.create("a", ttl=60)).lease(ttl=3).acquire()
            second = await (await cache.create("b", ttl=60)).lease(ttl=3).acquire()
            assert thread._loop is None
            patch.undo()
            await first.renew()
            assert thread._loop is not None
            await asyncio.sleep(4)
            assert first.is_held
            assert second.is_held

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        asyncio.run(main())
    server.client.flushall()


USES = {
    "threads": """
cache = SessionCache.from_url(url, namespace=namespace)
session = cache.get_or_create("a", ttl=60)
session.append(X)
lease = session.lease(ttl=0.3).acquire()
cache._context.hub.try_subscribe()
threading.Thread(target=lambda: cache.worker("a", print, signals=False), daemon=True).start()
time.sleep(0.5)
atexit.register(session.append, X)
""",
    "asyncio": """
cache = AsyncSessionCache.from_url(url, namespace=namespace)
async def main():
    global lease
    session = await cache.get_or_create("a", ttl=60)
    await session.append(X)
    lease = await session.lease(ttl=0.3).acquire()
    await cache._context.hub.try_subscribe()
    await asyncio.sleep(0.5)
asyncio.run(main())
""",
    "a loop in a daemon thread": """
cache = AsyncSessionCache.from_url(url, namespace=namespace)
async def main():
    session = await cache.get_or_create("a", ttl=60)
    while True:
        await session.append(X)
threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
time.sleep(0.5)
""",
    "no fork": """
with SessionCache.from_url(url, namespace=namespace) as cache:
    cache.get_or_create("a", ttl=60).append(X)
async def main():
    async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
        session = await cache.get_or_create("a", ttl=60)
        async with session.lease():
            await session.append(X)
asyncio.run(main())
""",
}


@pytest.mark.parametrize("use", list(USES))
def test_interpreter_ends_without_errors_or_delay(server: Server, namespace: str, use: str) -> None:
    """A process that ends with an open cache, a held lease and a worker prints nothing, also without `register_at_fork`."""
    begin = (
        "import asyncio, atexit, logging, os, random, sys, threading, time, fakeredis, pydantic.fields\n"
        "logging.getLogger('redis_sessions').setLevel(logging.ERROR)  # a busy machine blocks an event loop\n"
        + ("del os.register_at_fork\n" if use == "no fork" else "")
        + "from redis_sessions import AsyncSessionCache, SessionCache\n"
        f"url, namespace, X = {server.url!r}, {namespace!r}, {X!r}\n"
    )
    end = "\nprint(time.time(), flush=True)\n"
    command = [sys.executable, "-c", begin + USES[use] + end]
    with measured_load() as load:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=_ROOT)
        assert (done.returncode, done.stderr) == (0, "")
        delay = time.time() - float(done.stdout)
        assert delay < load.allow(4), "the default time limits are 5 s and 10 s"
    server.client.flushall()


def interrupt_worker(own: Callable[..., object]) -> None:
    """Send SIGINT to this process as soon as a worker has taken the signal from the handler of a test."""
    await_true(lambda: signal.getsignal(signal.SIGINT) is not own)
    os.kill(os.getpid(), signal.SIGINT)


def test_worker_gives_back_the_signal_handlers_that_it_found(server: Server, namespace: str) -> None:
    """After a worker that a signal stopped, the handlers of the program are back. A worker with `stop` takes none."""
    heard: list[int] = []

    def own(number: int, frame: object) -> None:
        heard.append(number)

    before = {number: signal.signal(number, own) for number in (signal.SIGTERM, signal.SIGINT)}

    async def handle(run: AsyncRun) -> None:
        """Never called, because there is no work."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(server.url, namespace=namespace) as cache:
            workers = [asyncio.create_task(cache.worker("a", handle)) for _ in range(2)]
            while signal.getsignal(signal.SIGTERM) is own:
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(asyncio.gather(*workers), 60)
            for options in ({"stop": asyncio.Event()}, {"signals": False}):
                worker = asyncio.create_task(cache.worker("a", handle, **options))
                await asyncio.sleep(0.3)
                assert signal.getsignal(signal.SIGTERM) is own
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)

    try:
        asyncio.run(main())
        assert heard == []
        assert [signal.getsignal(number) for number in before] == [own, own]
        with SessionCache.from_url(server.url, namespace=namespace) as cache:
            killer = threading.Thread(target=interrupt_worker, args=(own,))
            killer.start()
            cache.worker("a", print)
            killer.join()
        assert heard == []
        assert [signal.getsignal(number) for number in before] == [own, own]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    server.client.flushall()
