"""Distributed sessions for fleets of agents: Redis hashes and lists, changed atomically by Lua, through a thin client."""

from ._async.cache import AsyncSessionCache
from ._async.documents import AsyncDocuments
from ._async.leases import AsyncLease
from ._async.loops import AsyncLoop
from ._async.runs import AsyncRun
from ._async.session import AsyncSession
from ._async.state import AsyncState, AsyncVariables
from ._core.codec import estimate_tokens
from ._sync.cache import SessionCache
from ._sync.documents import Documents
from ._sync.leases import Lease
from ._sync.loops import Loop
from ._sync.runs import Run
from ._sync.session import Session
from ._sync.state import State, Variables
from .errors import (
    AccessDenied,
    InvalidInput,
    InvalidState,
    InvalidTransition,
    JoinTimeout,
    LeaseLost,
    LimitExceeded,
    LoopConflict,
    LoopNotFound,
    MessageNotFound,
    MessageTooLarge,
    NotANumber,
    NotReplicated,
    OutcomeUnknown,
    RangeMoved,
    ReplyTimeout,
    RevisionConflict,
    SchemaMismatch,
    SessionChanged,
    SessionExists,
    SessionLocked,
    SessionNotActive,
    SessionNotFound,
    SessionRegressed,
    SessionReplaced,
    SessionsError,
    SpawnRefused,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from .models.events import SessionEvent
from .models.leases import LeaseInfo
from .models.limits import LimitCheck
from .models.loops import Ledger, LoopConfig, LoopEvent, LoopInfo, LoopTurn, ParallelGroup, Usage
from .models.messages import Message
from .models.pages import Page
from .models.results import AppendResult, SendResult
from .models.sessions import (
    AgentRun,
    Conversation,
    Evaluation,
    Formation,
    Refinement,
    SessionInfo,
    SessionType,
    TeacherDemo,
)
from .models.summaries import SessionSummary
from .models.transfer import ImportResult
from .models.trees import ChildInfo, SpawnRef, SpawnResult
from .models.turns import Turn
from .settings import CacheOptions, NewSession, SessionOptions, SessionSettings

__version__ = "0.1.0"
__all__ = [
    "AccessDenied",
    "AgentRun",
    "AppendResult",
    "AsyncDocuments",
    "AsyncLease",
    "AsyncLoop",
    "AsyncRun",
    "AsyncSession",
    "AsyncSessionCache",
    "AsyncState",
    "AsyncVariables",
    "CacheOptions",
    "ChildInfo",
    "Conversation",
    "Documents",
    "Evaluation",
    "Formation",
    "ImportResult",
    "InvalidInput",
    "InvalidState",
    "InvalidTransition",
    "JoinTimeout",
    "Lease",
    "LeaseInfo",
    "LeaseLost",
    "Ledger",
    "LimitCheck",
    "LimitExceeded",
    "Loop",
    "LoopConfig",
    "LoopConflict",
    "LoopEvent",
    "LoopInfo",
    "LoopNotFound",
    "LoopTurn",
    "Message",
    "MessageNotFound",
    "MessageTooLarge",
    "NewSession",
    "NotANumber",
    "NotReplicated",
    "OutcomeUnknown",
    "Page",
    "ParallelGroup",
    "RangeMoved",
    "Refinement",
    "ReplyTimeout",
    "RevisionConflict",
    "Run",
    "SchemaMismatch",
    "SendResult",
    "Session",
    "SessionCache",
    "SessionChanged",
    "SessionEvent",
    "SessionExists",
    "SessionInfo",
    "SessionLocked",
    "SessionNotActive",
    "SessionNotFound",
    "SessionOptions",
    "SessionRegressed",
    "SessionReplaced",
    "SessionSettings",
    "SessionSummary",
    "SessionType",
    "SessionsError",
    "SpawnRef",
    "SpawnRefused",
    "SpawnResult",
    "State",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "TeacherDemo",
    "Turn",
    "Usage",
    "Variables",
    "estimate_tokens",
]
