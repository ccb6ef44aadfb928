"""Imports of ledgers: what is missing, twice, too large or of another loop is refused by its line, and nothing is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache
from tests.support.exports import with_checksum

CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"config.l": None}, "the field 'config.l' in the ledger"),
    ({"config.l": "[]"}, "'config.l' .*a JSON object"),
    ({"config.l": '{"config":{"model":5}}'}, "'config.l' .*damaged"),
    ({"group.l": '{"selected":5}'}, "'group.l' .*damaged"),
    ({"config.m": "{}"}, "a loop that the field 'loops' names"),
    ({"event.l 1": None}, "20 lines of 'event.l', found '16 lines'"),
    ({"event.l 0": "1 1\n"}, "'event.l 0' .*the next page of 20 lines"),
    ({"event.l 1": "1 1\n" * 5}, "'event.l 1' .*the next page of 20 lines"),
    ({"event.l 2": "1 1\n"}, "'event.l 2' .*the next page of 20 lines"),
    ({"event.l 1": "1 1\n1 {\n1 1\n1 1\n"}, "'event.l 1' .*'<ms> <JSON>' lines"),
    ({"event.l 1": "1 1\n" * 3 + "9999999999999 1\n"}, "'event.l 1' .*no time later than now"),
    ({"event.l 1": "1 1\n" * 3 + '1 "' + "x" * 100_000 + '"\n'}, r"'event.l 1' .*loop_event_bytes"),
    ({"event.l x": "1 1\n"}, "'event.l x' .*the name behind 'event.'"),
    ({"turn.l 0": "1 {}\n"}, "'turn.l 0' .*damaged"),
    ({"step.l s0": None}, "'step.l s0' .*the usage of each step"),
    ({"step.l other": "0 0 0 0 0 0 0"}, "'step.l other' .*a step that the page before names"),
    ({"step.l s0": "-1 0 0 0 0 0 0"}, "'step.l s0' .*expected '<input>"),
    ({"steps.l 0": "s0\n"}, "'steps.l 0' .*the next page of 2 lines"),
    ({"steps.l 0": "s0\na b\n"}, "'steps.l 0' .*white"),
    ({"state.a": "1"}, "'state.a' .*not known"),
    ({"extra.l": 5}, "'extra.l'"),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_ledger_that_does_not_fit_is_refused(change: dict[str, Any], expected: str) -> None:
    """A field of a ledger that is missing, superfluous or damaged names its line, and nothing is written."""
    with SessionCache.from_url("fake://") as source, SessionCache.from_url("fake://") as target:
        session = source.create("a")
        loop = session.start_loop("l")
        for n in range(20):
            loop.add_event(n)
        loop.add_turn("user")
        for n in range(2):
            loop.record_usage(f"s{n}", {"total": 1})
        lines = list(session.export())
        at = next(at for at, line in enumerate(lines) if '"ledger":' in line)
        fields: dict[str, Any] = {}
        for line in [line for line in lines if '"ledger":' in line]:
            fields |= json.loads(line)["ledger"]
        assert target.import_sessions([*lines]).imported == 1
        target.delete("a")
        changed = {name: value for name, value in (fields | change).items() if value is not None}
        others = [line for line in lines if '"ledger":' not in line]
        line = json.dumps({"session": "a", "ledger": changed}, ensure_ascii=False)
        with pytest.raises(InvalidInput, match=rf"line \d+ .*{expected}"):
            target.import_sessions(with_checksum([*others[:at], line, *others[at:]]))
        assert target.get("a") is None


def test_ledger_line_in_another_place_is_refused() -> None:
    """The ledger of another session, an empty one, and messages behind a ledger are refused."""
    with SessionCache.from_url("fake://") as source, SessionCache.from_url("fake://") as target:
        session = source.create("a")
        session.append({"role": "user", "content": "x"})
        session.start_loop("l")
        header, first, messages, ledger, end = session.export()
        for lines, expected in (
            (
                [header, first, messages, ledger.replace('"session":"a"', '"session":"b"'), end],
                "the ledger of another session",
            ),
            ([header, ledger, end], "the ledger of another session"),
            ([header, first, messages, '{"session":"a","ledger":{}}', end], "has no ledger"),
            ([header, first, ledger, messages, end], "messages behind the ledger"),
            ([header, first, messages, ledger, ledger, end], "each field once"),
            ([header, first, messages, end], "the field 'config.l' in the ledger"),
        ):
            with pytest.raises(InvalidInput, match=rf"line \d+ .*{expected}"):
                target.import_sessions(with_checksum(lines))
        assert target.get("a") is None


@pytest.mark.parametrize(
    ("bounds", "changed"),
    [
        ({"loops": 2}, "loops"),
        ({"loop_records": 1}, "loop_records"),
        ({"reason_bytes": 64}, "'reason.l0'"),
    ],
)
def test_bounds_of_the_importing_cache_hold_for_loops(bounds: dict[str, int], changed: str) -> None:
    """An import refuses more loops, records and bytes of a reason than the importing cache would store."""
    with SessionCache.from_url("fake://") as source, SessionCache.from_url("fake://", bounds=bounds) as target:
        session = source.create("a")
        loops = [session.start_loop(f"l{n}") for n in range(3)]
        for n in range(2):
            loops[0].add_event(n)
        loops[0].abort("r" * 65)
        with pytest.raises(InvalidInput, match=rf"{changed}.*got|got.*{changed}"):
            target.import_sessions(session.export())
        assert target.get("a") is None


def test_reason_beyond_the_bound_of_the_importing_cache_is_refused() -> None:
    """The reason of an end has the bound `reason_bytes` in an import, too."""
    with (
        SessionCache.from_url("fake://") as source,
        SessionCache.from_url("fake://", bounds={"reason_bytes": 64}) as target,
    ):
        session = source.create("a")
        session.fail(reason="r" * 65)
        with pytest.raises(InvalidInput, match="reason_bytes"):
            target.import_sessions(session.export())
