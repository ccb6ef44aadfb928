"""The two ways in which vendors pair calls with results. Used by the validators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Links(NamedTuple):
    """The calls that a message makes, and the calls whose results it holds."""

    calls: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


def repeated(ids: Iterable[str]) -> list[str]:
    """Return the IDs that occur more than once."""
    return [id for id, count in Counter(ids).items() if count > 1]


def check_results_follow(messages: Sequence[Links]) -> list[str]:
    """Check that every call has one result, in the messages directly behind the message that made the call."""
    found: list[str] = []
    waiting: list[str] = []
    for number, links in enumerate(messages):
        for id in links.results:
            if id in waiting:
                waiting.remove(id)
            else:
                found.append(f"message {number}: the result of {id!r} has no call directly before it")
        if waiting and not links.results:
            found.append(f"message {number}: the calls {waiting} before it have no result")
            waiting = []
        found += [f"message {number}: the call {id!r} is made twice" for id in repeated(links.calls)]
        if links.calls:
            found += [f"message {number}: the call {id!r} before it has no result" for id in waiting]
            waiting = list(links.calls)
    return found + [f"the end: the call {id!r} has no result" for id in waiting]


def check_results_in_next(messages: Sequence[Links]) -> list[str]:
    """Check that the next message holds one result for every call, and that there are no other results."""
    found: list[str] = []
    waiting: tuple[str, ...] = ()
    for number, links in enumerate(messages):
        given, wanted = Counter(links.results), Counter(waiting)
        found += [f"message {number}: no result of {id!r} in it" for id in sorted((wanted - given).elements())]
        found += [f"message {number}: no call {id!r} before its result" for id in sorted((given - wanted).elements())]
        found += [f"message {number}: the call {id!r} is made twice" for id in repeated(links.calls)]
        waiting = links.calls
    return found + [f"the end: the call {id!r} has no result" for id in waiting]


def dicts(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list. [] for any other value."""
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def check_names(calls: Iterable[tuple[str, Any]], results: Iterable[tuple[str, Any]]) -> list[str]:
    """Check that each result names the tool of its call. Both are pairs of a call's ID and a tool's name."""
    names: dict[str, set[str]] = {}
    for id, name in calls:
        names.setdefault(id, set()).add(str(name))
    return [
        f"the result of {id!r} names the tool {name!r}, not {sorted(names[id])}"
        for id, name in results
        if id in names and str(name) not in names[id]
    ]
