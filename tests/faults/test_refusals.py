"""Refusals of servers: each engine words them differently, and each becomes the same error, at once where waiting cannot help."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from redis_sessions import AccessDenied, SessionCache, StoreFull, StoreUnavailable
from redis_sessions._core.protocol.transport_errors import error_word
from tests.support.server_states import break_snapshots, demote, mend_snapshots, promote, url_of_user
from tests.support.servers import Server, binaries

X = {"role": "user", "content": "x"}
AT_ONCE_SECONDS = 5
"""Far below the `retry_for` of 20 s of these tests."""


def append(url: str, retry_for: float = 20) -> None:
    """Append a message from a new cache."""
    with SessionCache.from_url(url, namespace="acme", retry_for=retry_for, timeout=1) as cache:
        cache.session("a").append(X)


def refused_at_once(url: str, kind: type[Exception], match: str) -> None:
    """Check that an append is refused with an error long before `retry_for` is over, and without a secret."""
    began = time.monotonic()
    with pytest.raises(kind, match=match) as refused:
        append(url)
    assert time.monotonic() - began < AT_ONCE_SECONDS
    assert "secret" not in str(refused.value)


def test_missing_right_inside_script_raises_access_denied(plain: Server) -> None:
    """A command that the user may not run inside a script is AccessDenied at once on every engine."""
    refused_at_once(url_of_user(plain, "-hmget"), AccessDenied, "script")


def test_unknown_user_raises_access_denied(plain: Server) -> None:
    """An unknown user is AccessDenied at once."""
    refused_at_once(plain.url.replace("//", "//unknown:secret@"), AccessDenied, "username")


def test_full_memory_inside_script_raises_store_full(plain: Server) -> None:
    """A full server is StoreFull at once on every engine."""
    plain.client.config_set("maxmemory", 1)
    refused_at_once(plain.url, StoreFull, "maxmemory")


Change = Callable[[Server], object]
PASSING: dict[str, tuple[Change, Change, str]] = {
    "READONLY": (demote, promote, "read only"),
    "MISCONF": (break_snapshots, mend_snapshots, "MISCONF"),
    "NOREPLICAS": (
        lambda server: server.client.config_set("min-replicas-to-write", 1),
        lambda server: server.client.config_set("min-replicas-to-write", 0),
        "NOREPLICAS",
    ),
}


@pytest.mark.parametrize("state", list(PASSING))
def test_passing_refusal_inside_script_is_ridden_out(plain: Server, state: str) -> None:
    """A refusal that can pass is named by the error after `retry_for`, and is retried until it passes."""
    begin, end, match = PASSING[state]
    begin(plain)
    for retry_for in (0.3, 3, 15):  # a busy machine may need longer until the server has refused once
        with pytest.raises(StoreUnavailable) as refused:
            append(plain.url, retry_for)
        if match in str(refused.value):
            break
    assert match in str(refused.value)
    timer = threading.Timer(0.5, end, [plain])
    timer.start()
    append(plain.url)
    timer.join()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Error running script (call to f_1): @user_script:33: @user_script: 33: -READONLY You can't write.", "READONLY"),
        ("ERR Error running script (call to f_1): @user_script:33: -OOM command not allowed", "OOM"),
        ("Error running script (call to f_1): @user_script:9: -MISCONF Redis is configured to save", "MISCONF"),
        ("Error running script (call to f_1): @user_script: 4: The user executing the script can't run this", "NOPERM"),
        ("ACL failure in script: User u has no permissions to run the 'hmget' command", "NOPERM"),
        ("MISCONF Redis is configured to save RDB snapshots", "MISCONF"),
        ("Error running script (call to f_1): @user_script:9: attempt to compare nil", "Error"),
        ("", ""),
    ],
)  # fmt: skip
def test_error_word_is_found_in_every_wording(text: str, word: str) -> None:
    """The word of a refusal is found, whether an engine puts text before it or replaces it."""
    assert error_word(text) == word


def test_refused_script_load_is_served_by_eval(plain: Server) -> None:
    """A user who may not load scripts works with EVAL."""
    url = url_of_user(plain, "-script")
    plain.client.script_flush()
    append(url)


def test_refused_script_load_and_eval_raise_access_denied(plain: Server) -> None:
    """A user who may neither load scripts nor use EVAL gets one error at once, which names both."""
    url = url_of_user(plain, "-script", "-eval")
    plain.client.script_flush()
    refused_at_once(url, AccessDenied, "SCRIPT LOAD .* or EVAL")


@pytest.mark.parametrize("name", [name for name in ("redis-6.2", "valkey-9", "path") if name in binaries()])
def test_renamed_script_command_is_served_by_eval(name: str) -> None:
    """A server whose SCRIPT command is renamed serves sessions with EVAL."""
    server = Server(binaries()[name], "--rename-command", "SCRIPT", "")
    try:
        with SessionCache.from_url(server.url, retry_for=1) as cache:
            assert cache.create("a").append(X).last_seq == 1
    finally:
        server.stop()


def test_refused_subscribe_lets_waiters_poll(plain: Server) -> None:
    """A waiter for a lease and a watcher poll on a server that refuses SUBSCRIBE, and see what happens soon."""
    url = url_of_user(plain, "-subscribe")
    with (
        SessionCache.from_url(url, namespace="acme") as deaf,
        SessionCache.from_url(plain.url, namespace="acme") as cache,
    ):
        held = cache.session("a").lease(20).acquire()
        threading.Timer(0.3, held.release).start()
        began = time.monotonic()
        with deaf.open("a").lease(5, 20):
            assert time.monotonic() - began < AT_ONCE_SECONDS
        began = time.monotonic()
        threading.Timer(0.3, lambda: cache.session("a").append({"role": "user", "content": "later"})).start()
        for event in deaf.open("a").watch(timeout=20):
            if event.kind == "message" and event.message and event.message.content == "later":
                break
        assert time.monotonic() - began < AT_ONCE_SECONDS


def test_missing_socket_is_refused_at_once(tmp_path: Path) -> None:
    """A Unix socket that does not exist is one error at once, which names the path."""
    refused_at_once(f"unix://{tmp_path}/none.sock", StoreUnavailable, "none.sock.*not retried")


def test_folder_and_file_in_place_of_a_socket_are_refused_at_once(tmp_path: Path) -> None:
    """A folder or a regular file is one error at once, which names the path, because no server will listen there."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        refused_at_once(f"unix://{path}", StoreUnavailable, f"{path} is not a socket; not retried")


def test_write_in_a_finalizer_is_made(plain: Server) -> None:
    """A write by the finalizer of an object that is collected together with its cache is made, or fails with an error of ours."""

    class Owner:
        def __init__(self) -> None:
            self.cache = SessionCache.from_url(plain.url, namespace="acme")
            self.me = self

        def __del__(self) -> None:
            try:
                self.cache.session("a").append(X)
            except Exception as problem:  # what a finalizer raises is only printed
                problems.append(problem)

    problems: list[Exception] = []
    Owner()
    gc.collect()
    assert problems == []
    with SessionCache.from_url(plain.url, namespace="acme") as cache:
        assert len(cache.session("a").history()) == 2


def test_socket_of_a_restarting_server_is_awaited(tmp_path: Path) -> None:
    """A Unix socket that served before and is missing for a moment is retried, because the server restarts."""
    server = Server(binaries()["valkey-9"], "--unixsocket", f"{tmp_path}/s.sock")
    try:
        with SessionCache.from_url(f"unix://{tmp_path}/s.sock", retry_for=20) as cache:
            assert cache.get("a") is None
            server.client.shutdown(nosave=True)
            server.process.wait()
            assert not (tmp_path / "s.sock").exists()
            timer = threading.Timer(0.5, server.start)
            timer.start()
            assert cache.get("a") is None
            timer.join()
    finally:
        server.stop()
