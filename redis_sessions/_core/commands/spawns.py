"""The call that spawns a child, and the checks of what a caller asks for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

from ..._durations import Duration, delay_milliseconds, milliseconds, whole
from ...bounds import DEFAULT_BOUNDS, StorageBounds
from ...errors import InvalidInput
from ...models.trees import SpawnRef, SpawnResult
from ...settings import SessionSettings
from ..protocol.call import Argument, Call, invoke
from ..protocol.encoding import copy_origins, encoded_fields, encoded_origins
from ..protocol.ids import check_id, new_id, new_incarnation, new_operation_id
from ..protocol.json_values import from_json
from ..protocol.keys import AgentKeys, SessionKeys
from ..protocol.scripts import script
from ..protocol.trace_context import creation_trace
from ..protocol.work import queue_prefix
from .forks import Report, reports
from .loops import validated
from .recorded_results import words_of
from .run_queues import queue_keys
from .session_fields import TURN_ATTEMPTS, check_agent, checked_choice, checked_text, queue_fields
from .storage_bounds import check_fields, value_bytes

Context = Literal["isolated", "fork"]
Mode = Literal["run", "session"]
Cleanup = Literal["keep", "delete"]
OnParentEnd = Literal["cancel", "detach", "request_cancel"]
_MODES: tuple[str, ...] = get_args(Mode)
_CLEANUPS: tuple[str, ...] = get_args(Cleanup)
_CONTEXTS: tuple[str, ...] = get_args(Context)
_LETTERS = {"cancel": "c", "detach": "d", "request_cancel": "r"}
_ON_PARENT_END = tuple(_LETTERS)
DEFAULT_ATTEMPTS = 3
"""The number of attempts of a run that may fail, unless the spawn says otherwise."""
_REFUSALS = {
    "max_depth": "the tree has {max} levels already",
    "max_children": "{max} children are active already",
    "max_active": "{max} sessions of the tree are active already",
    "max_descendants": "the tree has {max} sessions already",
    "max_spawned": "the tree has had {max} sessions already",
    "token_budget": "{current} of {max} tokens are spent",
    "cost_budget": "the budget of the tree is spent",
    "label_in_use": "an active session of the tree has this label",
    "cancelled": "the tree was cancelled",
    "call_not_open": "no tool call of the parent with this ID waits for its result",
}


class SpawnRequest(NamedTuple):
    """The checked arguments of a spawn."""

    agent: str
    id: str
    label: str
    on_parent_end: str
    reference: str
    is_fork: bool
    reports: str
    max_attempts: int | str
    run_timeout_ms: int
    delay_ms: int
    run_at_ms: int
    queue_prefix: str
    fields: dict[str, Argument]
    batch: str
    """The operation ID of all attempts."""

    @property
    def wait_ms(self) -> int:
        """The time until workers can claim the child, by the clock of this process."""
        return max(self.delay_ms, self.run_at_ms - round(time.time() * 1000), 0)


def spawn_request(
    parent: SessionKeys,
    agent_id: str,
    *,
    task: str | None,
    label: str | None,
    model: str | None,
    mode: Mode,
    cleanup: Cleanup,
    context: Context,
    on_parent_end: OnParentEnd,
    run_timeout: Duration | None,
    max_attempts: int,
    spawned_by: SpawnRef | Mapping[str, Any] | None,
    batch_id: str | None,
    report: Report = "message",
    delay: Duration = 0.0,
    run_at: datetime | None = None,
    priority: int = 0,
    fairness_key: str | None = None,
    bounds: StorageBounds = DEFAULT_BOUNDS,
) -> SpawnRequest:
    """Check the arguments of `spawn`, and give the child an ID in the slot of its parent. Raises InvalidInput."""
    checked_choice(mode, "mode", _MODES)
    checked_choice(cleanup, "cleanup", _CLEANUPS)
    checked_choice(context, "context", _CONTEXTS)
    checked_choice(on_parent_end, "on_parent_end", _ON_PARENT_END)
    fields: dict[str, Argument] = {"agent": check_agent(agent_id), "kind": "subagent"}
    for name, text in (("task", task), ("model", model)):
        if text is not None:
            fields[name] = checked_text(text, name)
    if label is not None:
        fields["label"] = check_id(label, "label", 128)
    if cleanup == "delete":
        fields["cleanup"] = cleanup
    reference = _reference(spawned_by)
    if reference != "-":
        fields["spawned_by"] = reference
    check_fields(bounds, fields)
    whole(max_attempts, "max_attempts", minimum=1, maximum=1000)
    if mode == "session":
        _refuse_run_options(
            delay=bool(delay), run_at=run_at is not None, run_timeout=run_timeout is not None,
            max_attempts=max_attempts != DEFAULT_ATTEMPTS,
        )  # fmt: skip
    fields |= queue_fields(priority or None, fairness_key)
    seed = None if batch_id is None else f"{parent.session} {batch_id}"
    id = f"agent:{agent_id}:subagent:{new_id(parent.tag, seed)}"
    return SpawnRequest(
        agent_id,
        id,
        label or "",
        _LETTERS[on_parent_end],
        reference,
        context == "fork",
        reports(report, None if reference == "-" else SpawnRef(**from_json(reference))),
        max_attempts if mode == "run" else "-",
        0 if run_timeout is None else milliseconds(run_timeout, "run_timeout"),
        delay_milliseconds(delay, "delay"),
        _run_at_ms(run_at, delay, is_repeatable=batch_id is not None),
        queue_prefix(id, (parent.id, *parent.ancestors), priority, fairness_key),
        fields,
        batch_id or new_operation_id(),
    )


def _refuse_run_options(**given: bool) -> None:
    """Raise InvalidInput if a child that no worker claims is given an option of runs."""
    for name, is_given in given.items():
        if is_given:
            raise InvalidInput(
                name=name, detail="needs mode='run': no worker claims a child with mode='session' as a run"
            )


def _run_at_ms(run_at: datetime | None, delay: Duration, *, is_repeatable: bool) -> int:
    """Return the time before which a run must not be claimed, or 0.

    Raises InvalidInput for a time that is over, unless the spawn can be a repetition.
    """
    if run_at is None:
        return 0
    if not isinstance(run_at, datetime) or run_at.tzinfo is None:
        raise InvalidInput(name="run_at", detail=f"must be a datetime with a time zone, got {run_at!r}")
    if delay:
        raise InvalidInput(name="run_at", detail="and delay exclude each other")
    left = run_at.timestamp() - time.time()
    if left < 0 and not is_repeatable:
        raise InvalidInput(name="run_at", detail=f"must not be in the past, got {run_at.isoformat()}")
    delay_milliseconds(max(left, 0), "run_at")
    return round(run_at.timestamp() * 1000)


def _reference(given: SpawnRef | Mapping[str, Any] | None) -> str:
    if given is None:
        return "-"
    return validated(SpawnRef, given, "spawned_by").model_dump_json(exclude_none=True)


def spawn(
    parent: SessionKeys,
    child: SessionKeys,
    incarnation: str,
    lease: str,
    request: SpawnRequest,
    settings: SessionSettings,
    fields: Mapping[str, Argument],
    queue: AgentKeys | None,
    *,
    inherits_user: bool,
    traceparent: str = "",
) -> Call[SpawnResult]:
    """Spawn a child. `queue` are the keys of the agent's queue, or None where the queue has a slot of its own."""
    child.chain = parent.chain
    if "answered_by" in fields and request.max_attempts != "-":
        raise InvalidInput(name="answered_by", detail="needs mode='session': a run ends with its result")
    all_fields = _stored_fields(parent, child, request, settings.fields() | dict(fields) | request.fields, traceparent)
    return invoke(
        script("trees/spawn"),
        parent,
        lambda reply: _read_spawn(reply, request.batch),
        other_keys={
            "child": child.session,
            "child_messages": child.messages,
            "copy": child.messages,
            "kept_copy": child.session,
            **queue_keys(queue, parent),
        },
        rest=[part for pair in all_fields.items() for part in pair],
        operation=request.batch,
        incarnation=incarnation,
        operation_id=request.batch,
        lease=lease,
        parent_id=parent.id,
        child_id=request.id,
        run_id=new_incarnation(),
        caps=settings.caps,
        ttl_ms=settings.ttl_ms,
        lifetime_ms=settings.max_lifetime_ms,
        tree_limits=settings.tree_limits,
        label=request.label,
        on_parent_end=request.on_parent_end,
        reference=request.reference,
        is_fork=int(request.is_fork),
        reports=request.reports,
        inherits_user=int(inherits_user),
        max_attempts=TURN_ATTEMPTS if "answered_by" in fields else request.max_attempts,
        run_timeout_ms=request.run_timeout_ms,
        delay_ms=request.delay_ms,
        run_at_ms=request.run_at_ms,
        queue_prefix=f"{request.queue_prefix} " if request.queue_prefix else "",
        is_queued=int(queue is not None),
        copied_rev=0,
    )


def _stored_fields(
    parent: SessionKeys, child: SessionKeys, request: SpawnRequest, fields: dict[str, Argument], traceparent: str
) -> dict[str, Argument]:
    """Return the fields of a child's hash, encoded. The bounds of the tree stand at the root alone."""
    fields.pop("tree_limits", None)
    if traceparent and request.max_attempts != "-":
        fields["trace"] = creation_trace(traceparent)
    stored = encoded_fields(child, fields)
    stored["value_bytes"] = value_bytes(stored)
    if request.is_fork and child.chain is not None:
        stored["origins"] = encoded_origins(child.chain, child.id, copy_origins(parent))
    return stored


def _read_spawn(reply: list[bytes], batch: str) -> SpawnResult:
    """Return the child, or the reason for which the tree has no room. Raises OperationConflict for another operation."""
    if reply[1] == b"accepted":
        _, id, run_id = (word.decode() for word in words_of(reply[2], "spawned", batch))
        return SpawnResult("accepted", None, run_id, id, f"accepted: {id}")
    reason, *facts = reply[2].decode().split()
    text = _REFUSALS.get(reason, "the parent is " + reason.removeprefix("parent_"))
    message = text.format(**dict(zip(("current", "max"), facts, strict=False)))
    return SpawnResult("forbidden", reason, None, None, f"forbidden ({reason}): {message}")
