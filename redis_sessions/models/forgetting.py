"""The outcome of forgetting a user."""

from __future__ import annotations

from typing import NamedTuple

MAX_FORGOTTEN_IDS = 1000


class ForgetResult(NamedTuple):
    """The numbers of the things that `forget` removed. A repeated call counts only things that were left."""

    user_id: str
    """The user."""
    sessions: int = 0
    """Sessions of the user, and all sessions below them."""
    session_ids: tuple[str, ...] = ()
    """The IDs of the first 1,000 of these sessions."""
    messages: int = 0
    """Messages that these sessions retained."""
    results: int = 0
    """Results of these sessions whose text was removed from the sessions of others: transcripts, inboxes and member records."""
    index_entries: int = 0
    """Entries of these sessions in the indexes, also of sessions that were gone."""
    queue_entries: int = 0
    """Places of these sessions in the queues of agents, and in the index of leases."""
    channels: int = 0
    """Channels that talked in one of these sessions."""
    worker_records: int = 0
    """Records of workers that named one of these sessions."""
    documents: int = 0
    """Documents of the user's categories."""
    categories: tuple[str, ...] = ()
    """The user's categories."""
    shared_values: int = 0
    """Values of the user's shared scopes."""
    scopes: tuple[str, ...] = ()
    """The user's shared scopes."""
    quarantined: int = 0
    """Keys of the quarantine that held data of the user."""
    files: int = 0
    """Files of the blob store that held values of these sessions and documents."""
    files_left: int = 0
    """Such files that stay until a sweep: they are younger than 10 minutes, or a copy of a session refers to them."""
    remaining: int = 0
    """Sessions of the user that were created since the call began, and stay. Repeat the call of `forget`."""
