"""Operation IDs: the known IDs of operations let no other operation vanish, and an ID is of one kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import InvalidInput, OperationConflict, Session, SessionCache
from redis_sessions._core.protocol.ids import new_operation_id

X = {"role": "user", "content": "x"}
KINDS: dict[str, Callable[[Session, str], Any]] = {
    "append": lambda session, id: session.append(X, batch_id=id),
    "spawn": lambda session, id: session.spawn("worker", batch_id=id),
    "add": lambda session, id: session.state.add("n", 1, batch_id=id),
    "replace": lambda session, id: session.replace(X, after_seq=1, batch_id=id),
    "replace_message": lambda session, id: session.replace(1, X, batch_id=id),
    "pop": lambda session, id: session.pop(batch_id=id),
    "clear": lambda session, id: session.clear(batch_id=id),
    "compact": lambda session, id: session.compact(1, "summary", batch_id=id),
    "abandon_calls": lambda session, id: session.abandon_calls(batch_id=id),
}


def content(session: Session) -> Any:
    """Return what an operation can change."""
    return session.info().rev, session.history(), session.state.all(), [child.id for child in session.children()]


@pytest.mark.parametrize("first", KINDS)
def test_id_of_one_kind_is_refused_for_each_other_kind(cache: SessionCache, first: str) -> None:
    """A batch ID that names one kind of operation is refused for each other kind, and nothing changes."""
    session = cache.create()
    session.append(X, X, X)
    KINDS[first](session, "job-7")
    before = content(session)
    for kind, operation in KINDS.items():
        if kind != first:
            if kind in ("pop", "compact", "replace_message") and not before[1]:
                continue  # there is nothing to edit, so nothing is asked for
            with pytest.raises(OperationConflict) as caught:
                operation(session, "job-7")
            assert caught.value.facts == {"batch_id": "job-7", "kind": kind, "used_for": first}
    assert content(session) == before


def test_answer_of_a_turn_with_the_id_of_a_spawn_is_refused(cache: SessionCache) -> None:
    """A turn that ends with the batch ID of a spawn is refused, and can still end with another one."""
    session = cache.create(answered_by="support")
    session.spawn("worker", batch_id="job-7")
    session.send("Hello")
    run = cache.claim("support", wait=5)
    assert run is not None
    with pytest.raises(OperationConflict, match="was used for 'spawn' already, and this is 'finish'"):
        run.finish({"role": "assistant", "content": "Hi"}, batch_id="job-7")
    run.finish({"role": "assistant", "content": "Hi"}, batch_id="job-8")
    assert [message.role for message in session.history()] == ["user", "assistant"]


def test_sum_with_the_id_of_another_name_is_refused(cache: SessionCache) -> None:
    """A batch ID that added to one name is refused for another name, and repeats the sum of its own."""
    state = cache.create().state
    assert state.add("a", 5, batch_id="job-7") == 5
    with pytest.raises(OperationConflict):
        state.add("b", 7, batch_id="job-7")
    assert state.add("a", 5, batch_id="job-7") == 5
    assert state.all() == {"a": 5}


def test_next_ids_of_the_library_cannot_be_guessed(cache: SessionCache) -> None:
    """Two IDs in a row share no random part, and no caller can name one that the library did not make."""
    first, second = new_operation_id(), new_operation_id()
    assert re.fullmatch(r"~[A-Za-z0-9_-]{8}[A-Za-z0-9_-]{2}", first)
    assert first[1:9] != second[1:9]
    session = cache.create()
    for guess in ("~", "~next", first + "0", f"~{session.info().incarnation}.result", first[:-1]):
        with pytest.raises(InvalidInput, match="reserved for the IDs"):
            session.append(X, batch_id=guess)
    assert session.history() == []


def test_id_that_a_result_told_repeats_its_operation(cache: SessionCache) -> None:
    """An append under the batch ID of an earlier result repeats that append."""
    session = cache.create()
    result = session.append(X)
    assert session.append(X, batch_id=result.batch_id).duplicate
    assert len(session.history()) == 1


def test_result_of_a_child_cannot_be_taken_before(cache: SessionCache) -> None:
    """A message under a name like that of a child's result does not keep the result away from its parent."""
    parent = cache.create()
    result = parent.spawn("worker").raise_if_refused()
    parent.append(X, batch_id=f"{result.run_id}.result")
    run = cache.claim("worker", wait=5)
    assert run is not None
    run.complete("done")
    assert [message.metadata.get("subagent", {}).get("status") for message in parent.history()] == [None, "completed"]


@pytest.mark.parametrize("id", ["agent:support:main", "agent:worker:subagent:8f14e45f-ceea-867f-9ac9-3ff8e0a1b2c3"])
def test_id_of_main_and_spawned_sessions_is_reserved(cache: SessionCache, id: str) -> None:
    """The IDs of main sessions and spawned ones are refused for a caller's session, and reading them is not."""
    for create in (cache.create, cache.get_or_create):
        with pytest.raises(InvalidInput, match="is reserved for the sessions that main_session"):
            create(id)
    assert cache.get(id) is None
    assert cache.main_session("support").id == "agent:support:main"
