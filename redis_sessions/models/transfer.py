"""The outcomes of an import, of a reencryption, and of a sweep of a blob store."""

from __future__ import annotations

from typing import Literal, NamedTuple

OnConflict = Literal["error", "skip", "replace"]


class ImportResult(NamedTuple):
    """The numbers of sessions that an import created, skipped and replaced."""

    imported: int
    """Sessions that did not exist before."""
    skipped: int
    """Sessions that were left as they are, because one of them exists."""
    replaced: int
    """Sessions that took the place of others."""
    messages: int
    """Messages that the imported and replaced sessions retain."""


class ReencryptResult(NamedTuple):
    """The outcome of `reencrypt` for one session, or for one category of documents, or one shared scope."""

    name: str
    """The ID of the session, or 'documents/<category>', or 'shared/<scope>'."""
    replaced: int
    """Values that have the present codecs and the current key now, and did not before."""
    problem: str | None = None
    """The reason why values stayed as they are, for example that no key fits."""


class BlobSweepResult(NamedTuple):
    """The counts of a sweep of a blob store."""

    files: int
    """Files of the namespace."""
    young: int
    """Files that stayed, because they are younger than the grace."""
    referenced: int
    """Older files that stayed, because a value refers to them."""
    copied: int
    """Older files that stayed until the next sweep, because a session of their folder was copied during this one."""
    removed: int
    """Older files to which nothing referred, and which were removed. With `dry_run` they were only counted."""
    keys: int = 0
    """Keys of the server that were read. In a cluster most of them count twice."""
