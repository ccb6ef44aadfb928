"""What servers and networks do: no answer, no room, no right, another version."""

from __future__ import annotations

from .base import SessionsError


class OutcomeUnknown(SessionsError):
    """The call may or may not have been carried out. Repeat it, with `batch_id` if there is one: it happens once."""

    template = "session {session_id!r}: no answer for {waited:.1f} s, so the outcome is unknown ({detail}); {advice}"
    code = "UNSETTLED"
    session_id: str
    batch_id: str | None
    waited: float
    detail: str


class NotReplicated(SessionsError):
    """The write was made, but fewer replicas than `acks` acknowledged it in time."""

    template = (
        "session {session_id!r}: the write was made, but {acked} of {wanted} replicas acknowledged it, so a failover now"
        " could lose it; {advice}"
    )
    session_id: str
    acked: int
    wanted: int
    batch_id: str | None


class StoreUnavailable(SessionsError):
    """The server could not be reached, or did not serve, within `retry_for`. Nothing was written."""

    template = "{where} did not serve for {waited:.1f} s ({detail}); check that it runs and that the URL is right"
    where: str
    waited: float
    detail: str


class StoreFull(SessionsError):
    """The server refused the write: `maxmemory` is reached. Nothing was written."""

    template = "{where} is out of memory (maxmemory) and refused the write: free or add memory, then repeat the call"
    where: str


class AccessDenied(SessionsError):
    """The server wants other credentials, or the user lacks a right."""

    template = "{where} refused access: {detail}; check user, password and ACL"
    where: str
    detail: str


class SchemaMismatch(SessionsError):
    """The namespace holds data of another schema version; this version of the package does not touch it."""

    template = (
        "namespace {namespace!r} holds schema {found}, this package writes schema {wanted}: use a matching version"
    )
    namespace: str
    found: str
    wanted: str


class StoreError(SessionsError):
    """The server answered with an error this package does not know."""

    template = "{where} answered: {detail}"
    where: str
    detail: str
