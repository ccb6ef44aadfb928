# Generated from _async/api/claimer.py by tools/mirror.py; edit that file.
"""Claim runs and turns: ask the queues of agents, wait for a notification, claim the work that is offered."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from ..._core.commands.leases import lease_ttl, max_hold_ms, owner_name
from ..._core.commands.run_outcomes import checked_agents
from ..._core.commands.session_fields import check_agent
from ..._durations import Duration, milliseconds
from ..._log_events import WORK_SET_ASIDE, error_facts
from ...errors import CodecMissing, DecryptionError, SessionDamaged
from ..services.context import CacheContext
from ..transport import tasks
from ..transport.notifications import RETRY_SUBSCRIBE_SECONDS
from .run import Run

SET_ASIDE_SECONDS = 60
"""The time after which the work of a damaged session is offered again."""
_POLL_SECONDS = 10.0
"""A waiting worker asks the server after this time, even if it heard nothing. A heartbeat is sent as often."""
_MIN_PAUSE_SECONDS = 0.05
"""The least pause between two requests of a waiting worker."""


class Claimer:
    """Claims work of one or several agents. Each request begins with another agent."""

    def __init__(
        self,
        context: CacheContext,
        agent_id: str | Sequence[str],
        ttl: Duration,
        owner: str | None,
        max_hold: Duration | None,
    ) -> None:
        self._context = context
        self.agents = checked_agents(agent_id, check_agent)
        self._ttl = ttl
        self.ttl_ms = lease_ttl(ttl)
        self.owner = owner_name(owner)
        self._max_hold = max_hold
        max_hold_ms(max_hold)  # refuses a wrong duration
        self._nonce = secrets.token_hex(8)
        self._hub = context.hub
        self._notifications = self._hub.register(self._nonce)
        self._places: set[str] = set()
        self._has_left = False
        """True if it left a place by itself, so that work which was offered to it before may still arrive."""
        self._rotation = 0

    def claim(
        self,
        wait_ms: int,
        is_stopped: Callable[[], bool] = lambda: False,
        on_poll: Callable[[], None] | None = None,
    ) -> Run | None:
        """Return the next run or turn, or None when there is none within `wait_ms`, or `is_stopped` returns True.

        Args:
            on_poll: called each time before the queues are asked.
        """
        hub = self._hub
        due = time.monotonic() + wait_ms / 1000
        while not is_stopped():
            if on_poll is not None:
                on_poll()
            can_hear = wait_ms == 0 or hub.try_subscribe()
            left = max(due - time.monotonic(), 0)
            reserved, next_ms, agent = self._ask(left)
            if reserved:
                run = self._take(reserved, agent)
                if run is not None:
                    return run
                continue
            if left == 0:
                return None
            soon = max(next_ms / 1000, _MIN_PAUSE_SECONDS) if next_ms >= 0 else left
            pause = min(left, _POLL_SECONDS if can_hear else RETRY_SUBSCRIBE_SECONDS, soon)
            run = self._hear(pause)
            if run is not None:
                return run
        return None

    def _ask(self, left: float) -> tuple[str, int, str]:
        """Ask the queues of the agents. Return the reserved work or '', the ms until the next request, and the agent."""
        place_ms = min(round(left * 1000), round(_POLL_SECONDS * 2000))
        self._rotation += 1
        start = self._rotation % len(self.agents)
        next_ms = -1
        for agent in [*self.agents[start:], *self.agents[:start]]:
            reply = self._context.run_queues.dequeue(agent, self._nonce, place_ms)
            if reply.reserved:
                self._has_left = self._has_left or agent in self._places
                self._places.discard(agent)
                return reply.reserved, 0, agent
            if left > 0:
                self._places.add(agent)
            if reply.next_ms >= 0:
                next_ms = reply.next_ms if next_ms < 0 else min(next_ms, reply.next_ms)
        return "", next_ms, ""

    def _hear(self, pause: float) -> Run | None:
        """Wait for a notification. Claim the work that it offers, and return it, if any."""
        until = time.monotonic() + pause
        while (heard := self._notifications.get(max(until - time.monotonic(), 0))) is not None:
            if heard.word == "run":
                if len(self.agents) == 1:
                    self._places.clear()
                return self._take(heard.reserved, None)
            if heard.word != "held":
                return None
            until = min(until, time.monotonic() + heard.ms / 1000)
        return None

    def _take(self, reserved: str, source: str | None) -> Run | None:
        nonce = secrets.token_hex(8)
        queues = self._context.run_queues
        try:
            keys, reply = queues.claim(self.agents, reserved, nonce, self.owner, self.ttl_ms, source=source)
        except (SessionDamaged, DecryptionError, CodecMissing) as problem:
            WORK_SET_ASIDE.log(
                "work is set aside for %d s: %s", SET_ASIDE_SECONDS, problem, agent_id=source or self.agents[0],
                worker=self.owner, delay_s=SET_ASIDE_SECONDS, **error_facts(problem),
            )  # fmt: skip
            tasks.spawn(queues.unclaim, self.agents, reserved, nonce, SET_ASIDE_SECONDS * 1000)
            return None
        except BaseException:
            tasks.spawn(queues.unclaim, self.agents, reserved, nonce)  # cancelled or unanswered: another worker gets it
            raise
        if reply.verdict != "claimed":
            return None
        agent = queues.agent_of(keys, reply)
        if agent not in self.agents:  # an offer can be forged
            queues.give_back(agent, keys, nonce, "released")
            return None
        run = Run(self._context, keys, reply, nonce, self._ttl, self.owner, agent, self._max_hold)
        run._log.claimed(has_died=run.has_died)
        return run

    def leave(self) -> None:
        """Leave the places among the waiting workers, because nothing is claimed for some time.

        With several agents a place can be left from before the last claim. Work that was reserved since goes to another worker.
        """
        if self._places:
            places = [*self._places]
            self._places.clear()
            self._context.run_queues.stop_waiting(places, self._nonce, self._notifications, self.agents)

    def wake(self) -> None:
        """Wake a waiting claim, so that it calls `is_stopped`."""
        self._hub.wake(self._nonce)

    def close(self) -> None:
        """Leave the places among the waiting workers. Work that was reserved since goes to another worker."""
        if self._places or self._has_left:
            tasks.spawn(self._leave, sorted(self._places))
        else:
            self._hub.unregister(self._nonce)

    def _leave(self, agents: list[str]) -> None:
        try:
            self._context.run_queues.stop_waiting(agents, self._nonce, self._notifications, self.agents)
        finally:
            self._hub.unregister(self._nonce)


def claim_run(
    context: CacheContext,
    agent_id: str | Sequence[str],
    wait: Duration,
    ttl: Duration,
    owner: str | None,
    max_hold: Duration | None,
) -> Run | None:
    """Return one run, or None when there is none within `wait`."""
    wait_ms = milliseconds(wait, "wait", minimum=0, bounds="0 or more")
    claimer = Claimer(context, agent_id, ttl, owner, max_hold)
    with context.telemetry.requesting("claim", "", " ".join(claimer.agents)) as request:
        try:
            run = claimer.claim(wait_ms)
        finally:
            claimer.close()
        request.link(None if run is None else run.traceparent)
        return run
