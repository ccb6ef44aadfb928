"""Failures between this process and a server, before they become errors that the caller sees."""

from __future__ import annotations


class TransportError(Exception):
    """Base of the errors of the transport."""


class ConnectionRejected(TransportError):
    """The server refuses this connection for good. The command did not run."""


class ConnectFailed(TransportError):
    """No connection could be made. The command was not sent."""


class ConnectionLost(TransportError):
    """The connection broke or fell silent after the command was sent. The command may or may not have run."""


class ServerNotReady(TransportError):
    """The server answered that it cannot serve now. The command did not run."""


NOT_READY_WORDS = frozenset(
    ["READONLY", "LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "BUSY", "UNBLOCKED", "FAILOVER"]
)
"""First words of error replies after which the same call can succeed soon."""
DENIED_WORDS = frozenset(["NOAUTH", "WRONGPASS", "NOPERM"])
"""First words of error replies that only other credentials or rights can change."""


def error_word(text: str) -> str:
    """Return the word that names a server's error. Redis 6.2 wraps the error of a command inside a script in other text."""
    words = text.split(None, 1)
    if not words:
        return ""
    if words[0] == "ERR":
        for known in (*NOT_READY_WORDS, *DENIED_WORDS, "OOM"):
            if f"-{known} " in text:
                return known
    return words[0]


class QueueNeeded(Exception):
    """The call must name the queue of an agent (NEED_QUEUE), and is repeated then."""

    def __init__(self, agent: str) -> None:
        super().__init__(agent)
        self.agent = agent
