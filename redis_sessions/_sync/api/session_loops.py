# Generated from _async/api/session_loops.py by tools/mirror.py; edit that file.
"""Methods on a session's ledger: its loops, their usage, turns and events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel

from ..._core.commands import loops
from ..._core.protocol.ids import check_id, new_id
from ..._pickling import NotPicklable
from ...models.loops import Ledger, LoopConfig, LoopEvent, LoopTurn, Usage
from ...models.pages import Page
from .session_base import SessionBase


class SessionLoops(SessionBase):
    """The ledger of one session. Each method is one atomic round trip unless it says otherwise.

    Writes are guarded, and happen once when repeated.
    """

    def start_loop(
        self,
        loop_id: str | None = None,
        *,
        config: LoopConfig | Mapping[str, Any] | None = None,
        parent: str | None = None,
        group: str | None = None,
        continuation: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        status: Literal["pending", "running"] = "running",
    ) -> Loop:
        """Start a loop, which is the record of one agent run.

        Args:
            loop_id: its ID, 1 to 128 characters. Default: a new one.
            config: the configuration that it runs with.
            parent: the loop that starts it, in this session or another.
            group: the parallel group that it belongs to.
            continuation: the kind of continuation.
            metadata: a JSON object.
            status: pending or running.

        Raises:
            LoopConflict: the session has a loop with this ID.
            SessionNotActive: the session is paused or has ended.
            BoundExceeded: the session has as many loops as the bound `loops` says.
        """
        loop = self.loop(new_id() if loop_id is None else loop_id)
        self._run(
            loops.start(
                self._keys, *self._guard(), loop.id, status=status, config=config, parent=parent, group=group,
                continuation=continuation, metadata=metadata, bounds=self._context.bounds,
            )
        )  # fmt: skip
        return loop

    def loop(self, loop_id: str) -> Loop:
        """Return a handle on a loop, whether it exists or not. No round trip."""
        return Loop(self, check_id(loop_id, "loop_id", 128))

    def ledger(self) -> Ledger:
        """Return all loops with their status, configuration and usage.

        Cost: one round trip for each megabyte, and for each 200 loops. A change between them may be in one and not in another.
        """
        pages = [self._executor.run(loops.read_ledger(self._keys, self._incarnation, 0))]
        found = len(pages[0].loops)
        while found < pages[-1].total and pages[-1].loops:
            pages.append(self._executor.run(loops.read_ledger(self._keys, pages[0].incarnation, found)))
            found += len(pages[-1].loops)
        return loops.ledger_of(self.id, pages)


class Loop(NotPicklable):
    """One loop of a session. All methods raise LoopNotFound when the session has no such loop."""

    _instead = "send the IDs of the session and the loop, and call `session(id).loop(loop_id)` of a cache there"

    def __init__(self, session: SessionBase, id: str) -> None:
        self._session = session
        self.id = id
        """The loop's ID."""

    def run(self) -> int:
        """Change the status from pending to running. Return the session's new revision."""
        return self._set_status("running", None)

    def complete(self) -> int:
        """End the loop as completed. Return the session's new revision.

        The same end again changes nothing. Another end raises LoopConflict.
        """
        return self._set_status("completed", None)

    def reject(self, reason: str) -> int:
        """End the loop as rejected. Return the session's new revision."""
        return self._set_status("rejected", reason)

    def abort(self, reason: str | None = None) -> int:
        """End the loop as aborted. Return the session's new revision."""
        return self._set_status("aborted", reason)

    def _set_status(self, status: str, reason: str | None) -> int:
        session = self._session
        return session._run(
            loops.set_status(session._keys, *session._guard(), self.id, status, reason, session._context.bounds)
        )

    def record_usage(self, step_id: str, usage: Usage | Mapping[str, Any]) -> Usage:
        """Add the usage of a step, once for its ID: to the loop, the session, and what the session and its ancestors spent.

        Args:
            step_id: 1 to 128 characters, unique in the loop.
            usage: counts of 0 or more, and a finite cost of 0 or more.

        Returns:
            The usage of the whole loop.
        """
        session = self._session
        return session._run(
            loops.record_usage(session._keys, *session._guard(), self.id, step_id, usage, session._context.bounds)
        )

    def add_turn(
        self,
        trigger: str,
        *,
        inputs: list[Any] | None = None,
        output: Any = None,
        tool_results: list[Any] | None = None,
        usage: Usage | Mapping[str, Any] | None = None,
        request: Any = None,
        index: int = 0,
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
    ) -> int:
        """Add a turn, which is one exchange with the model. `LoopTurn` says what each argument means. Its times have a time zone.

        Returns:
            Its number in the loop, from 1.
        """
        now = datetime.now(UTC)
        turn = {
            "index": index, "trigger": trigger, "inputs": inputs or [], "output": output, "usage": usage,
            "tool_results": tool_results or [], "request": request, "started_at": started_at or now,
            "ended_at": ended_at or now,
        }  # fmt: skip
        return self._append("turn", loops.stored_turn(turn))

    def add_event(self, payload: Any) -> int:
        """Add an event, which is any JSON value. Return its number in the loop, from 1."""
        return self._append("event", payload)

    def put_metadata(self, metadata: Mapping[str, Any] | BaseModel) -> None:
        """Replace the loop's metadata: a JSON object, or a pydantic model."""
        self._put("metadata", loops.json_object(metadata, "metadata"))

    def select(self, *, config_index: int | None = None, evaluation: Usage | Mapping[str, Any] | None = None) -> None:
        """Make this loop the selected one of its parallel group.

        Args:
            config_index: the index of the selected configuration.
            evaluation: what the evaluation used.
        """
        selection: dict[str, Any] = {"selected": self.id, "config_index": config_index}
        if evaluation is not None:
            selection["evaluation"] = loops.validated(Usage, evaluation, "evaluation").model_dump()
        self._put("group", selection)

    def _append(self, kind: Literal["event", "turn"], value: Any) -> int:
        session = self._session
        return session._run(
            loops.append_record(session._keys, *session._guard(), self.id, kind, value, session._context.bounds)
        )

    def _put(self, field: Literal["metadata", "group"], value: Any) -> None:
        session = self._session
        session._run(loops.put_field(session._keys, *session._guard(), self.id, field, value, session._context.bounds))

    def turns(self, limit: int = 50, cursor: str | None = None) -> Page[LoopTurn]:
        """Return a page of the loop's turns, oldest first. `limit`: 1 to 1,000. A page ends at a megabyte."""
        session = self._session
        return session._executor.run(loops.turns(session._keys, session._incarnation, self.id, limit, cursor))

    def events(self, limit: int = 50, cursor: str | None = None) -> Page[LoopEvent]:
        """Return a page of the loop's events, oldest first. `limit`: 1 to 1,000. A page ends at a megabyte."""
        session = self._session
        return session._executor.run(loops.events(session._keys, session._incarnation, self.id, limit, cursor))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r} of {self._session.id!r})"
