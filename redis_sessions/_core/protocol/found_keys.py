"""Find keys by patterns, and what each belongs to."""

from __future__ import annotations

from ...errors import InvalidInput
from .keys import (
    ChannelKeys,
    CheckpointKeys,
    DocumentKeys,
    SessionKeys,
    StagedKeys,
    channel_keys,
    checkpoint_keys,
    document_keys,
    session_keys,
    staged_keys,
)
from .shared_keys import shared_keys


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


def every_session(namespace: str) -> str:
    """Return the pattern that the keys of all sessions match, for SCAN."""
    return f"{namespace}:{{*}}:session:*"


def every_scope(namespace: str) -> str:
    """Return the pattern that the keys of all shared scopes match, for SCAN."""
    return f"{namespace}:{{*}}:shared:*"


def scope_of(namespace: str, key: bytes) -> str | None:
    """Return the shared scope whose values have a key, or None when `shared_keys` does not make that key."""
    try:
        found = shared_keys(namespace, key.decode(errors="replace").partition("}:shared:")[2])
    except InvalidInput:
        return None
    return found.id if found.values.encode() == key else None


def every_document(namespace: str) -> str:
    """Return the pattern that the keys of all categories match, for SCAN."""
    return f"{namespace}:documents:*"


def every_messages(namespace: str) -> str:
    """Return the pattern that the keys of all lists of messages match, for SCAN."""
    return f"{namespace}:{{*}}:messages:*"


def every_channel(namespace: str) -> str:
    """Return the pattern that the keys of all channels match, for SCAN."""
    return f"{namespace}:{{*}}:channel:*"


def every_staged_session(namespace: str) -> str:
    """Return the pattern that the keys of all sessions match that are being imported, for SCAN."""
    return f"{namespace}:{{*}}:import-session:*"


def listed_session_of(namespace: str, key: bytes) -> SessionKeys | None:
    """Return the keys of the session whose list of messages has a key, or None for another key."""
    try:
        found = session_keys(namespace, key.decode(errors="replace").partition("}:messages:")[2])
    except InvalidInput:
        return None
    return found if found.messages.encode() == key else None


def channel_of(namespace: str, key: bytes) -> ChannelKeys | None:
    """Return the keys of a channel from its key, or None when `channel_keys` does not make that key."""
    channel = key.decode(errors="replace").partition("}:channel:")[2]
    try:
        found = channel_keys(namespace, channel)
    except InvalidInput:
        return None
    return found if found.channel.encode() == key else None


def staged_keys_of(namespace: str, key: bytes) -> StagedKeys | None:
    """Return the keys of a session that is being imported from one of them, or None for another key."""
    nonce, _, id = key.decode(errors="replace").partition("}:import-session:")[2].partition(":")
    found = staged_keys(namespace, id, nonce) if id else None
    return found if found is not None and found.fields.encode() == key else None


def staged_session_of(key: bytes) -> bytes:
    """Return the key of a session that is being imported from the key of its messages."""
    return key.replace(b":import-messages:", b":import-session:", 1)


def category_of(namespace: str, key: bytes) -> DocumentKeys | None:
    """Return the keys of a category of documents from its key, or None for another key."""
    category = key.decode(errors="replace").removeprefix(f"{namespace}:documents:")
    try:
        found = document_keys(namespace, category)
    except InvalidInput:
        return None
    return found if found.documents.encode() == key else None


def every_value(namespace: str) -> list[str]:
    """Return the patterns of the keys that can hold references to files, for SCAN, in the order in which they must be read.

    A value moves from an import to its session, and from a session to the quarantine, and never back.
    """
    prefix = f"{namespace}:{{*}}"
    return [
        every_staged_session(namespace), f"{prefix}:import-messages:*", every_session(namespace),
        f"{prefix}:quarantine-*", every_document(namespace), every_thread(namespace),
    ]  # fmt: skip


def session_id_of(namespace: str, key: bytes) -> str | None:
    """Return the ID of the session at a key, or None when `session_keys` does not make that key."""
    id = key.decode(errors="replace").partition("}:session:")[2]
    try:
        return id if session_keys(namespace, id).session.encode() == key else None
    except InvalidInput:
        return None
