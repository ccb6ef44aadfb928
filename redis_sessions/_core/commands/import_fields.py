"""Check the fields of one session of an import: each has its form, they agree with each other, and they can be shown."""

from __future__ import annotations

import re
import time
from base64 import b64decode
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..._durations import MAX_DURATION_MS
from ...errors import InvalidInput
from ...models.loops import LoopTurn
from ...settings import SessionSettings
from ..protocol.chain import is_encoded
from ..protocol.ids import check_id
from ..protocol.keys import SessionKeys
from ..protocol.records import Counters, LoopRecord, RunRecord, Settings, StatusChange, join_words
from ..protocol.work import Work, queue_prefix
from . import loops
from .export_format import WAITER_FIELDS
from .guarded_write import MAX_FIELDS
from .import_messages import check_inbox
from .import_schema import REQUIRED, Damaged, check_field, damaged
from .import_tree import Place
from .import_values import check_member_result
from .session_fields import KINDS, checked_choice, checked_tags
from .sessions import read_info

WAITING_TTL_MS = 30 * 24 * 3600 * 1000
"""The idle ttl of a session that waits for a worker, as in count_waiting.lua."""
CLOCK_TOLERANCE_MS = 5 * 60 * 1000
"""The time by which the clocks of the exporting and of the importing machine may differ."""
_MAX_FIELDS = 5 * MAX_FIELDS
"""Callers add up to MAX_FIELDS. Scripts add kept messages, and some fields for each member of a tree of 5,000."""
_TIMED_LINE = re.compile(r"(\d+) (\d+) ", re.ASCII)


@dataclass
class Bounds:
    """The bounds of the values of one import."""

    now_ms: int
    """The latest time that a record of what happened may have."""
    max_value_bytes: int = 8 * 1024 * 1024
    """The most bytes of one field or message, which one command of the server stores."""
    max_sessions: int = 1001
    """The most sessions, which one script moves into place."""

    @classmethod
    def of(cls, settings: SessionSettings) -> Bounds:
        """Return the bounds of an import now. A cache whose settings allow more lets its imports have more."""
        return cls(
            round(time.time() * 1000) + CLOCK_TOLERANCE_MS,
            max(cls.max_value_bytes, settings.max_message_bytes),
            max(cls.max_sessions, settings.max_descendants + 1),
        )


@dataclass(slots=True)
class Entry:
    """One session of an export: where it begins, and what must be known of it before it is read again."""

    id: str
    number: int
    """Its number in its tree, 0 for a root."""
    incarnation: str
    offset: int
    expected_messages: int
    """The number of messages by its counters."""
    work: str
    """Its run or its turns as queues name them."""
    agent: str
    """The agent that answers it, or ''."""
    is_checked: bool
    """True for a session that must be checked: a worker may claim it, or messages wait in its inbox."""
    is_claimable: bool
    waits: bool
    """True for a session that keeps itself and its root from expiring."""
    field_count: int = 0
    messages: int = 0


def read_fields(id: str, given: Any, bounds: Bounds) -> dict[bytes, bytes]:
    """Return the fields of a session that were checked. Raises Damaged."""
    if not isinstance(given, dict) or not 0 < len(given) <= _MAX_FIELDS:
        raise Damaged(f"session {id!r} has no fields, or more than {_MAX_FIELDS}")
    for name in [name for name in REQUIRED if name not in given]:
        raise Damaged(f"field {name!r} of session {id!r} is missing or damaged")
    fields: dict[bytes, bytes] = {}
    for name, value in given.items():
        try:
            data = stored(value)
            fields[name.encode()] = data
        except ValueError:
            raise Damaged(f"a field of session {id!r} is not text: {name[:80]!r}") from None
        if (size := max(len(data), len(name))) > bounds.max_value_bytes:
            raise Damaged(f"field {name[:80]!r} of session {id!r} {too_large(size, bounds.max_value_bytes)}")
        if name.encode() in WAITER_FIELDS:
            raise Damaged(f"session {id!r} names processes that wait, in field {name!r}")
        check_field(id, name, data)
    _check_readable(id, fields)
    _check_times(id, fields, bounds.now_ms)
    check_inbox(id, fields)
    _check_work(id, fields)
    _check_results(id, fields)
    _check_loops(id, fields, bounds.now_ms)
    return fields


def read_entry(id: str, place: Place, fields: Mapping[bytes, bytes], offset: int) -> Entry:
    """Return what must be known of a checked session."""
    counters = Counters.parse(fields[b"counters"])
    run, agent, priority, fairness_key = (
        fields.get(name, b"").decode() for name in (b"run", b"answered_by", b"priority", b"fairness_key")
    )
    is_open, is_active = fields[b"status"] in (b"active", b"paused"), fields[b"status"] == b"active"
    is_claimable = bool(run) and _is_claimable(RunRecord.parse(run.encode()), agent)
    prefix = queue_prefix(id, place.ancestors, priority or None, fairness_key or None)
    return Entry(
        id=id,
        number=place.number,
        incarnation=fields[b"incarnation"].decode(),
        offset=offset,
        expected_messages=counters.last_seq - counters.dropped,
        work=str(Work(id, place.ancestors, prefix)),
        agent=agent,
        is_checked=is_open and (bool(place.ancestors or agent) or b"inbox" in fields),
        is_claimable=is_active and is_claimable,
        waits=is_open and (is_claimable or not is_active),
        field_count=len(fields),
    )


def with_waits(fields: Mapping[bytes, bytes], numbers: Sequence[int]) -> dict[bytes, bytes]:
    """Return fields that say which sessions wait, by their numbers, and the ttl that follows. See count_waiting.lua.

    The waits that the export has are left out, because it was read session by session, and may be of a larger tree.
    """
    kept = {
        name: value
        for name, value in fields.items()
        if name not in (b"waiting", b"idle_ttl") and not name.startswith(b"waits.")
    }
    settings = Settings.parse(fields[b"settings"])
    ttl_ms = int(fields.get(b"idle_ttl", settings.ttl_ms))
    if numbers:
        kept |= {b"waits.%d" % number: b"1" for number in numbers}
        kept[b"waiting"] = b"%d" % len(numbers)
        if ttl_ms > 0:
            kept[b"idle_ttl"] = b"%d" % ttl_ms
            ttl_ms = max(ttl_ms, WAITING_TTL_MS)
    kept[b"settings"] = join_words(*settings._replace(ttl_ms=ttl_ms)).encode()
    return kept


def stored(value: Any) -> bytes:
    """Return the bytes of a text, or of the base64 of what is not UTF-8. Raises ValueError."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and isinstance(value.get("base64"), str) and len(value) == 1:
        data = b64decode(value["base64"], validate=True)
        try:
            data.decode()
        except UnicodeDecodeError:
            return data
    raise ValueError("must be text")


def checked_id(id: Any) -> str:
    """Return an ID. Raises Damaged."""
    try:
        return check_id(id)
    except InvalidInput as problem:
        raise Damaged(f"an ID {problem.facts['detail']}") from None


def too_large(size: int, maximum: int) -> str:
    """Return what a value of too many bytes is, and what to do."""
    return f"has {size} bytes, expected at most {maximum}: give the importing cache a larger max_message_bytes"


def _is_claimable(run: RunRecord, agent: str) -> bool:
    """Return whether a worker may claim a run, or the open turn of a session that an agent answers."""
    if run.max_attempts is None:
        return False
    return run.turn is None or (agent != "" and run.turn > 0 and run.attempts < run.max_attempts)


def _check_readable(id: str, fields: Mapping[bytes, bytes]) -> None:
    """Refuse what could be stored, and would then be shown as damaged or listed under a value that no query can name."""
    shown = {name: b"null" if is_encoded(value) else value for name, value in fields.items()}
    pairs = [part for pair in {**shown, b"left": b"-1", b"now": b"0", b"count": b"0"}.items() for part in pair]
    try:
        info = read_info(SessionKeys("import", id), pairs)
        checked_choice(info.kind, "kind", KINDS)
        checked_tags(info.tags)
        for tag in info.tags:
            tag.encode()
    except (ValueError, LookupError, TypeError, OverflowError, OSError) as problem:
        raise Damaged(f"session {id!r} cannot be stored: {problem}") from None


def _check_times(id: str, fields: Mapping[bytes, bytes], now_ms: int) -> None:
    """Refuse what happened later than now, and a future beyond the longest duration."""
    log = [StatusChange.parse(line) for line in fields.get(b"status_log", b"").decode().splitlines()]
    past = {
        "created": [int(fields[b"created"]) // 1000],
        "counters": [Counters.parse(fields[b"counters"]).updated_us // 1000],
        "finished": [int(fields.get(b"finished", b"0"))],
        "status_log": [change.at_ms for change in log],
        "attempt_log": [
            int(ms)
            for line in fields.get(b"attempt_log", b"").decode().splitlines()
            if (found := _TIMED_LINE.match(line))
            for ms in found.groups()
        ],
    }
    for name, times in past.items():
        check_past(id, name, times, now_ms, fields.get(name.encode(), b""))
    future = {"settings": Settings.parse(fields[b"settings"]).deadline_ms or 0}
    if b"run" in fields:
        run = RunRecord.parse(fields[b"run"])
        future["run"] = max(run.deadline_ms or 0, run.limit_ms or 0, run.timeout_ms, run.available_ms)
    if b"parked" in fields:
        future["parked"] = int(fields[b"parked"].split()[0])
    for name, latest in future.items():
        if latest > now_ms + MAX_DURATION_MS:
            raise damaged(id, name, "no time in more than 100 years", fields[name.encode()])


def check_past(id: str, name: str, times: Sequence[int], now_ms: int, found: bytes) -> None:
    """Refuse a field with a time that is later than now. Raises Damaged."""
    if max(times, default=0) > now_ms:
        raise damaged(id, name, f"no time later than now, {now_ms} ms", found)


def _check_work(id: str, fields: Mapping[bytes, bytes]) -> None:
    """Check that a session has the record of its work, and that what its run says is within its bounds."""
    run = RunRecord.parse(fields[b"run"]) if b"run" in fields else None
    if run is None and (b"lineage" in fields or b"answered_by" in fields):
        raise Damaged(f"field 'run' of session {id!r} is missing or damaged")
    last_seq = Counters.parse(fields[b"counters"]).last_seq
    if run is not None and not (
        (run.max_attempts is None or 1 <= run.max_attempts <= 1000)
        and (run.turn or 0) <= last_seq
        and (run.turn is None or run.max_attempts is not None)
        and (run.fence, run.deadline_ms) == (0, run.limit_ms)
    ):
        raise damaged(
            id, "run", f"no claim, 1 to 1000 attempts, and a turn from a seq up to {last_seq}", fields[b"run"]
        )
    if b"parked" in fields:
        _, needed, *children = fields[b"parked"].split()
        if int(needed) > len(children):
            raise damaged(id, "parked", "at most as many children to wait for as it names", fields[b"parked"])


def _check_results(id: str, fields: Mapping[bytes, bytes]) -> None:
    """Check that the results of operations are numbered within the operations, and stand in the field of their ID."""
    operations = Counters.parse(fields[b"counters"]).operations
    for name, value in fields.items():
        if not name.startswith(b"results."):
            continue
        for line in value.split(b"\n")[1:]:
            operation, number, *_ = line.split(b" ", 2)
            third, second, last = (b"   " + operation)[-3:]
            at = (third * 121 + second * 79 + last) % 16
            if int(number) > operations or name != b"results.%d" % at:
                raise damaged(id, name.decode(), f"results of operations up to {operations}, by their IDs", line)


def _check_loops(id: str, fields: Mapping[bytes, bytes], now_ms: int) -> None:
    """Check that the ledger has the loops that it lists, each with the events and turns that it counts, and can be read."""
    names = fields.get(b"loops", b"").decode().split()
    found: dict[str, dict[str, set[int]]] = {name: defaultdict(set) for name in names}
    for field in fields:
        kind, dot, rest = field.decode().partition(".")
        if not dot or kind not in _LOOP_FIELDS:
            continue
        loop, _, number = rest.partition(" ")
        if loop not in found:
            raise damaged(id, field.decode(), "a loop that the field 'loops' names", loop)
        found[loop][kind].add(int(number) if kind in ("event", "turn") else 0)
        if kind in ("event", "turn"):
            value = fields[field]
            check_past(id, field.decode(), [int(value.partition(b" ")[0])], now_ms, value[:20])
    if len(found) != len(names):
        raise damaged(id, "loops", "each loop once", fields[b"loops"])
    for loop, kinds in found.items():
        _check_loop(id, loop, kinds, fields, now_ms)
    _check_ledger(id, names, fields)


_LOOP_FIELDS = ("loop", "config", "extra", "group", "reason", "event", "turn", "step")


def _check_loop(id: str, loop: str, kinds: Mapping[str, set[int]], fields: Mapping[bytes, bytes], now_ms: int) -> None:
    name = f"loop.{loop}"
    if not {"loop", "config", "extra"} <= kinds.keys():
        raise damaged(id, "loops", f"the fields 'loop.{loop}', 'config.{loop}' and 'extra.{loop}'", fields[b"loops"])
    text = fields[name.encode()]
    record = LoopRecord.parse(text.decode())
    check_past(
        id, name, [int(ms) for ms in (record.created, record.started, record.finished) if ms != "-"], now_ms, text
    )
    for kind, count in (("event", record.events), ("turn", record.turns)):
        numbers = kinds.get(kind, set())
        if len(numbers) != count or (count and (min(numbers), max(numbers)) != (1, count)):
            raise damaged(id, name, f"the {len(numbers)} {kind}s that the session has, numbered from 1", text)


def _check_ledger(id: str, names: Sequence[str], fields: Mapping[bytes, bytes]) -> None:
    """Read the loops and turns as the calls do that show them."""
    reply = [b"", fields.get(b"usage", b"0 0 0 0 0 0 0")]
    for loop in names:
        parts = ("loop", "config", "extra", "reason", "group")
        reply += [loop.encode(), *[fields.get(f"{part}.{loop}".encode(), b"") for part in parts]]
    try:
        if names:
            loops.ledger(SessionKeys("import", id), "").read(reply)
        for field, value in fields.items():
            if field.startswith(b"turn."):
                LoopTurn.model_validate_json(value.partition(b" ")[2])
            elif field.startswith(b"member_result."):
                check_member_result(value)
    except (ValueError, TypeError, OverflowError) as problem:
        raise Damaged(f"the ledger or a result of session {id!r} is damaged: {problem}") from None
