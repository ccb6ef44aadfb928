"""The ways out of a handler: which errors end, fail or retry a run, and how they are described."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar

from ..._printable import error_text
from ...bounds import StorageBounds
from ...errors import InvalidInput, InvalidTransition, LeaseLost, SessionNotActive, SessionNotFound, SessionReplaced
from ...models.run_control import GiveUp, Retry, RunParked
from ..protocol.json_values import to_json
from .session_fields import reason_text
from .storage_bounds import check_size

StopReason = Literal["cancelled", "timed_out", "deleted", "ended", "lost", "shutdown"]
Handler = TypeVar("Handler")
_MAX_GROUP_MEMBERS = 5


def describe_error(problem: BaseException) -> str:
    """Return the type and the text of an error, with those of the errors in a group, as the reason of a failure."""
    said = error_text(problem)
    text = f"{type(problem).__name__}: {said}" if said else type(problem).__name__
    if isinstance(problem, BaseExceptionGroup):
        shown = [describe_error(one) for one in problem.exceptions[:_MAX_GROUP_MEMBERS]]
        more = len(problem.exceptions) - len(shown)
        text += ": " + "; ".join([*shown, *([f"and {more} more"] if more > 0 else [])])
    return reason_text(text)


def reason_of_giving_up(problem: GiveUp) -> str:
    """Return the text of a GiveUp as the reason of a failure, or its type if it has none."""
    return reason_text(error_text(problem)) or describe_error(problem)


def name_error(problem: BaseException) -> str:
    """Return the type of an error, with those of the errors in a group. No text of the error, which may hold secrets."""
    name = type(problem).__name__
    if isinstance(problem, BaseExceptionGroup):
        inner = dict.fromkeys(name_error(one) for one in problem.exceptions[:_MAX_GROUP_MEMBERS])
        name += f": {'; '.join(inner)}"
    return reason_text(name)


def control_of(problem: BaseException) -> BaseException:
    """Return the Retry, GiveUp or RunParked that left a handler in a group, as `asyncio.TaskGroup` raises it, else the error."""
    if not isinstance(problem, BaseExceptionGroup):
        return problem
    inner = [control_of(one) for one in problem.exceptions]
    is_control = isinstance(inner[0], Retry | GiveUp | RunParked)
    return inner[0] if is_control and all(type(one) is type(inner[0]) for one in inner) else problem


def is_run_over(problem: BaseException, session_id: str) -> bool:
    """Return whether an error says that the run itself is over: it ended, is gone, or another worker has it."""
    if not isinstance(problem, InvalidTransition | LeaseLost | SessionNotActive | SessionNotFound | SessionReplaced):
        return False
    return getattr(problem, "session_id", None) == session_id


def parked_argument(needed: int, children: Sequence[str]) -> str:
    """Return the words of the field `parked` behind the end of the wait: how many children must end, and which."""
    return " ".join([str(needed), *children])


def checked_agents(given: str | Sequence[str], check: Callable[[str], Any]) -> list[str]:
    """Return the agents of a worker: one, or several without repetition. Raises InvalidInput."""
    agents = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else []
    if not agents or len(set(map(str, agents))) != len(agents):
        raise InvalidInput(name="agent_id", detail=f"must be one agent, or several different ones, got {given!r}")
    for agent in agents:
        check(agent)
    return agents


def checked_handler(handler: Handler, *, may_be_async: bool) -> Handler:
    """Return the handler of a worker. Raises InvalidInput for a handler with which every run would fail."""
    problem = _handler_problem(handler, may_be_async)
    if problem:
        raise InvalidInput(name="handler", detail=problem)
    return handler


def is_async(handler: Any) -> bool:
    """Return whether calling a handler makes a coroutine."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def _handler_problem(handler: Any, may_be_async: bool) -> str:
    if not callable(handler):
        return f"must be a function that takes the run, got {handler!r:.80}"
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        return "must return its result, but yields"
    if is_async(handler) and not may_be_async:
        return "must not be async, because a SessionCache runs it in a thread: give it to an AsyncSessionCache"
    try:
        signature = inspect.signature(handler)
    except ValueError:
        return ""  # a built-in function has none
    try:
        signature.bind(None)
    except TypeError:
        return f"must take one argument, the run, but takes {signature}"
    return ""


def result_problem(result: Any, bounds: StorageBounds) -> tuple[str, str] | None:
    """Return why the result of a handler cannot be stored, and the cause of that, or None."""
    if result is None:
        return None
    try:
        text = to_json(result, "result")
    except InvalidInput as problem:
        return "the handler returned what is not JSON", str(problem)
    try:
        check_size(bounds, "result_bytes", text, "result")
    except InvalidInput as problem:
        return "the handler returned too much", str(problem)
    return None
