"""Export and import: what came of one."""

from __future__ import annotations

from typing import Literal, NamedTuple

Existing = Literal["refuse", "skip", "replace"]


class ImportResult(NamedTuple):
    """How many sessions an import put where there was none, left out because they are there, put in place of others.

    `messages` is how many those it put in place retain.
    """

    imported: int
    skipped: int
    replaced: int
    messages: int
