"""Names of filters, and the summary fields that list queries read from the sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache, SessionSummary
from tests.support.lease_waiters import elsewhere

X = {"role": "user", "content": "x"}
LISTS: dict[str, Callable[..., list[str]]] = {
    "list": lambda cache, **filters: [summary.id for summary in cache.list(**filters).items],
    "iter_sessions": lambda cache, **filters: [summary.id for summary in cache.iter_sessions(**filters)],
}
CALLS: dict[str, Callable[..., object]] = {
    "list": lambda cache, **filters: cache.list(**filters),
    "iter_sessions": lambda cache, **filters: list(cache.iter_sessions(**filters)),
    "count": lambda cache, **filters: cache.count(**filters),
    "watch": lambda cache, **filters: list(cache.watch(**filters, timeout=0.01)),
}


def create_sessions(cache: SessionCache) -> None:
    """Create sessions of two users and two agents."""
    cache.create("a", user_id="mia", agent_id="x")
    cache.create("b", user_id="mia", agent_id="y")
    cache.create("c", user_id="bob", agent_id="x")


@pytest.mark.parametrize("method", list(LISTS))
def test_long_and_short_filter_names_list_the_same_sessions(cache: SessionCache, method: str) -> None:
    """The filters user_id and agent_id, and their short forms user and agent, list the same sessions."""
    create_sessions(cache)
    ids = LISTS[method]
    assert ids(cache, user_id="mia") == ids(cache, user="mia") == ["b", "a"]
    assert ids(cache, agent_id="x") == ids(cache, agent="x") == ["c", "a"]
    for filters in (
        {"user_id": "mia", "agent_id": "x"},
        {"user_id": "mia", "agent": "x"},
        {"user": "mia", "agent_id": "x"},
        {"user": "mia", "agent": "x"},
    ):
        assert ids(cache, **filters) == ["a"]
    assert ids(cache, user_id=None, user="bob", agent_id=None, agent=None) == ["c"]


def test_long_and_short_filter_names_count_the_same_sessions(cache: SessionCache) -> None:
    """A count is the same with the long and the short names of its filters."""
    create_sessions(cache)
    cache._context.indexer.flush()
    assert (cache.count(user_id="mia"), cache.count(user="mia")) == (2, 2)
    assert (cache.count(agent_id="y"), cache.count(agent="y")) == (1, 1)
    assert (cache.count(user_id="mia", agent_id="x"), cache.count(user="mia", agent="x")) == (1, 1)


def test_cursor_continues_with_the_other_name_of_a_filter(cache: SessionCache) -> None:
    """A cursor belongs to the value of a filter, whichever name the filter was given by."""
    create_sessions(cache)
    cursor = cache.list(1, user="mia").cursor
    assert [summary.id for summary in cache.list(1, cursor, user_id="mia").items] == ["a"]


@pytest.mark.parametrize("method", list(CALLS))
def test_two_values_for_one_filter_are_refused(cache: SessionCache, method: str) -> None:
    """A filter that is given by both names, with different values, is refused with both names."""
    for long, short in (("user_id", "user"), ("agent_id", "agent")):
        with pytest.raises(InvalidInput, match=f"{long}: .* {short}:"):
            CALLS[method](cache, **{long: "mia", short: "bob"})


@pytest.mark.parametrize("method", list(CALLS))
@pytest.mark.parametrize("name", ["user_id", "user", "agent_id", "agent"])
def test_invalid_filter_value_is_refused_by_the_given_name(cache: SessionCache, method: str, name: str) -> None:
    """The error of an invalid ID names the filter as the caller named it."""
    with pytest.raises(InvalidInput) as refused:
        CALLS[method](cache, **{name: "a b"})
    assert refused.value.name == name


@pytest.mark.parametrize("method", ["list", "iter_sessions", "count"])
def test_unknown_filter_is_refused_with_the_valid_names(cache: SessionCache, method: str) -> None:
    """The error of a filter that does not exist lists the filters that exist."""
    with pytest.raises(InvalidInput) as refused:
        CALLS[method](cache, usr="mia")
    assert refused.value.name == "usr"
    for name in ("active_only", "agent_id", "kinds", "label", "order", "tags", "user_id"):
        assert name in refused.value.detail


def summary_of(cache: SessionCache, id: str) -> SessionSummary:
    """Return the summary of one listed session."""
    return next(summary for summary in cache.iter_sessions() if summary.id == id)


def test_summary_has_metadata_and_inbox_size(cache: SessionCache) -> None:
    """A summary has all metadata of its session, and the number of messages that wait in the inbox."""
    metadata: dict[str, Any] = {"project_id": "p", "nested": {"a": [1, None, "é"]}}
    session = cache.create("a", metadata=metadata)
    cache.create("b")
    assert summary_of(cache, "a").metadata == metadata
    assert (summary_of(cache, "a").inbox_size, summary_of(cache, "b").metadata) == (0, {})
    with session.lease():
        elsewhere(lambda: [cache.session("a").send(text) for text in ("one", "two")])
        assert (summary_of(cache, "a").inbox_size, session.info().inbox_size) == (2, 2)
    session.patch(metadata={"project_id": None})
    assert summary_of(cache, "a").metadata == session.info().metadata


def test_summary_has_last_message(cache: SessionCache) -> None:
    """A summary has the seq, time, role and text of the newest message, and None when the session retains none."""
    session = cache.create("a")
    assert summary_of(cache, "a").last_message is None
    session.append(X, {"role": "assistant", "content": "Gate 4. é"})
    last, stored = summary_of(cache, "a").last_message, session.history()[-1]
    assert last is not None
    assert (last.seq, last.role, last.text) == (2, "assistant", "Gate 4. é")
    assert last.at == stored.timestamp
    session.clear()
    assert summary_of(cache, "a").last_message is None


@pytest.mark.parametrize("length", [4000, 4096, 100_000])
def test_summary_of_long_last_message_has_no_text(cache: SessionCache, length: int) -> None:
    """A last message larger than 4 KiB is shown by its seq and time alone."""
    session = cache.create("a")
    session.append({"role": "user", "content": "x" * length})
    last = summary_of(cache, "a").last_message
    assert last is not None
    assert last.at == session.history()[-1].timestamp
    expected = ("user", "x" * length) if length == 4000 else (None, None)
    assert (last.seq, last.role, last.text) == (1, *expected)


def test_generators_of_tags_kinds_and_state_filter_as_lists_do(cache: Any) -> None:
    """Tags, kinds and names of the state may be generators, which can be read only once."""
    cache.create("a", tags=["red"], state={"topic": "ships"})
    cache.create("b", tags=["blue"], kind="cron")
    assert [one.id for one in cache.list(tags=(tag for tag in ["red"])).items] == ["a"]
    assert [one.id for one in cache.list(kinds=(kind for kind in ["cron"])).items] == ["b"]
    assert cache.count(tags=(tag for tag in ["red"])) == 1
    assert cache.count(kinds=(kind for kind in ["cron"])) == 1
    (shown,) = cache.list(label=None, tags=["red"], state=(name for name in ["topic"])).items
    assert shown.state == {"topic": "ships"}


def test_one_text_in_place_of_several_is_refused(cache: SessionCache) -> None:
    """A text is refused where a list of texts is due, because its letters would be taken for them."""
    for call in (lambda: cache.all_documents("notes"), lambda: cache.threads(labels="run-1")):
        with pytest.raises(InvalidInput):
            call()
