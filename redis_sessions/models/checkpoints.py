"""Checkpoints of a thread, as graph frameworks store them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class CheckpointWrite(NamedTuple):
    """A pending write: a value that one task wrote to one channel after a checkpoint."""

    task: str
    """The ID of the task. One line of text."""
    number: int
    """The number of the write in its task. A task writes each number once."""
    channel: str
    """The channel. One line of text."""
    data: bytes
    """The value, which the library does not read."""
    path: str = ""
    """The place of the task in its step. Writes are ordered by path, task and number."""
    replaces: bool = False
    """True if the write replaces a present one with the same task and number. False if the present one stays."""


class Checkpoint(NamedTuple):
    """A checkpoint of a thread with its blobs and pending writes."""

    namespace: str
    """The checkpoint namespace, '' for that of the root graph."""
    id: str
    """The ID, which orders the checkpoints of a namespace."""
    parent: str | None
    """The ID of the checkpoint before it, which may be gone by now."""
    state: bytes
    """The state, which the library does not read."""
    metadata: bytes
    """The metadata, which the library does not read."""
    label: str | None
    """The word by which `drop` and `threads_with` find the checkpoint."""
    versions: Mapping[str, str]
    """The version of each channel."""
    blobs: Mapping[str, bytes]
    """The blobs of the channels whose version has one."""
    writes: tuple[CheckpointWrite, ...]
    """The pending writes by path, task and number."""
