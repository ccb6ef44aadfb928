"""Errors about the server and the network."""

from __future__ import annotations

from typing import Self

from .base import SessionsError


class OutcomeUnknown(SessionsError):
    """The call may or may not have been carried out. Repeat it with `batch_id`, if there is one: it then happens once."""

    reply = ("batch_id",)
    template = "session {session_id!r}: no answer for {waited:.1f} s, so the outcome is unknown ({detail}). {advice}"
    session_id: str
    batch_id: str | None
    waited: float
    """Seconds for which the call was tried."""
    detail: str
    advice: str

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Return the error of a repeated batch of which the cap dropped all traces."""
        return cls(
            session_id=session_id, batch_id=words[0], waited=0.0, advice="Look at the history before you repeat it",
            detail="the cap dropped all messages of that time, so the batch can be among them",
        )  # fmt: skip


class NotReplicated(SessionsError):
    """The write was made, but fewer replicas than `acks` acknowledged it in time."""

    template = (
        "session {session_id!r}: the write was made, but {acked} of {wanted} replicas acknowledged it, so a failover now"
        " could lose it. {advice}"
    )
    session_id: str
    acked: int
    wanted: int
    batch_id: str | None
    advice: str


class StoreUnavailable(SessionsError):
    """The server could not be reached, or did not serve, within `retry_for`. Nothing was written."""

    template = "{where} did not serve for {waited:.1f} s ({detail}). Check that it runs and that the URL is right"
    where: str
    waited: float
    """Seconds for which the call was tried. 0 if it was not repeated."""
    detail: str


class BlobStoreUnavailable(StoreUnavailable):
    """The blob store for large values could not be reached, or refused, within `retry_for`. The server was not written."""

    template = (
        "the blob store {where} did not serve for {waited:.1f} s ({detail}). Check that it runs and grants access"
    )


class StoreFull(SessionsError):
    """The server refused the write, because `maxmemory` is reached. Nothing was written."""

    template = "{where} is out of memory (maxmemory) and refused the write: free or add memory, then repeat the call"
    where: str


class AccessDenied(SessionsError):
    """The server requires other credentials, or the user lacks a right."""

    template = "{where} refused access: check user, password and ACL ({detail})"
    where: str
    detail: str


class SchemaMismatch(SessionsError):
    """The namespace holds data of another schema version. Nothing was read or written."""

    template = (
        "namespace {namespace!r} holds schema {found}, and this package writes schema {wanted}: use a matching version"
    )
    namespace: str
    found: str
    wanted: str


class StoreError(SessionsError):
    """The server answered with an error that this package does not know."""

    template = "{where} answered: {detail}"
    where: str
    detail: str
