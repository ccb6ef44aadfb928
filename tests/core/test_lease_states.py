"""The state machine of a granted lease."""

from __future__ import annotations

from itertools import product

import pytest

from redis_sessions._core.commands.lease_states import OPEN, RENEWABLE, TRANSITIONS, LeaseEvent, LeaseState, next_state

FINAL = (LeaseState.RELEASED, LeaseState.ENDED)


@pytest.mark.parametrize(("state", "event"), list(product(FINAL, LeaseEvent)))
def test_final_state_stays_at_every_event(state: LeaseState, event: LeaseEvent) -> None:
    """A released or ended lease never becomes valid again."""
    assert next_state(state, event) is state


@pytest.mark.parametrize("event", [event for event in LeaseEvent if event is not LeaseEvent.RELEASE_REQUESTED])
def test_lost_lease_is_never_held_again(event: LeaseEvent) -> None:
    """A late answer to a renewal does not revive a lease that the server refused."""
    assert next_state(LeaseState.LOST, event) not in RENEWABLE


def test_late_renewal_revives_lapsed_lease() -> None:
    """The server knows best: a renewal that it accepted proves that no other worker took the lease."""
    assert next_state(LeaseState.LAPSED, LeaseEvent.RENEWED) is LeaseState.HELD


def test_releasing_lease_ignores_renewal() -> None:
    """An answer to a renewal that was sent before the release does not stop the release."""
    assert next_state(LeaseState.RELEASING, LeaseEvent.RENEWED) is LeaseState.RELEASING


def test_every_state_is_reachable_and_can_end() -> None:
    """Each state has a way in, and each open state a way to a final state."""
    assert {LeaseState.HELD, *TRANSITIONS.values()} == set(LeaseState)
    for state in OPEN:
        assert next_state(state, LeaseEvent.SESSION_ENDED) is LeaseState.ENDED


def test_renewable_states_are_open() -> None:
    """A lease that is renewed also guards the writes of its holder."""
    assert RENEWABLE < OPEN
