"""The exceptions by which a worker's handler says how its run or turn goes on."""

from __future__ import annotations

from collections.abc import Sequence

from .._durations import Duration, delay_milliseconds


class Retry(Exception):
    """Raise Retry in a handler to give the run back for a time, for example after a 429. No attempt is counted.

    Args:
        reason: the reason, for the log.
        after: the time after which workers can claim the run again, 0 or more. Default: at once.
    """

    def __init__(self, reason: str = "", *, after: Duration = 0.0) -> None:
        super().__init__(reason)
        self.after_ms = delay_milliseconds(after, "after")


class GiveUp(Exception):
    """Raise GiveUp in a handler to fail the run or turn at once, whatever attempts are left. The text is the reason."""


class RunParked(BaseException):
    """Leave a handler whose run waits for children. `run.wait_for` raises RunParked, and the handler must let it pass.

    RunParked is a BaseException, so `except Exception` does not catch it.
    """

    def __init__(self, needed: int, children: Sequence[str], timeout_ms: int) -> None:
        super().__init__(f"waits for {needed} of {len(children)} children")
        self.needed = needed
        self.children = children
        """'<number>:<incarnation>' of each child."""
        self.timeout_ms = timeout_ms
