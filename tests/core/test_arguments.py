"""Arguments that hold several values are checked before anything is sent, by every method that takes one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from redis_sessions import InvalidInput, Message, SessionCache
from redis_sessions.testing import fake_cache

USER = {"role": "user", "content": "x"}
MAPPINGS: dict[str, Callable[[SessionCache, Any], Any]] = {
    "metadata of create": lambda cache, value: cache.create(metadata=value),
    "state of create": lambda cache, value: cache.create(state=value),
    "type of create": lambda cache, value: cache.create(type=value),
    "metadata of patch": lambda cache, value: cache.session("a").patch(metadata=value),
    "metadata of Message": lambda cache, value: Message("user", "x", metadata=value),
    "state of append": lambda cache, value: cache.session("a").append(USER, state=value),
    "if_state of append": lambda cache, value: cache.session("a").append(USER, if_state=value),
    "shared of append": lambda cache, value: cache.session("a").append(USER, shared=value),
    "values of state.patch": lambda cache, value: cache.session("a").state.patch(value),
    "values of variables.patch": lambda cache, value: cache.session("a").variables.patch(value),
    "values of shared.patch": lambda cache, value: cache.shared("a").patch(value),
    "description of spawn": lambda cache, value: cache.session("a").spawn("a", description=value),
    "spawned_by of spawn": lambda cache, value: cache.session("a").spawn("a", spawned_by=value),
    "config of start_loop": lambda cache, value: cache.session("a").start_loop(config=value),
    "usage of record_usage": lambda cache, value: cache.session("a").loop("l").record_usage("s", value),
    "values of put_many": lambda cache, value: cache.documents("a").put_many(value),
    "values of put_documents": lambda cache, value: cache.put_documents(value),
    "names of get_documents": lambda cache, value: cache.get_documents(value),
    "names of delete_documents": lambda cache, value: cache.delete_documents(value),
    "after of watch": lambda cache, value: next(iter(cache.watch(user_id="u", after=value, timeout=0.01))),
    "versions of checkpoints": lambda cache, value: cache.checkpoints("a").put("1", state=b"", versions=value),
    "blobs of checkpoints": lambda cache, value: cache.checkpoints("a").put("1", state=b"", versions={}, blobs=value),
}
LISTS: dict[str, Callable[[SessionCache, Any], Any]] = {
    "remove_metadata of patch": lambda cache, value: cache.session("a").patch(remove_metadata=value),
    "remove_state of append": lambda cache, value: cache.session("a").append(USER, remove_state=value),
    "call_ids of abandon_calls": lambda cache, value: cache.session("a").abandon_calls(value),
    "ids of append_new": lambda cache, value: cache.session("a").append_new(USER, ids=value),
    "state of list": lambda cache, value: cache.list(state=value),
    "kinds of list": lambda cache, value: cache.list(kinds=value),
    "tags of list": lambda cache, value: cache.list(tags=value),
    "writes of checkpoints": lambda cache, value: cache.checkpoints("a").write("1", value),
}
FUNCTIONS: dict[str, Callable[[SessionCache, Any], Any]] = {
    "counter of context": lambda cache, value: cache.session("a").context(counter=value),
    "function of retry_on_conflict": lambda cache, value: cache.session("a").retry_on_conflict(value),
    "token_counter of a cache": lambda cache, value: fake_cache(token_counter=value),
    "audit of a cache": lambda cache, value: fake_cache(audit=value),
}


@pytest.fixture(scope="module")
def cache() -> Any:
    """Return a cache on a fake server with one session, which every refused call leaves as it is."""
    with fake_cache() as cache:
        session = cache.create("a", metadata={"x": 1})
        yield cache
        assert (session.info().rev, session.info().metadata) == (0, {"x": 1})


@pytest.mark.parametrize("value", ["x", 5, ["a"], [("a", 1)]], ids=repr)
@pytest.mark.parametrize("name", list(MAPPINGS))
def test_what_is_no_mapping_is_refused(cache: SessionCache, name: str, value: Any) -> None:
    """Text, a number, a list and pairs are refused with the name of the argument, in place of a mapping."""
    with pytest.raises(InvalidInput) as caught:
        MAPPINGS[name](cache, value)
    assert caught.value.name == name.split()[0]


@pytest.mark.parametrize("value", ["x", 5], ids=repr)
@pytest.mark.parametrize("name", list(LISTS))
def test_what_is_no_list_is_refused(cache: SessionCache, name: str, value: Any) -> None:
    """A text, whose characters would be taken as names, and a number are refused in place of a list."""
    with pytest.raises(InvalidInput) as caught:
        LISTS[name](cache, value)
    assert caught.value.name == name.split()[0]


@pytest.mark.parametrize("value", ["x", 5, {}], ids=repr)
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_what_cannot_be_called_is_refused(cache: SessionCache, name: str, value: Any) -> None:
    """A value that cannot be called is refused in place of a function."""
    with pytest.raises(InvalidInput) as caught:
        FUNCTIONS[name](cache, value)
    assert caught.value.name == name.split()[0]


HUGE: dict[str, Callable[[SessionCache, int], Any]] = {
    "ttl of touch": lambda cache, number: cache.session("a").touch(number),
    "ttl of lease": lambda cache, number: cache.session("a").lease(ttl=number),
    "ttl of create": lambda cache, number: cache.create(ttl=number),
    "limit of list": lambda cache, number: cache.list(number),
    "amount of add": lambda cache, number: cache.session("a").state.add("n", number),
    "max_messages of create": lambda cache, number: cache.create(max_messages=number),
}
REFUSED: dict[str, Callable[[SessionCache], Any]] = {
    "max_messages above 2**53": lambda cache: cache.create(max_messages=2**53 + 1),
    "max_turns above 2**53": lambda cache: cache.session("a").patch(max_turns=2**53 + 1),
    "surrogate as a name of add": lambda cache: cache.session("a").state.add("\ud800"),
    "number as a name of add": lambda cache: cache.session("a").state.add(5),  # type: ignore[arg-type]
    "turn without time zone": lambda cache: cache.session("a").loop("l").add_turn("t", started_at=datetime(2026, 1, 1)),
    "surrogate in a first system message": lambda cache: cache.session("a").import_messages([system("\ud800")]),
    "object in a first system message": lambda cache: cache.session("a").import_messages([system([object()])]),
    "cursor of checkpoints": lambda cache: cache.checkpoints("t").page(cursor="\ud800"),
    "cursor of namespaces": lambda cache: cache.checkpoints("t").namespaces(cursor="\ud800"),
    "cursor of threads": lambda cache: cache.threads(cursor="\ud800"),
    "cursor of leases": lambda cache: cache.leases(cursor="\u00b2 x"),
    "number as a cursor of checkpoints": lambda cache: cache.checkpoints("t").page(cursor=5),  # type: ignore[arg-type]
    "long backoff": lambda cache: cache.worker("a", print, backoff="40d"),
}


def system(content: Any) -> dict[str, Any]:
    """Return a system message."""
    return {"role": "system", "content": content}


@pytest.mark.parametrize("name", list(REFUSED))
def test_value_that_cannot_be_sent_or_compared_is_refused(cache: SessionCache, name: str) -> None:
    """A value that no command can carry raises InvalidInput, and not the error of what met it first."""
    with pytest.raises(InvalidInput):
        REFUSED[name](cache)


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize("name", list(HUGE))
def test_number_of_very_many_digits_is_refused(cache: SessionCache, name: str, digits: int) -> None:
    """A number that no float holds, or that Python refuses to write, is refused like every other one beyond the bounds."""
    with pytest.raises(InvalidInput) as refused:
        HUGE[name](cache, 10**digits)
    assert refused.value.name == name.split()[0]
