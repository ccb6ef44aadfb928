"""Every error of this package, under one base. Each says what failed and what to do, and carries its facts.

A script refuses with the name of the error in capitals (`SESSION_NOT_FOUND …`), followed by the error's `reply` facts.
"""

from __future__ import annotations

from .base import InvalidInput, InvalidState, SessionsError
from .sessions import (
    BoundExceeded,
    CodecMissing,
    CompactionConflict,
    ConcurrentModification,
    DecryptionError,
    EditConflict,
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    MessageNotFound,
    MessageTooLarge,
    NotAnInteger,
    OperationConflict,
    RevisionConflict,
    SessionDamaged,
    SessionExists,
    SessionLocked,
    SessionNotActive,
    SessionNotFound,
    SessionRegressed,
    SessionReplaced,
    StateConflict,
)
from .store import (
    AccessDenied,
    BlobStoreUnavailable,
    NotReplicated,
    OutcomeUnknown,
    SchemaMismatch,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from .trees import JoinTimeout, LoopConflict, LoopNotFound, ReplyTimeout, SpawnRefused

__all__ = [
    "AccessDenied",
    "BlobStoreUnavailable",
    "BoundExceeded",
    "CodecMissing",
    "CompactionConflict",
    "ConcurrentModification",
    "DecryptionError",
    "EditConflict",
    "InvalidInput",
    "InvalidState",
    "InvalidTransition",
    "JoinTimeout",
    "LeaseLost",
    "LimitExceeded",
    "LoopConflict",
    "LoopNotFound",
    "MessageNotFound",
    "MessageTooLarge",
    "NotAnInteger",
    "NotReplicated",
    "OperationConflict",
    "OutcomeUnknown",
    "ReplyTimeout",
    "RevisionConflict",
    "SchemaMismatch",
    "SessionDamaged",
    "SessionExists",
    "SessionLocked",
    "SessionNotActive",
    "SessionNotFound",
    "SessionRegressed",
    "SessionReplaced",
    "SessionsError",
    "SpawnRefused",
    "StateConflict",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
]


def _subclasses(cls: type[SessionsError]) -> list[type[SessionsError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in _subclasses(child))]


BY_REFUSAL = {cls.refusal: cls for cls in _subclasses(SessionsError) if "refusal" in vars(cls) and cls.refusal}
"""The error of each refusal."""
