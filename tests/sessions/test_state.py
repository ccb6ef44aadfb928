"""State and variables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from redis_sessions import InvalidInput, InvalidState, NotANumber, RevisionConflict, SessionCache


class Plan(BaseModel):
    step: int
    due: date


def test_values_of_any_json_come_back(cache: SessionCache) -> None:
    """S1 0-31, S4 3-33: a missing one is None, or the default."""
    state = cache.create().state
    values: dict[str, Any] = {"text": "a", "n": 2**60, "none": None, "list": [], "deep": {"a": [{}]}, "é ü": True}
    for name, value in values.items():
        state.put(name, value)
    assert {name: state.get(name, "missing") for name in values} == values
    assert state.all() == values
    assert (state.get("other"), state.get("other", 5)) == (None, 5)


def test_state_reads_like_a_dict(cache: SessionCache) -> None:
    """In the sync client."""
    state = cache.create().state
    state["plan"] = {"step": 2}
    assert state["plan"] == {"step": 2}
    assert "plan" in state
    assert "other" not in state
    del state["plan"]
    with pytest.raises(KeyError):
        state["plan"]
    with pytest.raises(KeyError):
        del state["plan"]


def test_models_go_in_and_come_out(cache: SessionCache) -> None:
    """S2 1-36: a wrong type is an error, not None; a missing one is None."""
    state = cache.create().state
    plan = Plan(step=1, due=date(2026, 11, 21))
    state.put("plan", plan)
    assert state.get("plan", type=Plan) == plan
    assert state.get("plan") == {"step": 1, "due": "2026-11-21"}
    state.put("plan", {"step": "many"})
    with pytest.raises(InvalidState):
        state.get("plan", type=Plan)
    assert state.get("other", type=Plan) is None


def test_variables_are_texts_apart_from_state(cache: SessionCache) -> None:
    """S2 1-35, 1-36: separate maps."""
    session = cache.create()
    session.variables.put("a", "1")
    session.state.put("a", 2)
    assert (session.variables.get("a"), session.state.get("a")) == ("1", 2)
    assert session.variables.delete("a") is True
    assert session.variables.delete("a") is False
    assert session.state.get("a") == 2
    with pytest.raises(InvalidInput):
        session.variables.put("a", 5)


def test_clearing_one_leaves_the_other(cache: SessionCache) -> None:
    """It says how many there were."""
    session = cache.create(metadata={"m": 1})
    session.state.patch({"a": 1, "b": 2})
    session.variables.put("a", "x")
    assert session.state.clear() == 2
    assert session.state.all() == {}
    assert session.variables.all() == {"a": "x"}
    assert session.info().metadata == {"m": 1}


def test_changes_move_the_rev_and_can_be_conditional(cache: SessionCache) -> None:
    """S1 0-32; compare-and-set on state."""
    session = cache.create()
    rev = session.state.put("a", 1)
    assert session.info().rev == rev
    session.state.put("a", 2, expected_rev=rev)
    changes: list[Callable[[], Any]] = [
        lambda: session.state.put("a", 3, expected_rev=rev),
        lambda: session.state.delete("a", expected_rev=rev),
        lambda: session.state.clear(expected_rev=rev),
        lambda: session.state.add("n", expected_rev=rev),
        lambda: session.patch(name="x", expected_rev=rev),
        lambda: session.clear(expected_rev=rev),
        lambda: session.complete(expected_rev=rev),
    ]
    for change in changes:
        with pytest.raises(RevisionConflict) as refused:
            change()
        assert refused.value.rev == rev + 1
    assert session.state.all() == {"a": 2}


def test_add_counts_once_for_a_batch_id(cache: SessionCache) -> None:
    """The repeated one answers the sum it made then."""
    state = cache.create().state
    assert state.add("n", 5, batch_id="x") == 5
    assert state.add("n", -2) == 3
    assert state.add("n", 5, batch_id="x") == 5
    assert state.get("n") == 3


def test_a_batch_id_is_of_one_operation(cache: SessionCache) -> None:
    """The same id for an append and for two sums: each is carried out."""
    session = cache.create()
    session.append({"role": "user", "content": "x"}, batch_id="job-7")
    assert session.state.add("a b", 5, batch_id="job-7") == 5
    assert session.state.add("c", 7, batch_id="job-7") == 7
    assert session.append({"role": "user", "content": "x"}, batch_id="job-7").duplicate
    assert session.state.all() == {"a b": 5, "c": 7}


def test_add_refuses_what_is_no_whole_number(cache: SessionCache) -> None:
    """Nothing is written."""
    state = cache.create().state
    state.put("t", "text")
    with pytest.raises(NotANumber):
        state.add("t")
    state.put("big", 2**53)
    with pytest.raises(NotANumber):
        state.add("big", 1)
    with pytest.raises(InvalidInput):
        state.add("n", 1.5)  # type: ignore[arg-type]
    assert state.all() == {"t": "text", "big": 2**53}


@pytest.mark.parametrize("name", ["", "a\n", "x" * 257])
def test_bad_names_are_refused(cache: SessionCache, name: str) -> None:
    """1 to 256 printable characters."""
    with pytest.raises(InvalidInput):
        cache.create().state.put(name, 1)


def test_state_cannot_reach_what_scripts_depend_on(cache: SessionCache) -> None:
    """A name is never a field of its own."""
    session = cache.create()
    session.append({"role": "user", "content": "x"})
    for name in ("life", "counts", "rules", "status", "ops.1"):
        session.state.put(name, "broken")
        session.variables.put(name, "broken")
        session.patch(metadata={name: "broken"})
    session.append({"role": "user", "content": "y"})
    assert session.info().count == 2
