"""Failures between this process and a server, before they become errors that the caller sees."""

from __future__ import annotations

import ssl


class TransportError(Exception):
    """Base of the errors of the transport."""


class ConnectionRejected(TransportError):
    """The server refuses this connection for good. The command did not run."""


class ConnectFailed(TransportError):
    """No connection could be made. The command was not sent."""


class ConnectImpossible(TransportError):
    """No connection can be made until an operator mends it: a certificate, a file or a permission. Waiting cannot help."""


class TimeOver(ConnectFailed):
    """The caller's time was over before the command was sent. An earlier failure says more."""


class ConnectionLost(TransportError):
    """The connection broke or fell silent after the command was sent. The command may or may not have run."""


class ServerNotReady(TransportError):
    """The server answered that it cannot serve now. The command did not run."""


NOT_READY_WORDS = frozenset(
    ["READONLY", "LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "BUSY", "UNBLOCKED", "FAILOVER", "MISCONF"]
)  # fmt: skip
"""First words of error replies after which the same call can succeed soon."""
DENIED_WORDS = frozenset(["NOAUTH", "WRONGPASS", "NOPERM"])
"""First words of error replies that only other credentials or rights can change."""
REPLICA_WORDS = frozenset(["READONLY", "MASTERDOWN"])
"""First words of error replies of a server that is not a master: another server may have its address by now."""
_WRAPPED_WORDS = (*NOT_READY_WORDS, *DENIED_WORDS, "OOM")
_DENIED_IN_SCRIPT = ("ACL failure in script", "The user executing the script can't")
_PASSING_TLS_ERRORS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""TLS errors of a connection that the peer cut, for example because the server restarts."""


def error_word(text: str) -> str:
    """Return the word that names a server's error.

    Engines word the error of a command inside a script differently: Redis 6.2 puts text before it, and all of them have
    texts of their own for a missing right. redis-py may have removed a leading ERR.
    """
    first = text.split(None, 1)[0] if text.strip() else ""
    if any(mark in text for mark in _DENIED_IN_SCRIPT):
        return "NOPERM"
    if first in ("ERR", "Error"):
        for known in _WRAPPED_WORDS:
            if f"-{known} " in text:
                return known
    return first


def connect_error(problem: BaseException, *, had_connection: bool) -> TransportError:
    """Return the transport's error for a connection that could not be made.

    Args:
        problem: the error of redis-py. It was raised while another error was handled, which says more.
        had_connection: True if a connection could be made before. A missing file is then a server that restarts.
    """
    text = str(problem) or type(problem).__name__
    impossible = (
        (ssl.SSLError, PermissionError) if had_connection else (ssl.SSLError, PermissionError, FileNotFoundError)
    )
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, impossible) and not isinstance(cause, _PASSING_TLS_ERRORS):
            return ConnectImpossible(f"{text}; not retried, because waiting cannot mend it")
        cause = cause.__cause__ or cause.__context__
    return ConnectFailed(text)


class CopyNeeded(Exception):
    """The messages are too many for one call, and must be copied before in parts (NEED_COPY)."""


class QueueNeeded(Exception):
    """The call must name the queue of an agent (NEED_QUEUE), and is repeated then."""

    def __init__(self, agent: str) -> None:
        super().__init__(agent)
        self.agent = agent
