"""Options that an existing session does not have, and options that do not exist."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache
from redis_sessions.settings import Description, SessionOptions, SessionPatch, TreeOptions

OPTIONS: dict[str, tuple[Any, Any, Any]] = {
    "ttl": ("1h", 7200, timedelta(hours=1)),
    "max_lifetime": ("1h", None, timedelta(hours=1)),
    "max_messages": (7, 9, 7),
    "cap_policy": ("turn", "oldest", "turn"),
    "max_turns": (3, 4, 3),
    "max_entries": (3, None, 3),
    "max_duration": (timedelta(minutes=1), "2m", timedelta(minutes=1)),
    "limit_action": ("ignore", "end_session", "ignore"),
    "max_message_bytes": (100, 200, 100),
    "max_tokens": (10, 20, 10),
    "max_inbox": (5, 6, 5),
    "max_depth": (1, 2, 1),
    "max_children": (None, 2, None),
    "max_active": (1, 2, 1),
    "max_descendants": (1, 2, 1),
    "max_spawned": (1, None, 1),
    "token_budget": (100, 200, 100),
    "budget_enforcement": ("append", "spawn", "append"),
}
"""Options: the value of the existing session, another value, and the first one as it is reported."""
NEEDED: dict[str, dict[str, Any]] = {"limit_action": {"max_turns": 9}, "budget_enforcement": {"token_budget": 9}}
"""Options that are stored only together with another one."""


def test_created_session_has_all_asked_options(cache: SessionCache) -> None:
    """A session that was created has no unapplied options."""
    assert cache.get_or_create("a", max_messages=7).unapplied_options == {}
    assert cache.create("b", max_messages=7).unapplied_options == {}
    assert cache.main_session("researcher", max_messages=7).unapplied_options == {}


@pytest.mark.parametrize("name", OPTIONS)
def test_other_option_of_existing_session_is_unapplied(cache: SessionCache, name: str) -> None:
    """An asked option that the existing session does not have is reported with the value of the session."""
    value, other, reported = OPTIONS[name]
    given = {name: value, **NEEDED.get(name, {})}
    cache.create("a", **given)
    assert cache.get_or_create("a", **given).unapplied_options == {}
    assert cache.get_or_create("a", **{**given, name: other}).unapplied_options == {name: reported}
    assert cache.get_or_create("a").unapplied_options == {}


@pytest.mark.parametrize("name", NEEDED)
def test_action_without_its_limit_is_not_unapplied(cache: SessionCache, name: str) -> None:
    """An option that has no effect without a limit or budget is not reported for the same session."""
    given: dict[str, Any] = {name: OPTIONS[name][0]}
    cache.create("a", **given)
    assert cache.get_or_create("a", **given).unapplied_options == {}


def test_unapplied_cost_budget_is_reported_in_its_currency(cache: SessionCache) -> None:
    """An unapplied cost budget is reported in the unit in which it was given."""
    cache.create("a", cost_budget=1.5)
    assert cache.get_or_create("a", cost_budget=1.5).unapplied_options == {}
    assert cache.get_or_create("a", cost_budget=2).unapplied_options == {"cost_budget": 1.5}


def test_unapplied_options_are_logged_and_patch_applies_them(
    cache: SessionCache, caplog: pytest.LogCaptureFixture
) -> None:
    """Unapplied options are logged as a warning, and `patch` applies the asked options."""
    cache.create("a", max_messages=7)
    asked: dict[str, Any] = {"max_messages": 9, "ttl": "2h", "max_turns": 3}
    with caplog.at_level(logging.WARNING, "redis_sessions"):
        session = cache.get_or_create("a", **asked)
    assert session.unapplied_options == {"max_messages": 7, "ttl": timedelta(hours=1), "max_turns": None}
    assert ["a" in record.message and "max_messages" in record.message for record in caplog.records] == [True]
    session.patch(**asked)
    assert cache.get_or_create("a", **asked).unapplied_options == {}


def test_unapplied_options_leave_session_as_it_is(cache: SessionCache) -> None:
    """An existing session keeps its options, its description and its revision."""
    before = cache.create("a", max_messages=7, name="old").info()
    after = cache.get_or_create("a", max_messages=9, name="new").info()
    assert (after.max_messages, after.name, after.rev) == (7, "old", before.rev)
    assert after.updated_at == before.updated_at


def test_main_session_reports_unapplied_options(cache: SessionCache) -> None:
    """The existing main session of an agent reports the asked options that it does not have."""
    made = cache.main_session("researcher", max_messages=7, user_id="mia")
    found = cache.main_session("researcher", max_messages=9)
    assert (found.id, found.unapplied_options) == (made.id, {"max_messages": 7})
    info = found.info()
    assert (info.kind, info.agent_id, info.user_id) == ("main", "researcher", "mia")


CALLS: dict[str, tuple[Callable[..., Any], tuple[type, ...]]] = {
    "create": (lambda cache, **options: cache.create("b", **options), (Description, SessionOptions, TreeOptions)),
    "get_or_create": (lambda cache, **options: cache.get_or_create("b", **options), (Description, SessionOptions)),
    "main_session": (lambda cache, **options: cache.main_session("b", **options), (Description, SessionOptions)),
    "conversation": (lambda cache, **options: cache.conversation("b", **options), (Description, SessionOptions)),
    "patch": (lambda cache, **options: cache.session("a").patch(**options), (SessionPatch,)),
    "spawn": (lambda cache, **options: cache.session("a").spawn("b", **options), (SessionOptions,)),
    "list": (lambda cache, **options: cache.list(**options), ()),
}


@pytest.mark.parametrize("name", CALLS)
def test_unknown_option_is_refused_with_the_valid_ones(cache: SessionCache, name: str) -> None:
    """An unknown option raises InvalidInput with its name and the valid options, and nothing is written."""
    call, valid = CALLS[name]
    before = cache.create("a").info()
    with pytest.raises(InvalidInput, match="valid options are") as refused:
        call(cache, max_mesages=5)
    assert refused.value.name == "max_mesages"
    listed = str(refused.value).partition("valid options are ")[2].split(", ")
    assert listed == sorted(listed)
    assert {option for one in valid for option in one.__annotations__} <= set(listed)
    assert cache.get("b") is None
    assert cache.session("a").info().rev == before.rev
    assert cache.count() == 1


def test_unknown_option_of_cache_is_refused_with_the_valid_ones() -> None:
    """An unknown option of a cache raises InvalidInput that lists the options of caches and sessions."""
    with pytest.raises(InvalidInput, match="valid options are") as refused:
        SessionCache.from_url("fake://", tim_out=5)  # type: ignore[call-arg]
    assert refused.value.name == "tim_out"
    for option in ("timeout", "namespace", "max_messages", "max_descendants"):
        assert option in str(refused.value)


def test_fork_keeps_the_largest_numbers(cache: SessionCache) -> None:
    """The largest numbers that options allow are copied to a fork as they are."""
    names = ("max_messages", "max_turns", "max_entries", "max_tokens")
    given: dict[str, Any] = dict.fromkeys(names, 2**53)
    session = cache.create("large", **given)
    session.append({"role": "user", "content": "x"})
    info, copied = session.info(), session.fork().info()
    assert [getattr(copied, name) for name in names] == [getattr(info, name) for name in names] == [2**53] * len(names)
