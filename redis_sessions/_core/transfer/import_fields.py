"""Check the fields of one session of an import: each has its form, they agree with each other, and they can be shown."""

from __future__ import annotations

import dataclasses
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from ..._durations import MAX_DURATION_MS
from ...bounds import StorageBounds
from ...errors import CodecMissing, InvalidInput
from ..commands.session_fields import KINDS, checked_choice, checked_tags
from ..commands.sessions import read_info
from ..commands.storage_bounds import check_fields, check_number, check_tags, value_bytes
from ..protocol.chain import MAX_OVERHEAD_BYTES, is_encoded
from ..protocol.encoding import is_reason
from ..protocol.ids import check_id
from ..protocol.json_values import from_json
from ..protocol.keys import SessionKeys
from ..protocol.records import Counters, LoopRecord, RunRecord, Settings, StatusChange, join_words, lines_of
from ..protocol.work import Work, queue_prefix
from .export_format import WAITER_FIELDS
from .import_blobs import Places
from .import_bounds import Bounds
from .import_messages import check_inbox
from .import_schema import REQUIRED, Damaged, check_field, damaged
from .import_tree import Place
from .import_values import check_member_result

WAITING_TTL_MS = 30 * 24 * 3600 * 1000
"""The idle ttl of a session that waits for a worker, as in count_waiting.lua."""
_ENCODED_ERROR = re.compile(rb'"\\u0001[a-z]{1,8} \d{1,16} [A-Za-z0-9+/=\\]*"\n')
"""The encoded error of an attempt, as JSON. A script writes '\\/' for '/'."""
_TIMED_LINE = re.compile(r"(\d+) (\d+) ", re.ASCII)


@dataclasses.dataclass(slots=True)
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
    ledger_fields: int = 0
    part_fields: int = 0
    part_names: int = 0
    blobs: Places = dataclasses.field(default_factory=dict)
    """The places of its files of a blob store in the spool."""


def stored_value(owner: str, name: str, value: Any, bounds: Bounds) -> bytes:
    """Return the value of a field of a session, or of its ledger, as it is stored. Raises Damaged."""
    try:
        data = stored(value)
        name.encode()
    except ValueError:
        raise Damaged(f"a field of {owner} is not text: {name[:80]!r}") from None
    if (size := max(len(data), len(name))) > bounds.max_value_bytes:
        raise Damaged(f"field {name[:80]!r} of {owner} {too_large(size, bounds.max_value_bytes)}")
    return data


def read_fields(id: str, given: Any, bounds: Bounds) -> dict[bytes, bytes]:
    """Return the fields of a session that were checked. Raises Damaged."""
    if not isinstance(given, dict) or not 0 < len(given) <= bounds.max_fields:
        raise Damaged(f"session {id!r} has no fields, or more than {bounds.max_fields}")
    for name in [name for name in REQUIRED if name not in given]:
        raise Damaged(f"field {name!r} of session {id!r} is missing or damaged")
    fields: dict[bytes, bytes] = {}
    for name, value in given.items():
        data = stored_value(f"session {id!r}", name, value, bounds)
        fields[name.encode()] = data
        if name.encode() in WAITER_FIELDS:
            raise Damaged(f"session {id!r} names processes that wait, in field {name!r}")
        check_field(id, name, data)
    _check_bounds(id, fields, bounds.storage)
    _check_readable(id, fields)
    _check_times(id, fields, bounds.now_ms)
    check_inbox(id, fields)
    _check_work(id, fields)
    _check_results(id, fields)
    _check_loops(id, fields, bounds)
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


def _check_bounds(id: str, fields: dict[bytes, bytes], storage: StorageBounds) -> None:
    """Refuse what the importing cache would not store, and count the bytes of what callers named.

    A bound is of the plain value, and codecs add to it. So an encoded value may be larger by what they may add.
    """
    named = {name.decode(): value for name, value in fields.items()}
    try:
        check_fields(storage, {name: _least_plain(name, value) for name, value in named.items()})
        check_tags(storage, checked_tags(from_json(fields.get(b"tags", b"[]"))))
    except InvalidInput as problem:
        raise Damaged(f"session {id!r} cannot be stored: {problem}") from None
    fields[b"value_bytes"] = value_bytes(named).encode()


def _least_plain(name: str, value: bytes) -> bytes:
    """Return as many bytes as the plain value of a field has at least. A reason is stored in base64 where it is encoded."""
    if not is_encoded(value):
        return value
    size = len(value) * 3 // 4 if is_reason(name) else len(value)
    return value[: max(0, size - MAX_OVERHEAD_BYTES)]


def _check_count(id: str, storage: StorageBounds, bound: str, found: int) -> None:
    try:
        check_number(storage, bound, found, bound)
    except InvalidInput as problem:
        raise Damaged(f"session {id!r} cannot be stored: {problem}") from None


def _check_readable(id: str, fields: Mapping[bytes, bytes]) -> None:
    """Refuse what could be stored, and would then be shown as damaged or listed under a value that no query can name."""
    shown = {name: b"null" if is_encoded(value) else value for name, value in fields.items()}
    if log := shown.get(b"attempt_log"):
        shown[b"attempt_log"] = _ENCODED_ERROR.sub(b'""\n', log)
    pairs = [part for pair in {**shown, b"left": b"-1", b"now": b"0", b"count": b"0"}.items() for part in pair]
    try:
        info = read_info(SessionKeys("import", id), pairs)
        checked_choice(info.kind, "kind", KINDS)
        checked_tags(info.tags)
        for tag in info.tags:
            tag.encode()
    except (ValueError, LookupError, TypeError, OverflowError, OSError, CodecMissing) as problem:
        raise Damaged(f"session {id!r} cannot be stored: {problem}") from None


def _check_times(id: str, fields: Mapping[bytes, bytes], now_ms: int) -> None:
    """Refuse what happened later than now, and a future beyond the longest duration."""
    log = [StatusChange.parse(line) for line in lines_of(fields.get(b"status_log"))]
    past = {
        "created": [int(fields[b"created"]) // 1000],
        "counters": [Counters.parse(fields[b"counters"]).updated_us // 1000],
        "finished": [int(fields.get(b"finished", b"0"))],
        "status_log": [change.at_ms for change in log],
        "attempt_log": [
            int(ms)
            for line in lines_of(fields.get(b"attempt_log"))
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


def _check_loops(id: str, fields: Mapping[bytes, bytes], bounds: Bounds) -> None:
    """Check that the session has the record of each loop that it lists, and no other. `import_ledger` checks the rest."""
    names = fields.get(b"loops", b"").decode().split()
    found = {field.decode().partition(".")[2] for field in fields if field.startswith(b"loop.")}
    if len(names) != len(found) or set(names) != found:
        raise damaged(id, "loops", "each loop that has a record, once", fields.get(b"loops", b""))
    _check_count(id, bounds.storage, "loops", len(names))
    for name in names:
        text = fields[f"loop.{name}".encode()]
        record = LoopRecord.parse(text.decode())
        times = [int(ms) for ms in (record.created, record.started, record.finished) if ms != "-"]
        check_past(id, f"loop.{name}", times, bounds.now_ms, text)
        _check_count(id, bounds.storage, "loop_records", max(record.events, record.turns, record.steps))
    if bool(names) != (b"has_ledger" in fields):
        raise damaged(id, "has_ledger", "1 exactly if the session has loops", fields.get(b"has_ledger", b""))
    for field, value in fields.items():
        if field.startswith(b"member_result."):
            try:
                check_member_result(value)
            except (ValueError, TypeError, OverflowError) as problem:
                raise Damaged(f"a result of session {id!r} is damaged: {problem}") from None
