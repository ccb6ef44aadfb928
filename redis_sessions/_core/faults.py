"""What can go wrong between us and a server, before it becomes an error of the caller's."""

from __future__ import annotations


class Fault(Exception):
    """Base of what happens on the way."""


class Refused(Fault):
    """The server will not serve this connection, however often it is asked: nothing was done."""


class Unreachable(Fault):
    """No connection could be made: nothing was sent."""


class Lost(Fault):
    """The connection broke or fell silent after sending: the command may or may not have run."""


class NotServing(Fault):
    """The server answered that it cannot serve now: it did nothing."""


# First words of replies that mean: nothing was done, ask again soon. Some scripts' engines wrap them in other text.
NOT_SERVING = frozenset(
    ["READONLY", "LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "BUSY", "UNBLOCKED", "FAILOVER"]
)
DENIED = frozenset(["NOAUTH", "WRONGPASS", "NOPERM"])


def word_of(text: str) -> str:
    """The word that says what a server's error is, also where a script's engine wrapped it (Redis 6.2)."""
    words = text.split(None, 1)
    if not words:
        return ""
    if words[0] == "ERR":
        for known in (*NOT_SERVING, *DENIED, "OOM"):
            if f"-{known} " in text:
                return known
    return words[0]
