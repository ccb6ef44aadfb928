"""Writes of shared scopes that travel with an append: each is applied once and in order, also when a process dies in between."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import (
    BoundExceeded,
    InvalidInput,
    LimitExceeded,
    OutcomeUnknown,
    RevisionConflict,
    Session,
    SessionCache,
    StoreUnavailable,
)
from redis_sessions._core.commands import outbox
from redis_sessions._core.commands.shared import ScopeChange, stored_values
from redis_sessions._core.commands.stored_values import read_fields
from redis_sessions._core.protocol.call import Call
from redis_sessions._sync.services.shared_scopes import SharedScopes
from tests.codecs.conftest import OpenCache, cipher, open_cache  # noqa: F401 - a fixture

X = {"role": "user", "content": "x"}


class Died(BaseException):
    """Stands for the death of a process between the two round trips."""


def die_before_apply(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let each append die between its two round trips, until the result is undone."""

    def apply(*arguments: Any) -> None:
        raise Died

    patch = pytest.MonkeyPatch()
    patch.setattr(SharedScopes, "apply_own", apply)
    return patch


def append_and_die(session: Session, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Append a message whose writes of a scope are not applied."""
    patch = die_before_apply(monkeypatch)
    try:
        session.append(X, shared={"s": {"last": number, f"n{number}": 1}}, remove_shared={"s": [f"n{number - 1}"]})
    except Died:
        pass
    finally:
        patch.undo()


def waiting(cache: SessionCache, session: Session) -> list[outbox.Waiting]:
    """Return the writes that wait in a session."""
    return cache._context.executor.run(outbox.read(session._keys, ""))


def test_append_sets_and_removes_shared_values(cache: SessionCache) -> None:
    """Values of several scopes are set and removed with an append, and nothing waits after that."""
    session = cache.create()
    cache.shared("a").patch({"x": 1, "y": 2})
    result = session.append(
        X, state={"own": 1}, shared={"a": {"x": 5}, "b": {"z": [1]}}, remove_shared={"a": ["y", "missing"]}
    )
    assert (result.first_seq, result.last_seq) == (1, 1)
    assert (cache.shared("a").all(), cache.shared("b").all(), session.state.all()) == ({"x": 5}, {"z": [1]}, {"own": 1})
    assert waiting(cache, session) == []
    assert cache.scopes().items == ["a", "b"]
    assert session.load(0, shared=["a", "b", "c"]).shared == {"a": {"x": 5}, "b": {"z": [1]}, "c": {}}


def test_value_that_is_set_and_removed_is_refused(cache: SessionCache) -> None:
    """An append that sets and removes the same value is refused, and so is one of the session's own state."""
    session = cache.create()
    for given in (
        {"shared": {"a": {"x": 1}}, "remove_shared": {"a": ["x"]}},
        {"state": {"x": 1}, "remove_state": ["x"]},
    ):
        with pytest.raises(InvalidInput, match="x: must not be both set and removed"):
            session.append(X, **given)
    assert (session.history(), cache.shared("a").all(), session.state.all()) == ([], {}, {})


def test_shared_values_need_no_message(cache: SessionCache) -> None:
    """An append of shared values alone changes the scopes, and the revision of the session."""
    session = cache.create()
    rev = session.info().rev
    assert session.append(shared={"a": {"x": 1}}).rev == rev + 1
    assert session.append(X, shared={}, remove_shared={"a": []}).last_seq == 1
    assert cache.shared("a").all() == {"x": 1}


def test_refused_append_leaves_scopes_as_they_are(cache: SessionCache) -> None:
    """An append that is refused changes no scope."""
    session = cache.create(max_turns=1)
    with pytest.raises(RevisionConflict):
        session.append(X, shared={"a": {"x": 1}}, expected_rev=99)
    session.append(X)
    with pytest.raises(LimitExceeded):
        session.append(X, X, {"role": "assistant", "content": "y"}, X, shared={"a": {"x": 1}})
    for bad in ({"a b": {"x": 1}}, {"a": {"": 1}}, {"a": 1}, {"a": {"x": object()}}, 5):
        with pytest.raises(InvalidInput):
            session.append(shared=bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        session.append(X, shared={"a": {"x": 1}}, request_turn=True)
    assert cache.scopes().items == []


def test_repeated_append_applies_once(cache: SessionCache) -> None:
    """An append that is repeated with its batch ID does not undo a later write of the scope."""
    session = cache.create()
    session.append(X, shared={"s": {"a": 1}}, batch_id="b")
    cache.shared("s").put("a", 2)
    assert session.append(X, shared={"s": {"a": 1}}, batch_id="b").duplicate
    assert cache.shared("s").get("a") == 2
    assert session.info().count == 1


def test_repeated_append_applies_what_its_first_attempt_left(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append whose process died before the second round trip is completed by its repetition."""
    session = cache.create()
    patch = die_before_apply(monkeypatch)
    with pytest.raises(Died):
        session.append(X, shared={"s": {"a": 1}}, batch_id="b")
    patch.undo()
    assert cache.shared("s").all() == {}
    assert session.append(X, shared={"s": {"a": 1}}, batch_id="b").duplicate
    assert cache.shared("s").all() == {"a": 1}
    assert waiting(cache, session) == []


@pytest.mark.parametrize("how", ["load", "load many", "append"])
def test_next_call_applies_what_a_dead_process_left(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The next load or append applies what waits, in the order of the appends, and returns the values."""
    session = cache.create()
    for number in range(1, 4):
        append_and_die(session, number, monkeypatch)
    assert [one.rev for one in waiting(cache, session)] == ["1", "2", "3"]
    assert session.info().count == 3
    if how == "load":
        assert session.load(0, shared=["s"]).shared == {"s": {"last": 3, "n3": 1}}
    elif how == "load many":
        found = cache.load([session.id, "x"], shared=["s"])
        assert found[0] is not None
        assert found[0].shared == {"s": {"last": 3, "n3": 1}}
    else:
        session.append(X, shared={"s": {"last": 4}})
        assert cache.shared("s").all() == {"last": 4, "n3": 1}
    assert waiting(cache, session) == []


def test_late_application_of_a_slow_process_changes_nothing(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was paused between its round trips does not undo what was written after another applied its writes."""
    session = cache.create()
    append_and_die(session, 1, monkeypatch)
    late = waiting(cache, session)
    session.append(X, shared={"s": {"last": 2}})
    cache._context.scopes.apply(session._keys, late)
    assert cache.shared("s").get("last") == 2


def test_write_that_a_scope_refuses_is_dropped(cache: SessionCache) -> None:
    """A scope that is full refuses its values: the messages are stored, other scopes take theirs, and nothing waits."""
    small = SessionCache(cache, bounds={"shared_values": 1, "scopes": 2})
    session = small.create()
    small.shared("full").put("a", 1)
    with pytest.raises(BoundExceeded, match="shared_values"):
        session.append(X, shared={"full": {"b": 1}, "other": {"b": 1}})
    assert (small.shared("full").all(), small.shared("other").all()) == ({"a": 1}, {"b": 1})
    with pytest.raises(BoundExceeded, match="scopes"):
        session.append(X, shared={"third": {"b": 1}, "other": {"b": 2}})
    assert (small.shared("third").all(), small.shared("other").all()) == ({}, {"b": 2})
    assert waiting(small, session) == []
    assert session.info().count == 2


def test_removed_values_make_room_in_a_full_scope(cache: SessionCache) -> None:
    """A scope that is full takes new values in the step that removes old ones, and refuses more than there is room for."""
    small = SessionCache(cache, bounds={"shared_values": 2, "shared_bytes": 100})
    session, scope = small.create(), small.shared("full")
    scope.patch({"a": "x" * 40, "b": "x" * 40})
    session.append(X, shared={"full": {"c": "x" * 40}}, remove_shared={"full": ["a", "missing"]})
    assert scope.all() == {"b": "x" * 40, "c": "x" * 40}
    with pytest.raises(BoundExceeded, match="shared_bytes"):
        session.append(X, shared={"full": {"d": "x" * 60}}, remove_shared={"full": ["c"]})
    with pytest.raises(BoundExceeded, match="shared_values"):
        session.append(X, shared={"full": {"d": 1, "e": 1}}, remove_shared={"full": ["c"]})
    assert scope.all() == {"b": "x" * 40, "c": "x" * 40}
    session.append(X, shared={"full": {"d": 1}}, remove_shared={"full": ["b"]})
    assert scope.clear() == 2
    scope.patch({"a": "x" * 40, "b": "x" * 40})


def test_outbox_is_bounded(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many writes of shared scopes wait, the next append with a write applies them first. Then it is stored."""
    small = SessionCache(cache, bounds={"outbox_writes": 2})
    session = small.create()
    for number in range(2):
        append_and_die(session, number, monkeypatch)
    session.append(X, shared={"s": {"a": 1}})
    assert session.info().count == 3
    assert cache.shared("s").get("a") == 1


def test_write_is_applied_although_an_import_repeats_the_revision(cache: SessionCache) -> None:
    """A session that an import set back applies a new write under a revision that it had before."""
    session = cache.create("a")
    lines = list(session.export())
    session.append(X, shared={"app": {"v": "old"}})
    cache.import_sessions(lines, on_conflict="replace")
    cache.open("a").append(X, shared={"app": {"v": "new"}})
    assert cache.shared("app").all() == {"v": "new"}


def test_unreachable_scope_keeps_the_values_in_the_session(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the server of a scope does not answer, the append raises OutcomeUnknown with the batch ID, and loses nothing."""
    session = cache.create()

    def apply(*arguments: Any) -> None:
        raise StoreUnavailable(where="x", waited=1.0, detail="no answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SharedScopes, "apply", apply)
        with pytest.raises(OutcomeUnknown) as unknown:
            session.append(X, shared={"s": {"a": 1}})
        assert session.load().info.count == 1
    assert unknown.value.batch_id
    assert session.append(X, shared={"s": {"a": 1}}, batch_id=unknown.value.batch_id).duplicate
    assert cache.shared("s").all() == {"a": 1}


def test_outbox_is_not_exported_or_forked_and_goes_with_its_session(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes that wait belong to their session alone: a fork and an export do not have it."""
    session = cache.create()
    append_and_die(session, 1, monkeypatch)
    fork, lines = session.fork(), list(session.export())
    assert waiting(cache, fork) == []
    assert not any("outbox" in line for line in lines)
    session.delete()
    cache.import_sessions(lines)
    assert waiting(cache, cache.session(session.id)) == []


def test_values_are_encoded_for_their_scope(open_cache: OpenCache, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Values go through the codecs, also while they wait. A value that is moved to another scope cannot be read."""
    with open_cache(codecs=[cipher()]) as cache:
        session = cache.create()
        patch = die_before_apply(monkeypatch)
        with pytest.raises(Died):
            session.append(X, shared={"s": {"a": "zanzibar", "n": 5}})
        patch.undo()
        assert b"zanzibar" not in b"".join(
            value for one in waiting(cache, session) for value in one.changes[0].sets.values()
        )
        assert session.load(0, shared=["s"]).shared == {"s": {"a": "zanzibar", "n": 5}}
        assert cache.shared("s").add("n") == 6
        stored = cache._context.executor.run(stored_values(cache.shared("s")._keys))
        assert b"zanzibar" not in stored[b"a"]
        append_and_die(session, 1, monkeypatch)
        with open_cache(codecs=[cipher("k1", "k2", current="k2")]) as renewed:
            outcomes = {one.name: one for one in renewed.reencrypt()}
            assert outcomes["shared/s"].problem is None
            assert waiting(cache, session) == []
        with open_cache(codecs=[cipher("k2", current="k2")]) as only_new:
            assert only_new.shared("s").all() == {"a": "zanzibar", "n": 6, "last": 1, "n1": 1}


def test_packed_changes_are_unpacked() -> None:
    """Changes of any bytes are packed and unpacked, and cut ones are refused."""
    changes = [
        ScopeChange("é/x", {"1:": b"\x00:5:", "é": b""}, ["gone", "ü"]),
        ScopeChange("b", {}, ["x"]),
        ScopeChange("c", {"a": b"1"}, []),
    ]
    packed = outbox.pack(changes, "~operation1")
    assert outbox.unpack(packed) == (changes, "~operation1")
    for cut in (packed[:-10], b"3:abc1:1", b"x"):
        with pytest.raises(ValueError, match=r"."):
            outbox.unpack(cut)


def test_forgotten_scope_does_not_come_back(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """`forget` with `find_unlisted` applies the writes that wait in sessions, and deletes what they wrote."""
    session, damaged = cache.create("of-bob", user_id="bob"), cache.create("damaged", user_id="bob")
    for one in (session, damaged):
        patch = die_before_apply(monkeypatch)
        with pytest.raises(Died):
            one.append(X, shared={"user/mia": {"address": "Elm Street"}, "app/shop": {"open": True}})
        patch.undo()
    field = next(
        name for name in cache._context.executor.run(read_fields(damaged._keys)) if name.startswith(b"outbox.")
    )
    cache._context.executor.run(Call(("HSET", damaged._keys.session, field, "junk"), damaged._keys, int))
    found = cache.forget("mia", find_unlisted=True)
    assert (found.scopes, found.shared_values) == (("user/mia",), 1)
    assert waiting(cache, session) == []
    session.load()
    assert (cache.shared("user/mia").all(), cache.shared("app/shop").all()) == ({}, {"open": True})
    damaged.delete()
