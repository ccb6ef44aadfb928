"""Every error this package raises, under one base. Each says what happened and what to do, and carries its facts.

A script refuses with a word (`NOT_FOUND …`); the class with that `code` is raised, its `reply` fields read from the words.
"""

from __future__ import annotations

from .base import (
    InvalidInput,
    InvalidState,
    SessionsError,
)
from .sessions import (
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    MessageNotFound,
    MessageTooLarge,
    NotANumber,
    RangeMoved,
    RevisionConflict,
    SessionChanged,
    SessionExists,
    SessionLocked,
    SessionNotActive,
    SessionNotFound,
    SessionRegressed,
    SessionReplaced,
)
from .store import (
    AccessDenied,
    NotReplicated,
    OutcomeUnknown,
    SchemaMismatch,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from .trees import (
    JoinTimeout,
    LoopConflict,
    LoopNotFound,
    ReplyTimeout,
    SpawnRefused,
)

__all__ = [
    "AccessDenied",
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
    "NotANumber",
    "NotReplicated",
    "OutcomeUnknown",
    "RangeMoved",
    "ReplyTimeout",
    "RevisionConflict",
    "SchemaMismatch",
    "SessionChanged",
    "SessionExists",
    "SessionLocked",
    "SessionNotActive",
    "SessionNotFound",
    "SessionRegressed",
    "SessionReplaced",
    "SessionsError",
    "SpawnRefused",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
]


def _family(cls: type[SessionsError]) -> list[type[SessionsError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in _family(child))]


BY_CODE = {cls.code: cls for cls in _family(SessionsError) if cls.code}
