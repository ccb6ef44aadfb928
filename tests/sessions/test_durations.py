"""Durations: numbers of seconds, timedeltas and text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions import InvalidInput, SessionCache
from redis_sessions._durations import MAX_DURATION_MS, milliseconds, whole


@pytest.mark.parametrize(
    ("duration", "ms"),
    [
        ("90s", 90_000),
        ("1.5s", 1_500),
        (".5s", 500),
        ("250ms", 250),
        ("30m", 1_800_000),
        ("12h", 43_200_000),
        ("7d", 604_800_000),
        ("2w", 1_209_600_000),
        ("90", 90_000),
        ("1.5", 1_500),
        ("30 m", 1_800_000),
        (90, 90_000),
        (0.25, 250),
        (timedelta(minutes=1, milliseconds=5), 60_005),
    ],
)
def test_duration_is_converted_to_milliseconds(duration: Any, ms: int) -> None:
    """A duration in seconds, as a timedelta or as text with a unit is converted to whole milliseconds."""
    assert milliseconds(duration, "ttl") == ms


@pytest.mark.parametrize(
    "duration",
    [
        *("", "s", "ten seconds", "1 hour", "1h30m", "-5s", "+5s", "5S", "5 min", "1e3", "1e3s", "1,5s", "nan", "inf"),
        *(" 5s", "5s ", "5s\n", "5\u00a0s", "٣s", "1..5s", "1_000s", "0x5"),
        *(None, True, [5], {"s": 5}, b"5s", float("nan"), float("inf"), -float("inf")),
    ],
)
def test_invalid_duration_is_refused_by_name_and_value(duration: Any) -> None:
    """A value that is not a duration raises InvalidInput with its name, the expected forms and the value."""
    with pytest.raises(InvalidInput, match="ttl: must be seconds, a timedelta, or text such as") as refused:
        milliseconds(duration, "ttl")
    assert refused.value.name == "ttl"
    assert str(refused.value).endswith(f"got {duration!r}")


@pytest.mark.parametrize("duration", [0, "0s", "0.4ms", -1, timedelta(seconds=-1), "36501d", 1e12, "9" * 400 + "d"])
def test_duration_out_of_bounds_is_refused(duration: Any) -> None:
    """A duration below 1 ms or above 100 years raises InvalidInput."""
    with pytest.raises(InvalidInput, match="ttl: must be"):
        milliseconds(duration, "ttl")


@given(st.integers(1, MAX_DURATION_MS // 1000), st.sampled_from(["s", "m", "h", "d", "w"]))
def test_text_duration_equals_timedelta(number: int, unit: str) -> None:
    """A text duration equals the timedelta of its number and unit, or both exceed the maximum."""
    names = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    try:
        expected = milliseconds(timedelta(**{names[unit]: number}), "ttl")
    except (InvalidInput, OverflowError):
        with pytest.raises(InvalidInput):
            milliseconds(f"{number}{unit}", "ttl")
    else:
        assert milliseconds(f"{number}{unit}", "ttl") == expected


@pytest.mark.parametrize("number", [-1, 2**53 + 1, 1.0, True, "1", None])
def test_invalid_whole_number_is_refused(number: Any) -> None:
    """A value that is not a whole number within its bounds raises InvalidInput."""
    with pytest.raises(InvalidInput, match="limit: must be a whole number from 0 to"):
        whole(number, "limit")


def test_session_options_accept_text_durations(cache: SessionCache) -> None:
    """The options of a session, `touch` and `patch` accept durations as text."""
    session = cache.create(ttl="30m", max_lifetime="7d", max_duration="90s")
    info = session.info()
    assert (info.ttl, info.max_duration) == (timedelta(minutes=30), timedelta(seconds=90))
    left = session.touch("2h")
    assert left is not None
    assert timedelta(minutes=119) < left < timedelta(hours=2, seconds=1)
    session.patch(ttl="12h")
    assert session.info().ttl == timedelta(hours=12)


def test_lease_and_conversation_accept_text_durations(cache: SessionCache) -> None:
    """The ttl and the wait of a lease, and the inactivity of a conversation, can be text."""
    session = cache.create("a")
    with session.lease(ttl="5s", wait="250ms") as lease:
        info = lease.info()
        assert info is not None
        assert timedelta(seconds=4) < info.expires_in < timedelta(seconds=6)
    first = cache.conversation("chat", inactivity="1h")
    assert cache.conversation("chat", inactivity="1h").id == first.id


@pytest.mark.parametrize("name", ["ttl", "max_lifetime", "max_duration"])
def test_invalid_text_duration_of_option_is_refused_by_name(cache: SessionCache, name: str) -> None:
    """An option with invalid text raises InvalidInput with the name of the option, and nothing is created."""
    options: dict[str, Any] = {name: "soon"}
    with pytest.raises(InvalidInput) as refused:
        cache.create("a", **options)
    assert refused.value.name == name
    assert "'soon'" in str(refused.value)
    assert cache.get("a") is None


@pytest.mark.parametrize("name", ["timeout", "retry_for"])
def test_cache_options_accept_text_durations(name: str) -> None:
    """The durations of a cache can be text, and invalid text raises InvalidInput."""
    options: dict[str, Any] = {name: "1.5s"}
    with SessionCache.from_url("fake://", **options) as cache:
        cache.create()
    with pytest.raises(InvalidInput, match=name):
        SessionCache.from_url("fake://", **{name: "fast"})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["no", "false", 1, None])
def test_flag_of_a_destructive_call_is_checked(value: Any) -> None:
    """A call that removes something refuses a flag that is neither True nor False, before anything is sent."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache:
        calls: dict[str, Callable[[], Any]] = {
            "dry_run": lambda: cache.prune(1, dry_run=value),
            "find_unlisted": lambda: cache.forget("mia", find_unlisted=value),
            "documents": lambda: cache.forget("mia", documents=value),
            "force": lambda: cache.session("a").lease().release(force=value),
        }
        for name, call in calls.items():
            with pytest.raises(InvalidInput, match=f"{name}: must be True or False"):
                call()
