"""The state and the variables of a session."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from redis_sessions import InvalidInput, InvalidState, NotAnInteger, RevisionConflict, SessionCache
from redis_sessions._sync.api.session_state import State


class Plan(BaseModel):
    """A value of the state."""

    step: int
    due: date


def test_state_value_of_any_json_is_returned(cache: SessionCache) -> None:
    """A state value of any JSON is returned, and a missing value is None or the default (S1 0-31, S4 3-33)."""
    state = cache.create().state
    values: dict[str, Any] = {"text": "a", "n": 2**60, "none": None, "list": [], "deep": {"a": [{}]}, "é ü": True}
    for name, value in values.items():
        state.put(name, value)
    assert {name: state.get(name, "missing") for name in values} == values
    assert state.all() == values
    assert (state.get("other"), state.get("other", 5)) == (None, 5)


def test_state_of_sync_client_is_used_like_a_dict(cache: SessionCache) -> None:
    """The state of the sync client is read, written and deleted like a dict."""
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


@pytest.mark.parametrize("kind", ["state", "variables"])
def test_state_and_variables_are_mutable_mappings(cache: SessionCache, kind: str) -> None:
    """The state and the variables of the sync client have all methods of a mutable mapping."""
    session = cache.create()
    values: MutableMapping[str, Any] = getattr(session, kind)
    assert isinstance(values, MutableMapping)
    assert (len(values), list(values), "a" in values) == (0, [], False)
    values.update({"b": "2", "a": "1"}, c="3")
    assert session.info().rev == 1
    assert (len(values), list(values), "b" in values) == (3, ["a", "b", "c"], True)
    assert (list(values.keys()), list(values.values())) == (["a", "b", "c"], ["1", "2", "3"])
    assert list(values.items()) == [("a", "1"), ("b", "2"), ("c", "3")]
    assert values == {"a": "1", "b": "2", "c": "3"}
    assert (values.setdefault("a", "9"), values.setdefault("d", "4")) == ("1", "4")
    assert (values.pop("a"), values.pop("a", "none")) == ("1", "none")
    with pytest.raises(KeyError, match="a"):
        values.pop("a")
    assert values.popitem() == ("b", "2")
    del values["c"]
    assert dict(values) == {"d": "4"}
    values.clear()
    assert dict(values) == {}


def test_none_in_state_is_a_value(cache: SessionCache) -> None:
    """A state value of None is contained in the state, and is not a missing value."""
    state = cache.create().state
    state["none"] = None
    assert "none" in state
    assert (state["none"], state.get("none", 5), state.setdefault("none", 5), len(state)) == (None, None, None, 1)
    assert state.pop("none", 5) is None
    assert "none" not in state


def test_update_of_state_with_invalid_value_writes_nothing(cache: SessionCache) -> None:
    """An update is one atomic write, so one invalid value leaves the state as it was."""
    state = cache.create().state
    with pytest.raises(InvalidInput):
        state.update({"good": 1, "bad": {1, 2}})
    assert state.all() == {}


def test_state_value_is_returned_as_model(cache: SessionCache) -> None:
    """A value of the wrong type raises InvalidState, and a missing value is None (S2 1-36)."""
    state = cache.create().state
    plan = Plan(step=1, due=date(2026, 11, 21))
    state.put("plan", plan)
    assert state.get("plan", type=Plan) == plan
    assert state.get("plan") == {"step": 1, "due": "2026-11-21"}
    state.put("plan", {"step": "many"})
    with pytest.raises(InvalidState):
        state.get("plan", type=Plan)
    assert state.get("other", type=Plan) is None


def test_variables_are_separate_from_state(cache: SessionCache) -> None:
    """Variables are text and separate from the state (S2 1-35, 1-36)."""
    session = cache.create()
    session.variables.put("a", "1")
    session.state.put("a", 2)
    assert (session.variables.get("a"), session.state.get("a")) == ("1", 2)
    assert session.variables.delete("a") is True
    assert session.variables.delete("a") is False
    assert session.state.get("a") == 2
    with pytest.raises(InvalidInput):
        session.variables.put("a", 5)


def test_clear_of_state_leaves_variables(cache: SessionCache) -> None:
    """A clear of the state returns the number of removed values, and leaves variables and metadata."""
    session = cache.create(metadata={"m": 1})
    session.state.patch({"a": 1, "b": 2})
    session.variables.put("a", "x")
    assert session.state.clear() == 2
    assert session.state.all() == {}
    assert session.variables.all() == {"a": "x"}
    assert session.info().metadata == {"m": 1}


def test_write_with_stale_expected_rev_raises_revision_conflict(cache: SessionCache) -> None:
    """A write with a stale expected rev raises RevisionConflict and changes nothing (S1 0-32)."""
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


def test_repeated_add_returns_first_sum(cache: SessionCache) -> None:
    """An add with a known batch ID returns its first sum and changes nothing."""
    state = cache.create().state
    assert state.add("n", 5, batch_id="x") == 5
    assert state.add("n", -2) == 3
    assert state.add("n", 5, batch_id="x") == 5
    assert state.get("n") == 3


def test_add_to_invalid_number_is_refused(cache: SessionCache) -> None:
    """An add raises NotAnInteger for a value that is not a whole number below 2^53, and writes nothing."""
    state = cache.create().state
    state.put("t", "text")
    with pytest.raises(NotAnInteger):
        state.add("t")
    state.put("big", 2**53)
    with pytest.raises(NotAnInteger):
        state.add("big", 1)
    with pytest.raises(InvalidInput):
        state.add("n", 1.5)  # type: ignore[arg-type]
    assert state.all() == {"t": "text", "big": 2**53}


@pytest.mark.parametrize("name", ["", "a\n", "x" * 257])
def test_invalid_state_name_is_refused(cache: SessionCache, name: str) -> None:
    """A state name raises InvalidInput unless it has 1 to 256 printable characters."""
    with pytest.raises(InvalidInput):
        cache.create().state.put(name, 1)


def test_state_names_do_not_collide_with_script_fields(cache: SessionCache) -> None:
    """A state value, a variable or metadata with the name of a stored field does not overwrite the field."""
    session = cache.create()
    session.append({"role": "user", "content": "x"})
    for name in ("incarnation", "counters", "settings", "status", "results.1"):
        session.state.put(name, "broken")
        session.variables.put(name, "broken")
        session.patch(metadata={name: "broken"})
    session.append({"role": "user", "content": "y"})
    assert session.info().count == 2


@pytest.mark.parametrize("default", [None, {"d": 1}])
def test_loser_of_a_pop_gets_the_default(cache: SessionCache, default: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller whose value another caller removes between read and removal gets the default, or KeyError without one."""
    state = cache.create().state
    delete = State.delete

    def delete_after_another(self: State, name: str) -> bool:
        delete(self, name)
        return delete(self, name)

    state.update(a=1, b=2, c=3)
    monkeypatch.setattr(State, "delete", delete_after_another)
    assert state.pop("a", default) == default
    with pytest.raises(KeyError):
        state.pop("b")
    monkeypatch.undo()
    assert (state.pop("c"), state.pop("c", 5), dict(state)) == (3, 5, {})
