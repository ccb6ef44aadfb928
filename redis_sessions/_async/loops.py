"""What a session keeps of the agent runs in it: loops, their usage, turns and events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from .._core import loops, messages
from .._core.ids import check_id, new_id
from .._core.units import whole
from ..models.loops import Ledger, LoopConfig, LoopEvent, LoopTurn, Usage
from .family import AsyncFamily


class AsyncLoops(AsyncFamily):
    """A session's ledger. Each method is one atomic round trip; writes are fenced and recognised when they are repeated."""

    async def start_loop(
        self,
        loop_id: str | None = None,
        *,
        config: LoopConfig | Mapping[str, Any] | None = None,
        parent: str | None = None,
        group: str | None = None,
        continuation: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        status: Literal["pending", "running"] = "running",
    ) -> AsyncLoop:
        """Starts a loop, a record of one agent run; without an id it gets one. `parent` may be a loop of another session's.

        Loops of one `group` run side by side. Raises LoopConflict when the id is in use, SessionNotActive, LimitExceeded.
        """
        loop = self.loop(new_id() if loop_id is None else loop_id)
        await self._run(
            loops.start(
                self._keys, *self._writer(), loop.id, status=status, config=config, parent=parent, group=group,
                continuation=continuation, metadata=metadata,
            )
        )  # fmt: skip
        return loop

    def loop(self, loop_id: str) -> AsyncLoop:
        """A handle on a loop, whether it exists or not. No round trip."""
        return AsyncLoop(self, check_id(loop_id, "loop_id", 128))

    async def ledger(self) -> Ledger:
        """All loops with their status, configuration and usage, and the queries over them."""
        return await self._calls.run(loops.ledger(self._keys, self._life))

    async def compact(self, up_to_seq: int, summary: str, *, from_seq: int | None = None) -> int:
        """Replaces the oldest messages, up to a seq, by one user message that sums them up; answers where the range began.

        It has the seq of the last, and `metadata["compaction"]`. Pinned messages stay. Refused (RangeMoved) when that range is
        not there, does not begin at `from_seq` any more, ends in a pinned message, or would part a tool result from its
        call. Counts of messages and turns go on.
        """
        first = 0 if from_seq is None else whole(from_seq, "from_seq", least=1)
        last = whole(up_to_seq, "up_to_seq", least=max(first, 1))
        return await self._run(messages.compact(self._keys, *self._writer(), first, last, summary, self._count))


class AsyncLoop:
    """One loop of a session. All raise LoopNotFound when there is none."""

    def __init__(self, session: AsyncLoops, id: str) -> None:
        self._session = session
        self.id = id
        """Its id."""

    async def run(self) -> int:
        """Pending to running. Returns the session's rev, like the other changes of status."""
        return await self._status("running", None)

    async def complete(self) -> int:
        """Ends it as completed. The same end again changes nothing, another raises LoopConflict."""
        return await self._status("completed", None)

    async def reject(self, reason: str) -> int:
        """Ends it as rejected."""
        return await self._status("rejected", reason)

    async def abort(self, reason: str | None = None) -> int:
        """Ends it as aborted."""
        return await self._status("aborted", reason)

    async def _status(self, wanted: str, reason: str | None) -> int:
        session = self._session
        return await session._run(loops.status(session._keys, *session._writer(), self.id, wanted, reason))

    async def record_usage(self, step_id: str, usage: Usage | Mapping[str, Any]) -> Usage:
        """Adds what a step used, once for its id: to the loop, the session, and what the tree above has spent.

        Returns what the loop used in all. Raises InvalidInput for what is negative or not finite.
        """
        session = self._session
        return await session._run(loops.record(session._keys, *session._writer(), self.id, step_id, usage))

    async def add_turn(
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
        """Notes an exchange with the model, with what triggered it; returns its place in the loop, from 1."""
        now = datetime.now(UTC)
        turn = {
            "index": index, "trigger": trigger, "inputs": inputs or [], "output": output, "usage": usage,
            "tool_results": tool_results or [], "request": request, "started_at": started_at or now,
            "ended_at": ended_at or now,
        }  # fmt: skip
        return await self._note("turn", loops.turn(turn))

    async def add_event(self, payload: Any) -> int:
        """Notes something that happened: any JSON. Returns its number in the loop, from 1."""
        return await self._note("event", payload)

    async def put_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Replaces its metadata."""
        await self._note("extra", dict(metadata))

    async def select(
        self, *, config_index: int | None = None, evaluation: Usage | Mapping[str, Any] | None = None
    ) -> None:
        """Makes it the selected one of its parallel group."""
        chosen: dict[str, Any] = {"selected": self.id, "config_index": config_index}
        if evaluation is not None:
            chosen["evaluation"] = loops.checked(Usage, evaluation, "evaluation").model_dump()
        await self._note("group", chosen)

    async def _note(self, what: str, value: Any) -> int:
        session = self._session
        return await session._run(loops.note(session._keys, *session._writer(), self.id, what, value))

    async def turns(self, limit: int = 100, *, after: int = 0) -> list[LoopTurn]:
        """Its turns in order, those after a place."""
        session = self._session
        return await session._calls.run(loops.turns(session._keys, session._life, self.id, after, limit))

    async def events(self, limit: int = 100, *, after: int = 0) -> list[LoopEvent]:
        """Its events in order, those after a number."""
        session = self._session
        return await session._calls.run(loops.events(session._keys, session._life, self.id, after, limit))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r} of {self._session.id!r})"
