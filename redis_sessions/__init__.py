"""Distributed sessions for fleets of agents: Redis hashes and lists, changed atomically by Lua, through a thin client."""

from . import formats as _formats  # noqa: F401 - registers the built-in formats
from ._async.api.cache import AsyncSessionCache
from ._async.api.checkpoints import AsyncCheckpoints
from ._async.api.documents import AsyncDocuments
from ._async.api.fleet_monitor import AsyncFleetMonitor
from ._async.api.lease import AsyncLease
from ._async.api.part import AsyncPart
from ._async.api.run import AsyncRun
from ._async.api.session import AsyncSession
from ._async.api.session_loops import AsyncLoop
from ._async.api.session_state import AsyncState, AsyncVariables
from ._async.api.shared import AsyncSharedScope
from ._async.services.watch import AsyncWatch
from ._core.protocol.composed_ids import compose_id, split_id
from ._core.protocol.token_estimate import estimate_tokens
from ._sync.api.cache import SessionCache
from ._sync.api.checkpoints import Checkpoints
from ._sync.api.documents import Documents
from ._sync.api.fleet_monitor import FleetMonitor
from ._sync.api.lease import Lease
from ._sync.api.part import Part
from ._sync.api.run import Run
from ._sync.api.session import Session
from ._sync.api.session_loops import Loop
from ._sync.api.session_state import State, Variables
from ._sync.api.shared import SharedScope
from ._sync.services.watch import Watch
from .bounds import StorageBounds
from .errors import (
    AccessDenied,
    BlobStoreUnavailable,
    BoundExceeded,
    CodecMissing,
    CompactionConflict,
    ConcurrentModification,
    DecryptionError,
    EditConflict,
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
    NotAnInteger,
    NotReplicated,
    OperationConflict,
    OutcomeUnknown,
    ReplyTimeout,
    RevisionConflict,
    SchemaMismatch,
    SessionDamaged,
    SessionExists,
    SessionLocked,
    SessionNotActive,
    SessionNotFound,
    SessionRegressed,
    SessionReplaced,
    SessionsError,
    SpawnRefused,
    StateConflict,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from .models.audit import AuditRecord
from .models.checkpoints import Checkpoint, CheckpointWrite
from .models.documents import Document
from .models.events import SessionEvent
from .models.fleet import AgentLoad, EndedRuns, Fleet, FleetProblem, FleetSample, FleetSession, ServerHealth
from .models.forgetting import ForgetResult
from .models.formats import Facts, MessageFormat, register_format
from .models.leases import LeaseInfo
from .models.limits import LimitCheck
from .models.loops import Ledger, LoopConfig, LoopEvent, LoopInfo, LoopTurn, ParallelGroup, Usage
from .models.messages import Message
from .models.pages import Page
from .models.parts import PartAppend, PartInfo
from .models.results import AppendNewResult, AppendResult, SendResult
from .models.run_control import GiveUp, Retry, RunParked
from .models.runs import Attempt
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
from .models.snapshots import Snapshot
from .models.summaries import SessionSummary
from .models.transfer import BlobSweepResult, ImportResult, ReencryptResult
from .models.trees import ChildInfo, SpawnRef, SpawnResult
from .models.turns import Turn
from .models.windows import Window
from .models.workers import WorkerInfo
from .settings import CacheOptions, NewSession, SessionOptions, SessionSettings

__version__ = "0.1.0"
__all__ = [
    "AccessDenied",
    "AgentLoad",
    "AgentRun",
    "AppendNewResult",
    "AppendResult",
    "AsyncCheckpoints",
    "AsyncDocuments",
    "AsyncFleetMonitor",
    "AsyncLease",
    "AsyncLoop",
    "AsyncPart",
    "AsyncRun",
    "AsyncSession",
    "AsyncSessionCache",
    "AsyncSharedScope",
    "AsyncState",
    "AsyncVariables",
    "AsyncWatch",
    "Attempt",
    "AuditRecord",
    "BlobStoreUnavailable",
    "BlobSweepResult",
    "BoundExceeded",
    "CacheOptions",
    "Checkpoint",
    "CheckpointWrite",
    "Checkpoints",
    "ChildInfo",
    "CodecMissing",
    "CompactionConflict",
    "ConcurrentModification",
    "Conversation",
    "DecryptionError",
    "Document",
    "Documents",
    "EditConflict",
    "EndedRuns",
    "Evaluation",
    "Facts",
    "Fleet",
    "FleetMonitor",
    "FleetProblem",
    "FleetSample",
    "FleetSession",
    "ForgetResult",
    "Formation",
    "GiveUp",
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
    "MessageFormat",
    "MessageNotFound",
    "MessageTooLarge",
    "NewSession",
    "NotAnInteger",
    "NotReplicated",
    "OperationConflict",
    "OutcomeUnknown",
    "Page",
    "ParallelGroup",
    "Part",
    "PartAppend",
    "PartInfo",
    "ReencryptResult",
    "Refinement",
    "ReplyTimeout",
    "Retry",
    "RevisionConflict",
    "Run",
    "RunParked",
    "SchemaMismatch",
    "SendResult",
    "ServerHealth",
    "Session",
    "SessionCache",
    "SessionDamaged",
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
    "SharedScope",
    "Snapshot",
    "SpawnRef",
    "SpawnRefused",
    "SpawnResult",
    "State",
    "StateConflict",
    "StorageBounds",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "TeacherDemo",
    "Turn",
    "Usage",
    "Variables",
    "Watch",
    "Window",
    "WorkerInfo",
    "compose_id",
    "estimate_tokens",
    "register_format",
    "split_id",
]
