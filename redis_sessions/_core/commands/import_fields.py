"""Check the fields of one session of an import: they have the form that scripts write, and can be stored and shown."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import InvalidInput, InvalidState
from ..protocol.hash_tag import hash_tag
from ..protocol.ids import check_id
from ..protocol.records import Counters, Layout, Lineage, MemberRecord, RunRecord, Settings, join_words
from .export_format import WAITER_FIELDS
from .run_queues import Work, queue_prefix
from .session_fields import KINDS, checked_choice, checked_tags
from .sessions import read_info

WAITING_TTL_MS = 30 * 24 * 3600 * 1000
"""The idle ttl of a session that waits for a worker, as in count_waiting.lua."""
_MAX_PRIORITY = 100
_PLAIN = rb"[@ADEHILM]\d{1,10} [^ ]+ "
_WITH_FACTS = rb"[BCFGJKNO]\d{1,10} [^ ]+ (([-+?!]\w{8})+~?|~) "
MESSAGE = re.compile(rb"[!-}]{7}[0-3][suatckevrx](%b|%b)" % (_PLAIN, _WITH_FACTS))
_NUMBER = rb"\d{1,16}"
_OPTIONAL_NUMBER = rb"(\d{1,16}|-)"
_REQUIRED = {
    b"incarnation": rb"[0-9a-f]{12}",
    b"status": rb"active|paused|completed|failed|cancelled|timed_out",
    b"counters": rb"\d{1,16}( \d{1,16}){6} [01] \d{1,16} [0-9a-f]{1,14}( -?\d{1,16}){2} \d{1,16}",
    b"settings": rb"%b (oldest|tool_safe|turn) %b %b %b" % (_NUMBER, _NUMBER, _NUMBER, _OPTIONAL_NUMBER),
    b"created": _NUMBER,
    b"max_tokens": _NUMBER,
    b"max_inbox": _NUMBER,
}
_OPTIONAL = {
    b"recent": rb"[\x00-\xff]{0,64}",
    b"layout": rb"(-|[0-9a-f]{8}:\d+(,[0-9a-f]{8}:\d+)*) \d+ (-|[br]?p?) \d+ \d+ (-|\d+-\d+(,\d+-\d+)*)|",
    b"kept_seqs": rb"(\d+(,\d+)*)?",
    b"format": rb"[A-Za-z0-9_-]{0,32}",
    b"report": rb'[a-z][@-_] \S+ .*"@text@".*"@facts@".*|',
    b"run": b" ".join(
        [_NUMBER, *[_OPTIONAL_NUMBER] * 3, _NUMBER, _NUMBER, _NUMBER, _OPTIONAL_NUMBER, _NUMBER, b"[01]"]
    ),
    b"priority": rb"-?\d{1,3}",
    b"fairness_key": rb"\S+",
    b"answered_by": rb"[^\s:]+",
    b"idle_ttl": _NUMBER,
    b"parked": rb"%b %b( \d{1,16}:[0-9a-f]{12})*" % (_NUMBER, _NUMBER),
    b"resumed": rb"done|timeout",
    b"attempt_log": rb'(%b %b (failed|died) \S+ "[^\n]*"\n)*' % (_NUMBER, _NUMBER),
}
_RELEASED_LEASE = re.compile(rb"\d{1,16} - 0 0 0 - -")
_LINEAGE = re.compile(r"\d{1,16} [0-9a-f]{12} /\S+/ \S+( \S+)+")
_FULL_MATCH = {name: re.compile(pattern) for name, pattern in (_REQUIRED | _OPTIONAL).items()}


class Damaged(Exception):
    """Something that an export does not hold. Its text says what."""


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
    messages: int = 0


def read_fields(id: str, given: Any) -> dict[bytes, bytes]:
    """Return the fields of a session of which each has its form. Raises Damaged."""
    _check(isinstance(given, dict), f"session {id!r} has no fields")
    try:
        fields = {name.encode(): stored(value) for name, value in given.items()}
    except ValueError:
        raise Damaged(f"a field of session {id!r} is not text") from None
    for name, pattern in _FULL_MATCH.items():
        is_valid = pattern.fullmatch(fields.get(name, b"")) if name in fields or name in _REQUIRED else True
        _check(bool(is_valid), f"field {name.decode()!r} of session {id!r} is missing or damaged")
    lease = fields.get(b"lease")
    _check(not WAITER_FIELDS & fields.keys(), f"session {id!r} names processes that wait")
    _check(lease is None or bool(_RELEASED_LEASE.fullmatch(lease)), f"the lease of session {id!r} is held")
    _check_readable(id, fields)
    _check_kept(id, fields)
    return fields


def read_entry(id: str, root: str, fields: Mapping[bytes, bytes], offset: int) -> Entry:
    """Return what must be known of a session. Raises Damaged when it has no place in the tree, or in a queue."""
    counters = Counters.parse(fields[b"counters"])
    lineage, run, agent, priority, fairness_key = (
        fields.get(name, b"").decode("utf-8", "replace")
        for name in (b"lineage", b"run", b"answered_by", b"priority", b"fairness_key")
    )
    found = _check_lineage(id, root, lineage)
    _check(bool(run or not (lineage or agent)), f"field 'run' of session {id!r} is missing or damaged")
    for name in filter(None, (agent, fairness_key)):
        checked_id(name)
    _check(abs(int(priority or 0)) <= _MAX_PRIORITY, f"field 'priority' of session {id!r} is damaged")
    ancestors = found.ancestors if found else []
    is_open, is_active = fields[b"status"] in (b"active", b"paused"), fields[b"status"] == b"active"
    is_claimable = bool(run) and _is_claimable(RunRecord.parse(run.encode()), agent)
    has_work = bool(lineage or agent)
    return Entry(
        id=id,
        number=found.number if found else 0,
        incarnation=fields[b"incarnation"].decode(),
        offset=offset,
        expected_messages=counters.last_seq - counters.dropped,
        work=str(Work(id, tuple(ancestors), queue_prefix(id, ancestors, priority or None, fairness_key or None))),
        agent=agent,
        is_checked=is_open and (has_work or b"inbox" in fields),
        is_claimable=is_active and is_claimable,
        waits=is_open and (is_claimable or not is_active),
    )


def read_members(fields: Mapping[bytes, bytes]) -> Iterator[tuple[int, MemberRecord]]:
    """Yield the records of a root's tree, by number. Raises Damaged."""
    for name, value in fields.items():
        number = name.removeprefix(b"member.")
        if name.startswith(b"member.") and number.isdigit():
            try:
                member = MemberRecord.parse(value.decode())
            except ValueError:
                raise Damaged(f"field {name.decode()!r} is damaged") from None
            checked_id(member.id)
            yield int(number), member


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
    """Return the bytes of a text, or of its base64. Raises ValueError."""
    if isinstance(value, dict) and isinstance(value.get("base64"), str) and len(value) == 1:
        return b64decode(value["base64"], validate=True)
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value.encode()


def checked_id(id: Any) -> str:
    """Return an ID. Raises Damaged."""
    try:
        return check_id(id)
    except InvalidInput as problem:
        raise Damaged(f"an ID {problem.facts['detail']}") from None


def _is_claimable(run: RunRecord, agent: str) -> bool:
    """Return whether a worker may claim a run, or the open turn of a session that an agent answers."""
    if run.max_attempts is None:
        return False
    return run.turn is None or (agent != "" and run.turn > 0 and run.attempts < run.max_attempts)


def _check_kept(id: str, fields: Mapping[bytes, bytes]) -> None:
    """Refuse a layout that names other kept messages than the session has."""
    try:
        count = Layout.parse(fields.get(b"layout")).kept
    except ValueError:
        raise Damaged(f"field 'layout' of session {id!r} is damaged") from None
    seqs = [int(seq) for seq in fields.get(b"kept_seqs", b"").split(b",") if seq]
    kept = {name for name in fields if name.startswith(b"kept.")}
    _check(all(MESSAGE.match(fields[name]) for name in kept), f"a kept message of session {id!r} is damaged")
    _check(
        len(kept) == len(seqs) == count and seqs == sorted(seqs) and kept == {b"kept.%d" % seq for seq in seqs},
        f"the kept messages of session {id!r} are not those of its layout",
    )


def _check_readable(id: str, fields: Mapping[bytes, bytes]) -> None:
    """Refuse what could be stored, and would then be shown as damaged or listed under a value that no query can name."""
    pairs = [part for pair in {**fields, b"left": b"-1", b"now": b"0", b"count": b"0"}.items() for part in pair]
    try:
        info = read_info(id, pairs)
        for name, value in (("user_id", info.user_id), ("agent_id", info.agent_id), ("parent_id", info.parent_id)):
            if value is not None:
                check_id(value, name)
        checked_choice(info.kind, "kind", KINDS)
        checked_tags(info.tags)
    except (InvalidInput, InvalidState, ValueError) as problem:
        raise Damaged(f"session {id!r} cannot be stored: {problem}") from None


def _check_lineage(id: str, root: str, text: str) -> Lineage | None:
    """Return the place of a session in its tree. None for the root of a tree."""
    if not text:
        _check(id == root, f"session {id!r} is not below the root, {root!r}")
        return None
    _check(bool(_LINEAGE.fullmatch(text)), f"field 'lineage' of session {id!r} is damaged")
    lineage = Lineage.parse(text.encode())
    _check(lineage.id == id, f"field 'lineage' of session {id!r} names another session")
    is_below = all(hash_tag(checked_id(one)) == hash_tag(root) for one in lineage.ancestors)
    _check(is_below and (id == root or root in lineage.ancestors), f"session {id!r} is not below the root, {root!r}")
    return lineage


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Damaged(otherwise)
