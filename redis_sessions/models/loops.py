"""The ledger of a session: its loops, their configuration, usage, turns and events."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..errors import LoopNotFound

LoopStatus = Literal["pending", "running", "completed", "rejected", "aborted"]
TokenCount = Field(default=0, ge=0, strict=True)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Usage(_Frozen):
    """The tokens and cost of model calls."""

    input: int = TokenCount
    """Input tokens. One step has at most 10^13 of each kind."""
    output: int = TokenCount
    """Output tokens."""
    reasoning: int = TokenCount
    """Reasoning tokens."""
    cache_read: int = TokenCount
    """Tokens read from the provider's cache."""
    cache_write: int = TokenCount
    """Tokens written to the provider's cache."""
    total: int = TokenCount
    """Total tokens as the provider stated them. Totals are added up, not computed."""
    cost: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Cost in any currency, stored to six decimal places. One step costs at most 10^9."""


class LoopConfig(_Frozen):
    """A snapshot of the configuration that a loop runs with. None means that the value was not given."""

    model: str
    """The model."""
    provider: str
    """The provider of the model."""
    config_id: str | None = None
    """The ID of the configuration."""
    name: str | None = None
    """The name of the configuration."""
    api: str | None = None
    """The API of the provider."""
    base_url: str | None = None
    """The base URL of the API."""
    reasoning: bool | None = None
    """True if the model reasons."""
    context_window: int | None = None
    """The context window in tokens."""
    max_tokens: int | None = None
    """The most output tokens of one call."""
    thinking_level: str | None = None
    """The thinking level."""
    temperature: float | None = None
    """The temperature."""


class ParallelGroup(_Frozen):
    """Loops that ran in parallel, and the selected one."""

    loops: list[str]
    """The IDs of all loops of the group."""
    selected: str | None = None
    """The ID of the selected loop."""
    config_index: int | None = None
    """The index of the selected configuration."""
    evaluation: Usage | None = None
    """The tokens and cost of the evaluation."""


class LoopTurn(_Frozen):
    """One exchange of a loop with its model."""

    index: int
    """The number that the turn was given, whatever its place in a list."""
    trigger: str
    """The trigger."""
    inputs: list[Any] = []
    """The input messages (JSON)."""
    output: Any = None
    """The output message (JSON)."""
    tool_results: list[Any] = []
    """The tool results (JSON)."""
    usage: Usage | None = None
    """The tokens and cost that the turn used."""
    request: Any = None
    """The request payload (JSON)."""
    started_at: datetime
    """When the turn started."""
    ended_at: datetime
    """When the turn ended."""

    @property
    def duration(self) -> timedelta:
        """Time from the start of the turn to the end."""
        return self.ended_at - self.started_at

    @property
    def has_tool_calls(self) -> bool:
        """True if the turn has a tool result."""
        return bool(self.tool_results)

    @property
    def messages(self) -> list[Any]:
        """The inputs, the output, then the tool results."""
        return [*self.inputs, *([self.output] if self.output is not None else []), *self.tool_results]


class LoopEvent(_Frozen):
    """Something that happened in a loop."""

    seq: int
    """The number in the loop, from 1."""
    at: datetime
    """Server time (UTC)."""
    payload: Any
    """The JSON value."""


class LoopInfo(_Frozen):
    """A loop at one moment."""

    id: str
    """The ID."""
    status: LoopStatus
    """The status."""
    parent: str | None = None
    """The parent: the loop that started this one, in this session or another."""
    group: str | None = None
    """The parallel group. `Ledger.groups` has the groups."""
    continuation: str = "initial"
    """The kind of continuation."""
    config: LoopConfig | None = None
    """The configuration that the loop runs with."""
    metadata: dict[str, Any] = {}
    """The metadata."""
    reason: str | None = None
    """Why the loop was rejected or aborted."""
    created_at: datetime
    """When the loop was created (UTC)."""
    started_at: datetime | None = None
    """When the loop began to run."""
    finished_at: datetime | None = None
    """When the loop ended."""
    events: int
    """The number of events."""
    turns: int
    """The number of turns."""
    usage: Usage
    """The tokens and cost that the loop used."""


class Ledger(_Frozen):
    """All loops of a session, in the order of their starts."""

    session_id: str
    """The session."""
    loops: list[LoopInfo]
    """The loops."""
    usage: Usage
    """The tokens and cost of all loops."""
    groups: dict[str, ParallelGroup]
    """The parallel groups by name."""

    def find(self, loop_id: str) -> LoopInfo | None:
        """Return the loop with an ID, or None."""
        return next((loop for loop in self.loops if loop.id == loop_id), None)

    def roots(self) -> list[LoopInfo]:
        """Return the loops that no loop of this session started."""
        known = {loop.id for loop in self.loops}
        return [loop for loop in self.loops if loop.parent not in known]

    def children(self, loop_id: str) -> list[LoopInfo]:
        """Return the loops that name a loop as their parent. An unknown loop has none."""
        return [loop for loop in self.loops if loop.parent == loop_id]

    def siblings(self, loop_id: str) -> list[LoopInfo]:
        """Return every loop of a loop's parallel group, the loop itself included. Without a group there are none."""
        found = self.find(loop_id)
        return [loop for loop in self.loops if found and found.group and loop.group == found.group]

    def chain(self, loop_id: str) -> list[str]:
        """Return the IDs from the root to a loop. A parent in another session comes first. Raises LoopNotFound."""
        loop = self.find(loop_id)
        if loop is None:
            raise LoopNotFound(session_id=self.session_id, loop=loop_id)
        chain = [loop_id]
        while loop is not None and loop.parent is not None and loop.parent not in chain:
            chain.append(loop.parent)
            loop = self.find(loop.parent)
        return chain[::-1]
