"""The connection of a command: open the cache, and say on standard error what the command waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._core.commands import index_entries
from .._core.protocol.transport_errors import NOT_READY_WORDS, error_word
from .._durations import moment_of
from .._sync.api.cache import SessionCache
from ..errors import SessionNotFound
from .app import escape_controls, print_notice, shared_url
from .codec_options import codec_options

_QUIET_SECONDS = 0.7
"""The time after which a command says that it waits."""
_FORGET_SECONDS = 3.0
"""A failure that comes later than this after the one before begins another wait."""
_REASONS = (
    ("Connection refused", "connection refused, no server listens there"),
    ("Name or service not known", "unknown host"),
    ("nodename nor servname", "unknown host"),
    ("No address associated", "unknown host"),
    ("name resolution", "unknown host, or no name server answers"),
    ("No route to host", "no route to the host"),
    ("timed out", "no answer, the host or the server hangs"),
    ("Timeout", "no answer, the host or the server hangs"),
    ("LOADING", "the server is loading its data"),
    ("closed by server", "the server closes the connection: it restarts, or the port is for TLS, rediss://"),
    ("reset by peer", "the server closes the connection: it restarts, or the port is for TLS, rediss://"),
)
"""Parts of errors, and the reasons that they stand for."""


@contextmanager
def open_cache(
    url: str, namespace: str, *, codecs: str | None = None, decodes: bool = True, contact: bool = True, **options: Any
) -> Iterator[SessionCache]:
    """Yield the cache of a command, connected to its server.

    Args:
        url: the server, which more than one process can reach.
        namespace: the namespace.
        codecs: MODULE:NAME of the codecs. Default: those of the environment variable.
        decodes: False for a command that reads no encoded value, and so needs no codecs.
        contact: wait for the first answer here, at most `retry_for`. Without it the command handles a dead server itself.
        **options: options of the cache, such as `retry_for`.

    Raises:
        SessionNotFound: with a note that names the namespace and the server.

    Cost: one round trip.
    """
    given = (codec_options(codecs) if decodes else {}) | options
    with SessionCache.from_url(shared_url(url), namespace=namespace, **given) as cache:
        notice = WaitNotice(cache.where, cache._executor.retry_for)
        cache._executor.on_failure = notice.add
        try:
            if contact:
                with notice:
                    cache._executor.run(index_entries.server_time(cache.namespace))
            yield cache
        except SessionNotFound as problem:
            problem.add_note(f"Searched: {place_of(cache)}. Check the ID, --namespace and --url")
            raise


def place_of(cache: SessionCache) -> str:
    """Return the namespace and the server of a cache, for a message that nothing was found."""
    return f"namespace {escape_controls(cache.namespace)} on {escape_controls(cache.where)}"


def server_now(cache: SessionCache) -> Any:
    """Return the time of the server (UTC). Cost: one round trip."""
    return moment_of(cache._executor.run(index_entries.server_time(cache.namespace)))


def reason_of(problem: Exception) -> str:
    """Return why a server does not answer, in a few words."""
    text = str(problem)
    found = next((reason for part, reason in _REASONS if part in text), None)
    if found is None and error_word(text) in NOT_READY_WORDS:
        found = f"the server does not serve now: {text}"
    return found or text


class WaitNotice:
    """A line on standard error for each reason for which a command waits. As a block it is for the first contact."""

    def __init__(self, where: str, seconds: float, say: Callable[[str], None] | None = None) -> None:
        self._head = f"waiting for {where}, at most {seconds:.0f} s"
        self._is_tls = where.partition("://")[0].partition("+")[0] in ("rediss", "valkeys")
        self._print = print_notice if say is None else say
        self._began = self._last = 0.0
        self._reason = "no answer yet"
        self._said: set[str] = set()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        """Say after a while that no server has answered yet."""
        self._timer = threading.Timer(_QUIET_SECONDS, self._say)
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        """End the block."""
        if self._timer is not None:
            self._timer.cancel()

    def add(self, problem: Exception) -> None:
        """Take a failure after which the call is tried again."""
        now = time.monotonic()
        if now - self._last > _FORGET_SECONDS:
            self._began, self._said = now, set()
        self._last, self._reason = now, reason_of(problem)
        if now - self._began >= _QUIET_SECONDS / 2:
            self._say()

    def _say(self) -> None:
        if self._reason not in self._said:
            self._said.add(self._reason)
            hint = (
                ". Perhaps the port does not speak TLS" if self._is_tls and self._reason.startswith("no answer") else ""
            )
            self._print(escape_controls(f"{self._head}: {self._reason}{hint}"))
