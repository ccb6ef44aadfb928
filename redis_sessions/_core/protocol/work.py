"""The names of runs and turns in the queues of their agents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .ids import check_id

_PREFIX = re.compile(r"@-?\d+/\S+")


class Work(NamedTuple):
    """A run or a turn as queues name it: the session, its ancestors, and its place in the line."""

    id: str
    ancestors: tuple[str, ...]
    prefix: str = ""
    """'@<priority>/<fairness key>', or '' for the default."""

    @classmethod
    def parse(cls, text: str) -> Work:
        """Read '[@<priority>/<fairness key> ]<id> <parent> … <root>'. Raises InvalidInput."""
        words = text.split(" ")
        prefix = words.pop(0) if len(words) > 1 and _PREFIX.fullmatch(words[0]) else ""
        ids = [check_id(word) for word in words]
        return cls(ids[0], tuple(ids[1:]), prefix)

    def __str__(self) -> str:
        return " ".join([*([self.prefix] if self.prefix else []), self.id, *self.ancestors])


def queue_prefix(id: str, ancestors: Sequence[str], priority: int | str | None, fairness_key: str | None) -> str:
    """Return '@<priority>/<fairness key>' of work, or '' for the default: priority 0, and the root as key."""
    if (priority is None or int(priority) == 0) and fairness_key is None and not _PREFIX.fullmatch(id):
        return ""
    return f"@{priority or 0}/{fairness_key or [id, *ancestors][-1]}"


def is_work(member: bytes) -> bool:
    """Return whether a member of a queue names a session."""
    try:
        Work.parse(member.decode())
    except ValueError:
        return False
    return True
