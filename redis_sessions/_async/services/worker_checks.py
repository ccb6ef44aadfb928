"""The checks of queues that a worker makes between its claims."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..._core.commands.run_queues import INBOX_QUEUE, MAX_CHECKS, POLL_INTERVAL_SECONDS
from ..._log_events import INBOXES_UNCHECKED, error_facts
from ...errors import SessionsError
from ..transport import primitives, tasks
from .run_queues import RunQueues

_INBOX_CHECK_SECONDS = 30.0
"""The pause between two checks of inboxes whose lease ran out, of sessions that no agent answers."""
_MAX_ROUNDS = 25
"""A check looks at this many times 20 inboxes."""
_CHECK_PAUSE_SECONDS = 0.005
"""The pause before the checks in the background are looked at again."""


class InboxCheck:
    """Moves inboxes whose lease ran out into their transcripts, every 30 s."""

    def __init__(self, queues: RunQueues) -> None:
        self._queues = queues
        self._checked_at = time.monotonic()

    async def run(self) -> None:
        """Check the inboxes, if their time has come."""
        if time.monotonic() - self._checked_at >= _INBOX_CHECK_SECONDS:
            self._checked_at = time.monotonic()
            try:
                for _ in range(_MAX_ROUNDS):
                    if await self._queues.recover(INBOX_QUEUE) < MAX_CHECKS:
                        break
            except SessionsError as problem:
                INBOXES_UNCHECKED.log("inboxes were not checked: %s", problem, **error_facts(problem))


class IdleCheck:
    """Finds out whether no work of some agents is left for now."""

    def __init__(self, queues: RunQueues, agents: Sequence[str]) -> None:
        self._queues = queues
        self._agents = agents
        self._is_checked = False

    def note_run(self) -> None:
        """Take note of a run, whose end can make more work available."""
        self._is_checked = False

    async def is_idle(self, running: int, ended: tasks.Queue[str]) -> bool:
        """Return whether no work is left, after a claim found none. False to claim once more.

        Args:
            running: the number of runs at work.
            ended: hears of the end of each of them.
        """
        if running > 0:
            await ended.get(POLL_INTERVAL_SECONDS)
            return False
        if self._queues.is_checking:
            await primitives.sleep(_CHECK_PAUSE_SECONDS)
            return False
        if not self._is_checked:
            self._is_checked = True
            await self._queues.recover(*self._agents)
            return False
        return True
