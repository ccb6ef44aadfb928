"""The interface of telemetry. The base classes are the telemetry that is off: they do nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self


class ServerAddress(Protocol):
    """The way to a server, as far as telemetry names it."""

    @property
    def address(self) -> tuple[str, int | None]:
        """Host and port, or the path of a socket and None. Without a user and a password."""
        ...

    @property
    def database(self) -> str:
        """The number of the database."""
        ...


class Request:
    """A spawn, a send or a claim, as a context manager around the call."""

    traceparent = ""
    """The trace context that the worker of the request gets, or ''."""

    def name_agent(self, agent: str) -> None:
        """Take the agent whose worker does the work, when it is known."""

    def link(self, traceparent: str | None) -> None:
        """Take the trace context of the work that a claim returned."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the request."""


class Handling:
    """The handling of one claimed run or turn, between `begin` and `end`."""

    def begin(self) -> None:
        """Begin: what this task or thread does belongs to the handling."""

    def note(self, event: str, error_type: str | None = None) -> None:
        """Take an event of the work, as the log names it."""

    def end(self) -> None:
        """End the handling, whose outcome is the last event."""


class Observer:
    """Hears what one cache does. This one does nothing."""

    is_on = False
    """True if the calls must be told."""

    def note_call(
        self, began: float, operation: str, procedure: str, session_id: str, size: int = 1, error: BaseException | None = None
    ) -> None:  # fmt: skip
        """Hear of a call that ended, or of `size` calls in one round trip. `began`: its time by `perf_counter`."""

    def count_retries(self, number: int) -> None:
        """Hear how often a call was tried again after a transport error."""

    def count_messages(self, number: int) -> None:
        """Hear of messages that were stored."""

    def count_lost_lease(self) -> None:
        """Hear of a lease that was lost."""

    def requesting(self, operation: str, session_id: str, agent: str = "") -> Request:
        """Return the context of a request: `send`, `spawn` or `claim`."""
        return _NO_REQUEST

    def handling(
        self, *, work: str, session_id: str, run_id: str, agent_id: str, attempt: int, worker: str, traceparent: str | None,
        waited_ms: int,
    ) -> Handling:  # fmt: skip
        """Return the handling of claimed work. `waited_ms`: as ClaimReply has it."""
        return _NO_HANDLING


_NO_REQUEST, _NO_HANDLING = Request(), Handling()
OFF = Observer()
"""The telemetry of a cache that was given none."""


class TelemetrySource(Protocol):
    """The option `telemetry` of a cache, such as `redis_sessions.telemetry.Telemetry`."""

    def observe(self, server: ServerAddress) -> Observer:
        """Return the telemetry of one cache."""
        ...
