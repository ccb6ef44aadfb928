"""Shared scopes: JSON values by name outside of sessions."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pydantic import BaseModel

from redis_sessions import (
    BoundExceeded,
    InvalidInput,
    InvalidState,
    NotAnInteger,
    OperationConflict,
    SessionCache,
    SharedScope,
)
from redis_sessions._core.commands import shared as core
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.ids import new_operation_id


def run(cache: SessionCache, scope: SharedScope, *command: Any) -> Any:
    """Run a command on the node of a scope."""
    return cache._context.executor.run(Call(command, scope._keys, lambda reply: reply))


def write(cache: SessionCache, scope: SharedScope, values: dict[str, Any], operation: str) -> int:
    """Change a scope under an operation ID."""
    change = core.change(scope.scope, values, (), cache._context.bounds, None)
    return cache._context.executor.run(core.write(scope._keys, change, operation, cache._context.bounds))


class Taste(BaseModel):
    """A value of a model."""

    likes: list[str]


def test_values_are_read_as_they_were_written(cache: SessionCache) -> None:
    """A value is read by name, all values are read at once, and a missing name gives the default."""
    scope = cache.shared("app/shop")
    scope.put("z", None)
    scope.patch({"a": {"b": [1, 2.5, "é"]}, "n": 3})
    assert scope.get("a") == {"b": [1, 2.5, "é"]}
    assert scope.get("z", "default") is None
    assert scope.get("missing", "default") == "default"
    assert list(scope.all().items()) == [("a", {"b": [1, 2.5, "é"]}), ("n", 3), ("z", None)]
    scope.put("taste", Taste(likes=["tea"]))
    assert scope.get("taste", type=Taste) == Taste(likes=["tea"])
    with pytest.raises(InvalidState):
        scope.get("a", type=Taste)


def test_delete_and_clear_tell_what_was_there(cache: SessionCache) -> None:
    """A removal returns whether a value was there, and clear how many."""
    scope = cache.shared("s")
    scope.patch({"a": 1, "b": 2, "c": 3})
    assert (scope.delete("a"), scope.delete("a"), scope.clear(), scope.clear()) == (True, False, 2, 0)
    assert scope.all() == {}


def test_add_counts_once_for_a_batch(cache: SessionCache) -> None:
    """An addition happens once for a batch ID, and refuses a value that is not a whole number."""
    scope = cache.shared("s")
    assert (scope.add("n"), scope.add("n", 5, batch_id="b"), scope.add("n", 5, batch_id="b"), scope.add("n", -7)) == (
        1, 6, 6, -1,
    )  # fmt: skip
    scope.put("t", "text")
    with pytest.raises(NotAnInteger):
        scope.add("t")
    with pytest.raises(NotAnInteger):
        scope.add("n", -(2**53))
    with pytest.raises(OperationConflict):
        scope.add("other", batch_id="b")


def test_repeated_write_changes_nothing(cache: SessionCache) -> None:
    """A write that is repeated under its operation ID does not undo a later write of another."""
    scope = cache.shared("s")
    operation = new_operation_id()
    write(cache, scope, {"a": 1}, operation)
    scope.put("a", 2)
    write(cache, scope, {"a": 1}, operation)
    assert scope.get("a") == 2


def test_last_1024_writes_are_known(cache: SessionCache) -> None:
    """The results of 1,024 writes are kept, and no more than that."""
    scope = cache.shared("s")
    for number in range(1100):
        scope.add("n", batch_id=f"b{number}")
    assert scope.add("n", batch_id="b80") == 81
    assert scope.get("n") == 1100
    log = run(cache, scope, "HGETALL", scope._keys.log)
    assert sum(value.count(b"\n") for value in log[1::2]) < 1100


def test_adds_of_many_threads_all_count(cache: SessionCache) -> None:
    """Additions of four threads are all counted."""
    scope = cache.shared("s")

    def work() -> None:
        for _ in range(25):
            scope.add("n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scope.get("n") == 100


@pytest.mark.parametrize("scope", ["", "a b", "a{b", "x" * 257, "a\n", None])
def test_invalid_scope_is_refused(cache: SessionCache, scope: Any) -> None:
    """a scope whose name is not an ID is refused before anything is sent."""
    with pytest.raises(InvalidInput):
        cache.shared(scope)


@pytest.mark.parametrize("name", ["", "x" * 257, "a\n", 5])
def test_invalid_name_is_refused(cache: SessionCache, name: Any) -> None:
    """A name that is not printable text of 1 to 256 characters is refused by each method."""
    scope = cache.shared("s")
    for call in (
        lambda: scope.put(name, 1),
        lambda: scope.get(name),
        lambda: scope.delete(name),
        lambda: scope.add(name),
    ):
        with pytest.raises(InvalidInput):
            call()
    with pytest.raises(InvalidInput):
        scope.put("a", object())
    assert cache.scopes().items == []


def test_scope_beyond_its_bounds_is_refused(cache: SessionCache) -> None:
    """A scope refuses more bytes and more values than its bounds, and takes writes that make it smaller."""
    small = SessionCache(cache, bounds={"shared_bytes": 100, "shared_values": 3, "scopes": 2})
    scope = small.shared("s")
    scope.patch({"a": "x" * 40, "b": "x" * 40})
    with pytest.raises(BoundExceeded, match="shared_bytes"):
        scope.put("c", "x" * 40)
    with pytest.raises(InvalidInput, match="shared_bytes"):
        scope.put("c", "x" * 200)
    scope.put("a", 1)
    scope.put("c", 1)
    with pytest.raises(BoundExceeded, match="shared_values"):
        scope.add("d")
    with pytest.raises(BoundExceeded, match="shared_values"):
        scope.put("d", 1)
    cache.shared("s").patch({"d": "y" * 200})
    scope.put("d", "y" * 60)
    scope.delete("d")
    small.shared("t").put("a", 1)
    with pytest.raises(BoundExceeded, match="scopes"):
        small.shared("u").put("a", 1)
    assert small.shared("u").all() == {}


def test_namespace_without_room_looks_for_empty_scopes_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first refused scope lets the process look at all scopes. Further refusals within a minute look at none."""
    looked: list[Any] = []
    with SessionCache.from_url("fake://", bounds={"scopes": 1}) as cache:
        scopes = cache._context.scopes
        remove = scopes._remove_empty
        monkeypatch.setattr(scopes, "_remove_empty", lambda: looked.append(remove()))
        cache.shared("s").put("a", 1)
        for _ in range(3):
            with pytest.raises(BoundExceeded):
                cache.shared("t").put("a", 1)
        assert len(looked) == 1
        scopes._registered._next_search = 0.0  # a minute later
        with pytest.raises(BoundExceeded):
            cache.shared("t").put("a", 1)
        assert len(looked) == 2


def test_totals_follow_the_values(cache: SessionCache) -> None:
    """The recorded bytes and number of values are those of the stored values, and are counted again when they are lost."""
    scope = cache.shared("s")
    scope.patch({"a": "xyz", "bé": [1], "n": 5})
    scope.put("a", "x")
    scope.add("n", 10)
    scope.delete("bé")

    def totals() -> list[bytes]:
        return list(run(cache, scope, "HGET", scope._keys.log, "totals").split()[:2])

    assert totals() == [b"7", b"2"]
    run(cache, scope, "DEL", scope._keys.log)
    scope.put("b", 1)
    assert totals() == [b"9", b"3"]
    scope.clear()
    assert totals() == [b"0", b"0"]


def test_ttl_counts_from_the_last_write(cache: SessionCache) -> None:
    """A scope with a TTL lives that long after each write, by any handle, and for ever without one."""
    scope = cache.shared("s")
    scope.put("a", 1)
    assert run(cache, scope, "PTTL", scope._keys.values) == -1
    cache.shared("s", ttl=50).put("a", 2)
    for key in (scope._keys.values, scope._keys.log):
        assert 40_000 < run(cache, scope, "PTTL", key) <= 50_000
        run(cache, scope, "PEXPIRE", key, 10_000)
    scope.put("b", 1)
    assert run(cache, scope, "PTTL", scope._keys.values) > 40_000
    short = cache.shared("t", ttl=0.05)
    short.add("n")
    threading.Event().wait(0.1)
    assert short.all() == {}
    assert cache.scopes().items == ["s"]


def test_scopes_are_listed_by_prefix_in_pages(cache: SessionCache) -> None:
    """Scopes with values are listed ascending, by prefix, page by page. Empty ones are left out."""
    for scope in ["user/b", "app/x", "user/a", "user/c", "userx", "é"]:
        cache.shared(scope).put("a", 1)
    cache.shared("user/b").clear()
    assert cache.scopes().items == ["app/x", "user/a", "user/c", "userx", "é"]
    assert cache.scopes("user/").items == ["user/a", "user/c"]
    page = cache.scopes("user", 2)
    assert page.items == ["user/a", "user/c"]
    assert cache.scopes("user", 2, page.cursor).items == ["userx"]
    assert cache.scopes("user", 2, page.cursor).cursor is None
    assert cache.scopes("nothing").items == []
    with pytest.raises(InvalidInput):
        cache.scopes(limit=0)
    with pytest.raises(InvalidInput):
        cache.scopes(5)  # type: ignore[arg-type]


def test_forget_deletes_scopes_of_the_user(cache: SessionCache) -> None:
    """Scopes whose path ends with the user's ID are deleted with the user, and no other ones."""
    for scope in ["user/shop/mia", "mia", "user/shop/mia/x", "app/shop", "user/other/mia"]:
        cache.shared(scope).patch({"a": 1, "b": 2})
    found = cache.forget("mia")
    assert (found.scopes, found.shared_values) == (("user/other/mia", "user/shop/mia"), 4)
    assert cache.scopes().items == ["app/shop", "mia", "user/shop/mia/x"]
    assert run(cache, cache.shared("user/shop/mia"), "EXISTS", cache.shared("user/shop/mia")._keys.log) == 0


def test_damaged_value_is_named(cache: SessionCache) -> None:
    """A damaged value raises InvalidState that names it, and the other values can be read."""
    scope = cache.shared("s")
    scope.put("fine", 1)
    run(cache, scope, "HSET", scope._keys.values, "bad", "{")
    with pytest.raises(InvalidState, match="bad"):
        scope.all()
    with pytest.raises(InvalidState, match="bad"):
        scope.get("bad")
    assert scope.get("fine") == 1
