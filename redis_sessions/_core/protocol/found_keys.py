"""Find the thread that a key belongs to."""

from __future__ import annotations

from ...errors import InvalidInput
from .keys import CheckpointKeys, checkpoint_keys


def every_thread(namespace: str) -> str:
    """Return the pattern that the keys of all threads match, for SCAN."""
    return f"{namespace}:{{*}}:checkpoints:*"


def thread_of(namespace: str, key: bytes) -> CheckpointKeys | None:
    """Return the keys of a thread from the key of its values, or None when `checkpoint_keys` does not make that key."""
    try:
        found = checkpoint_keys(namespace, key.decode(errors="replace").partition("}:checkpoints:")[2])
    except InvalidInput:
        return None
    return found if found.values.encode() == key else None
