"""The policy of a worker for attempts that failed: which errors are worth another attempt, and after which pause."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

from ..._durations import Duration, delay_milliseconds
from ..._log_events import POLICY_FAILED, error_facts
from ..._printable import error_text
from ...errors import InvalidInput

Backoff: TypeAlias = Duration | Callable[[int], Duration]
"""The pause after an attempt that failed: a duration that doubles, or a function of the attempt's number."""
RetryOn: TypeAlias = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]
MAX_BACKOFF_MS = 60_000
_DEFAULT_BACKOFF = 0.5


class RetryPolicy:
    """The backoff and the retried errors of a worker. If a function of the caller raises, it is logged, and the default holds."""

    def __init__(self, backoff: Backoff, retry_on: RetryOn) -> None:
        self._backoff = backoff
        _check_backoff(backoff)
        self._retry_on = checked_retry_on(retry_on)

    def is_retried(self, problem: BaseException) -> bool:
        """Return whether an error is worth another attempt."""
        try:
            return is_retried(self._retry_on, problem)
        except Exception as raised:
            text = "retry_on raised, so there is another attempt"
            POLICY_FAILED.log(text, trace=raised, **error_facts(raised))
            return True

    def pause_ms(self, attempt: int) -> int:
        """Return the pause after an attempt that failed."""
        try:
            return backoff_ms(self._backoff, attempt)
        except Exception as raised:
            text = "backoff raised, so the pause is the default one"
            POLICY_FAILED.log(text, trace=raised, **error_facts(raised))
            return backoff_ms(_DEFAULT_BACKOFF, attempt)


def _check_backoff(backoff: Backoff) -> None:
    """Raise InvalidInput unless the pause after the first attempt is valid."""
    try:
        backoff_ms(backoff, 1)
    except InvalidInput:
        raise
    except Exception as problem:
        said = f"{type(problem).__name__}: {error_text(problem)}"
        raise InvalidInput(name="backoff", detail=f"must return a pause for attempt 1, but raised {said}") from problem


def backoff_ms(backoff: Backoff, attempt: int) -> int:
    """Return the pause after an attempt that failed, in ms. Raises InvalidInput for a pause that is not valid.

    A duration doubles with each attempt, up to a minute, and at most a half is taken off at random. The value of a function is
    exact.
    """
    if callable(backoff):
        return delay_milliseconds(backoff(attempt), "backoff")
    first_ms = delay_milliseconds(backoff, "backoff")
    longest_ms: int = max(MAX_BACKOFF_MS, first_ms)
    pause_ms: int = min(first_ms * 2 ** min(attempt - 1, 30), longest_ms)
    return round(pause_ms * random.uniform(0.5, 1))


def checked_retry_on(retry_on: RetryOn) -> RetryOn:
    """Return `retry_on` if it is a class of exceptions, a tuple of them, or a function. Raises InvalidInput."""
    classes = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    if all(isinstance(one, type) and issubclass(one, BaseException) for one in classes):
        return retry_on
    if callable(retry_on) and not isinstance(retry_on, type):
        return retry_on
    raise InvalidInput(name="retry_on", detail=f"must be exception classes or a function, got {retry_on!r}")


def is_retried(retry_on: RetryOn, problem: BaseException) -> bool:
    """Return whether an error is worth another attempt. `Exception` stands for every error, such as SystemExit."""
    if isinstance(retry_on, tuple | type):
        classes = retry_on if isinstance(retry_on, tuple) else (retry_on,)
        return Exception in classes or isinstance(problem, classes)
    return bool(retry_on(problem))
