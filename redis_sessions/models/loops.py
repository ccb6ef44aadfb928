"""The ledger inside a session: its loops (agent runs), what they were configured with, what they used, how they hang together."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..errors import LoopNotFound

LoopStatus = Literal["pending", "running", "completed", "rejected", "aborted"]
Count = Field(default=0, ge=0, le=2**53, strict=True)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Usage(_Frozen):
    """What model calls used, in tokens; `total` is what the provider said, and summed, not computed. `cost`: any currency."""

    input: int = Count
    output: int = Count
    reasoning: int = Count
    cache_read: int = Count
    cache_write: int = Count
    total: int = Count
    cost: float = Field(default=0.0, ge=0, le=1e9, allow_inf_nan=False)


class LoopConfig(_Frozen):
    """A snapshot of what a loop runs with; what is absent was left out."""

    model: str
    provider: str
    config_id: str | None = None
    name: str | None = None
    api: str | None = None
    base_url: str | None = None
    reasoning: bool | None = None
    context_window: int | None = None
    max_tokens: int | None = None
    thinking_level: str | None = None
    temperature: float | None = None


class ParallelGroup(_Frozen):
    """Loops that ran side by side, and which of them was selected."""

    loops: list[str]
    selected: str | None = None
    config_index: int | None = None
    evaluation: Usage | None = None
    """What choosing it used."""


class LoopTurn(_Frozen):
    """One exchange of a loop with its model. `index` is the turn's own number, whatever its place in a list."""

    index: int
    trigger: str
    inputs: list[Any] = []
    output: Any = None
    tool_results: list[Any] = []
    usage: Usage | None = None
    request: Any = None
    started_at: datetime
    ended_at: datetime

    @property
    def duration(self) -> timedelta:
        """From its start to its end."""
        return self.ended_at - self.started_at

    @property
    def has_tool_calls(self) -> bool:
        """Whether there is a tool result."""
        return bool(self.tool_results)

    @property
    def messages(self) -> list[Any]:
        """The inputs, the output, then the tool results."""
        return [*self.inputs, *([self.output] if self.output is not None else []), *self.tool_results]


class LoopEvent(_Frozen):
    """Something that happened in a loop: `seq` is its number there, from 1."""

    seq: int
    at: datetime
    payload: Any


class LoopInfo(_Frozen):
    """A loop as it stood at one moment."""

    id: str
    status: LoopStatus
    parent: str | None = None
    """The loop that started it, in this session or another."""
    group: str | None = None
    """The parallel group it is in; `Ledger.groups` has those."""
    continuation: str = "initial"
    config: LoopConfig | None = None
    metadata: dict[str, Any] = {}
    reason: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    events: int
    turns: int
    usage: Usage


class Ledger(_Frozen):
    """All loops of a session, in the order of their starts."""

    session_id: str
    loops: list[LoopInfo]
    usage: Usage
    """Of all its loops."""
    groups: dict[str, ParallelGroup]

    def find(self, loop_id: str) -> LoopInfo | None:
        """The loop of an id, or None."""
        return next((loop for loop in self.loops if loop.id == loop_id), None)

    def roots(self) -> list[LoopInfo]:
        """Loops that no loop of this session started."""
        known = {loop.id for loop in self.loops}
        return [loop for loop in self.loops if loop.parent not in known]

    def children(self, loop_id: str) -> list[LoopInfo]:
        """Loops that a loop started; the parent each names is the truth. None for an unknown loop."""
        return [loop for loop in self.loops if loop.parent == loop_id]

    def siblings(self, loop_id: str) -> list[LoopInfo]:
        """Every loop of its parallel group, itself included; none without a group."""
        found = self.find(loop_id)
        return [loop for loop in self.loops if found and found.group and loop.group == found.group]

    def chain(self, loop_id: str) -> list[str]:
        """Ids from the root to a loop; a parent in another session comes first, and ends the way. Raises LoopNotFound."""
        loop = self.find(loop_id)
        if loop is None:
            raise LoopNotFound(session_id=self.session_id, loop=loop_id)
        chain = [loop_id]
        while loop is not None and loop.parent is not None and loop.parent not in chain:
            chain.append(loop.parent)
            loop = self.find(loop.parent)
        return chain[::-1]
