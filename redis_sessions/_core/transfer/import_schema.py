"""The form that each field of an imported session must have. Records are checked word by word, by the schema of the storage.

Scripts count and loop by these words, so a number has at most 13 digits, and a text has no other words than scripts write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..._durations import MAX_DURATION_MS
from ...bounds import MAX_WIRE_BYTES
from ...errors import InvalidInput
from ..commands.session_fields import MAX_PRIORITY, check_agent
from ..protocol.chain import is_encoded
from ..protocol.encoding import field_kind
from ..protocol.ids import check_id
from ..protocol.record_schema import SCHEMA
from ..protocol.result_records import MARK as RECORD_MARK
from ..protocol.trace_context import TRACEPARENT
from .import_values import is_json, is_json_object, is_template, is_text

COUNT = rb"(?:0|[1-9][0-9]{0,12})"
"""A number that scripts count with. They write numbers of more than 14 digits in another form."""
AMOUNT = rb"(?:0|[1-9][0-9]{0,14}|[1-4][0-9]{15})"
"""A number that scripts only add and compare: exact in Lua, and half of what is exact is left."""
OPTION = rb"(?:0|[1-9][0-9]{0,14}|[1-8][0-9]{15}|900[0-7][0-9]{12})"
"""A number that a caller may give as an option, and that scripts only compare: 0 to about 2^53."""
INCARNATION = rb"[0-9a-f]{12}"
PLAIN = rb"[@ADEHILM]\d{1,10} [^\s]{1,600} "
WITH_FACTS = rb"[BCFGJKNO]\d{1,10} [^\s]{1,600} (?:(?:[-+?!][0-9a-f]{8}(?:[0-9a-f]{8})?){1,512}~?|~) "
ENTRY = re.compile(rb"[suatckevrx](?:%b|%b)" % (PLAIN, WITH_FACTS))
"""The head of an entry: a message of an inbox, which has no time yet."""
_STATUS = rb"active|paused|completed|failed|cancelled|timed_out"
_TYPES = {"number": COUNT, "digits": COUNT, "signed": rb"-?" + COUNT, "hex": rb"[0-9a-f]{1,13}", "text": rb"[^\s]+"}
_AMOUNTS = {"usage", "spent"}
_OPTIONS = {"limits", "tree_limits", "budget"}
_TEXTS = {
    ("counters", "pending_turn"): rb"[01]",
    ("layout", "open"): rb"-|[0-9a-f]{8}(?:[0-9a-f]{8})?:%b(?:,[0-9a-f]{8}(?:[0-9a-f]{8})?:%b){0,1023}"
    % (COUNT, COUNT),
    ("layout", "marks"): rb"-|[br]p?|p",
    ("layout", "gaps"): rb"-|%b-%b(?:,%b-%b)*" % (COUNT, COUNT, COUNT, COUNT),
    ("settings", "max_messages"): OPTION,
    ("settings", "cap_policy"): rb"oldest|tool_safe|turn",
    ("limits", "action"): rb"error|end_session|ignore",
    ("lineage", "root_incarnation"): INCARNATION,
    ("lineage", "path"): rb"/0/(?:%b/)+" % COUNT,
    ("lineage", "ancestors"): rb"[^\s]+(?: [^\s]+)*",
    ("run", "has_died"): rb"[01]",
    ("member", "status"): _STATUS + rb"|deleted",
    ("member", "on_parent_end"): rb"[cdr]",
    ("member", "incarnation"): INCARNATION,
    ("member", "reference"): rb"-|\{.*\}",
    ("loop", "status"): rb"pending|running|completed|rejected|aborted",
    ("loop", "usage"): b" ".join([AMOUNT] * 7),
    ("budget", "enforcement"): rb"spawn|append",
    ("status_log", "status"): _STATUS + rb"|edited:" + COUNT,
}
"""The words of type text, and others with few values."""


class Damaged(Exception):
    """Something that an export does not hold. Its text says what."""


class Form(NamedTuple):
    """The form of a field."""

    expected: str
    is_valid: Callable[[bytes], Any]


def damaged(id: str, field: str, expected: str, found: object) -> Damaged:
    """Return the refusal of a field of a session. `found` is shown in part."""
    shown = found.decode("utf-8", "backslashreplace") if isinstance(found, bytes) else str(found)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
    return Damaged(f"field {field!r} of session {id!r} is damaged: expected {expected}, found {shown!r}")


def check_field(id: str, name: str, value: bytes) -> None:
    """Refuse a field that has no name of the storage reference, or not the form that goes with the name."""
    if is_encoded(value) and (field_kind(name) or name == "origins"):
        return
    _check_form(id, name, value, _FORMS.get(name), _FAMILIES)


def check_ledger_field(id: str, name: str, value: bytes) -> None:
    """Refuse a field of a ledger that has no name of the storage reference, or not the form that goes with the name."""
    _check_form(id, name, value, None, _LEDGER_FAMILIES)


def _check_form(
    id: str, name: str, value: bytes, form: Form | None, families: Mapping[str, tuple[Form, Suffix]]
) -> None:
    if form is None:
        prefix, dot, rest = name.partition(".")
        family = families.get(prefix) if dot else None
        if family is None:
            raise Damaged(
                f"field {_shown(name)} of session {id!r} is not known: expected a field of the storage reference"
            )
        form, is_suffix = family
        if not is_suffix(rest):
            raise Damaged(
                f"field {_shown(name)} of session {id!r} is damaged: the name behind {prefix + '.'!r} is not valid"
            )
    if not form.is_valid(value):
        is_private = form.expected in (_TEXT.expected, _JSON.expected)
        raise damaged(id, name, form.expected, f"{len(value)} bytes of another form" if is_private else value)


def _numbers(record: str, kind: str) -> bytes:
    """Return the pattern of a word of a record."""
    if kind == "number" and record in _AMOUNTS:
        return AMOUNT
    return OPTION if kind == "number" and record in _OPTIONS else _TYPES[kind]


def _passes(check: Callable[..., Any], *arguments: Any) -> Callable[[bytes], bool]:
    """Return a predicate on bytes from a check that raises InvalidInput."""

    def is_valid(value: bytes) -> bool:
        try:
            check(value.decode(), *arguments)
        except (UnicodeDecodeError, InvalidInput):
            return False
        return True

    return is_valid


def _matching(pattern: bytes, expected: str) -> Form:
    return Form(expected, re.compile(pattern, re.DOTALL).fullmatch)


def _pattern(name: str) -> bytes:
    """Return the pattern of a record of the schema."""
    patterns = []
    for word in SCHEMA[name].words:
        kind = word.type.removesuffix("?")
        pattern = _TEXTS.get((name, word.name)) or _numbers(name, kind)
        patterns.append(rb"(?:%b%b)" % (pattern, rb"|-" if word.type.endswith("?") else b""))
    return b" ".join(patterns)


def _words(name: str) -> str:
    return f"'{' '.join(f'<{word.name}>' for word in SCHEMA[name].words)}'"


def _record(name: str) -> Form:
    return _matching(_pattern(name), _words(name))


def _number(maximum: int, minimum: int = 0) -> Form:
    def is_valid(value: bytes) -> bool:
        return re.fullmatch(OPTION, value) is not None and minimum <= int(value) <= maximum

    return Form(f"a number from {minimum} to {maximum}", is_valid)


def _settings(value: bytes) -> bool:
    if not _SETTINGS.is_valid(value):
        return False
    _, _, max_message_bytes, ttl_ms, _ = value.split()
    return 1 <= int(max_message_bytes) <= MAX_WIRE_BYTES and int(ttl_ms) <= MAX_DURATION_MS


def _priority(value: bytes) -> bool:
    return re.fullmatch(rb"-?[0-9]{1,3}", value) is not None and abs(int(value)) <= MAX_PRIORITY


def _origins(value: bytes) -> bool:
    """Return whether a value names namespaces and sessions in pairs."""
    words = value.split(b" ")
    return value == b"" or (len(words) % 2 == 0 and all(map(_passes(check_id), words)))


def _report(value: bytes) -> bool:
    """Return whether the template of a child's result makes an entry."""
    found = re.fullmatch(rb"([a-z][@-O]) (\S+) (\{.*\})", value)
    if not found:
        return value == b""
    head, facts, template = found.groups()
    entry = head + b"1 x " + (b"" if facts == b"-" else facts + b" ") + template
    match = ENTRY.match(entry)
    return bool(match and entry[match.end() :] == template and is_template(template))


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:60]}…")


_COUNT, _TEXT = _matching(COUNT, "a number of at most 13 digits"), Form("text in UTF-8", is_text)
_JSON = Form("a JSON value", is_json)
_SETTINGS = _record("settings")
_ID_128 = Form("an ID of at most 128 characters", _passes(check_id, "id", 128))
_SPAWNED = rb"spawned %b [^\s]{1,1024} %b" % (COUNT, INCARNATION)
_RESULT = rb"\n[^\s]{1,2400} %b(?: (?!spawned )[^\n]*| %b)?" % (COUNT, _SPAWNED)
_ATTEMPT = rb'%b %b (?:failed|died) [^\s]+ "[^\n]*"\n' % (COUNT, COUNT)
_FORMS: dict[str, Form] = {
    "incarnation": _matching(INCARNATION, "12 hex digits"),
    "status": _matching(_STATUS, "a status"),
    "counters": _record("counters"),
    "settings": Form(f"{_SETTINGS.expected} within the bounds of the settings", _settings),
    "value_bytes": _matching(b" ".join([COUNT] * 4), "bytes of metadata, state and variables, and their number"),
    "created": _matching(rb"[1-9][0-9]{0,15}", "µs since the epoch"),
    "max_tokens": _number(2**53),
    "max_inbox": _number(1000, 1),
    "limits": _record("limits"),
    "kind": _matching(rb"main|subagent|cron", "main, subagent or cron"),
    "formation": _matching(rb"explicit|first_loop|inactivity %b [^\s]{1,1024}" % COUNT, "how the session was formed"),
    "finished": _COUNT,
    "status_log": _matching(rb"(?:%b\n){0,200}" % _pattern("status_log"), f"{_words('status_log')} lines"),
    "recent": _matching(rb".{0,64}", "at most 64 bytes"),
    "cleared": _COUNT,
    "summary": _COUNT,
    "pins": _COUNT,
    "format": _matching(rb"[A-Za-z0-9_-]{0,32}", "the name of a format"),
    "layout": _matching(_pattern("layout") + rb"|", _words("layout")),
    "kept_seqs": _matching(rb"(?:%b(?:,%b)*)?" % (COUNT, COUNT), "'<seq>,…'"),
    "lease": _matching(COUNT + rb" - 0 0 0 - -", "'<fence> - 0 0 0 - -', because no worker holds an imported lease"),
    "inbox": _record("inbox"),
    "inbox_bytes": _COUNT,
    "loops": _TEXT,
    "usage": _record("usage"),
    "spent": _record("spent"),
    "budget": _record("budget"),
    "tree_limits": _record("tree_limits"),
    "tree": _record("spawn_counts"),
    "children": _record("spawn_counts"),
    "lineage": _record("lineage"),
    "pruned": _matching(rb"%b-%b(?:,%b-%b)*" % (COUNT, COUNT, COUNT, COUNT), "'<first>-<last>,…'"),
    "run": _record("run"),
    "attempt_log": _matching(rb"(?:%b){0,11}" % _ATTEMPT, "'<start> <end> <failed or died> <worker> <error>' lines"),
    "parked": _matching(rb"%b %b(?: %b:%b)*" % (COUNT, COUNT, COUNT, INCARNATION), "'<end> <children> …'"),
    "trace": _matching(rb"%b %b" % (TRACEPARENT, COUNT), "'<traceparent> <ms>'"),
    "resumed": _matching(rb"done|timeout(?: %b:%b)* ?" % (COUNT, INCARNATION), "done or timeout"),
    "priority": Form(f"a number from -{MAX_PRIORITY} to {MAX_PRIORITY}", _priority),
    "waiting": _COUNT,
    "idle_ttl": _number(MAX_DURATION_MS),
    "cleanup": _matching(rb"delete", "delete"),
    "report": Form('\'<kind><flags> <facts> <payload>\' with "@text@" and "@facts@"', _report),
    **dict.fromkeys(("has_metadata", "has_ledger", "has_parts"), _matching(rb"1", "1")),
    "system_tokens": _number(2**31),
    "channel": Form("the ID of a channel", _passes(check_id)),
    "answered_by": Form("the ID of an agent", _passes(check_agent)),
    "fairness_key": _ID_128,
    "origins": Form("'<namespace> <session> …', or an encoded value", _origins),
    "label": _ID_128,
    "retried": _ID_128,
    **{
        name: _matching(rb"(?: %b(?:/%b%b)?)*" % (COUNT, policy, COUNT), "numbers of members")
        for name, policy in (("cancelled", b"c"), ("requested", b"r"))
    },
    **{name: Form(f"an ID as {name}_id", _passes(check_id)) for name in ("user", "agent", "parent")},
    **dict.fromkeys(("type", "tags", "result", "spawned_by"), _JSON),
    **dict.fromkeys(("name", "system", "reason", "task", "model", "cancelled_why", "requested_why"), _TEXT),
}
REQUIRED = ("incarnation", "status", "counters", "settings", "created", "max_tokens", "max_inbox")
Suffix = Callable[[str], Any]


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= 256 and text.isprintable()


def _is_loop(text: str) -> bool:
    return _passes(check_id, "id", 128)(text.encode())


_is_number: Suffix = re.compile(COUNT.decode()).fullmatch
_is_page: Suffix = re.compile(r"\S{1,128} (?:0|[1-9][0-9]{0,12})").fullmatch
_is_step: Suffix = re.compile(r"\S{1,128} \S{1,128}").fullmatch
# import_messages.py checks entries.
_ENTRY = Form("'<kind><flags><tokens> <batch ID> [<facts> ]<payload>'", lambda value: True)
_LINES = _matching(rb"(?:[^\n]+\n){1,16}", "1 to 16 lines")
_FAMILIES: dict[str, tuple[Form, Suffix]] = {
    "meta": (_JSON, lambda text: True),
    "state": (_JSON, _is_name),
    "var": (Form("text", lambda value: True), _is_name),
    "results": (_matching(rb"(?:%b){0,200}" % _RESULT, "results of operations"), re.compile(r"[0-9]|1[0-5]").fullmatch),
    "kept": (_ENTRY, _is_number),
    "inbox": (_ENTRY, _is_number),
    "loop": (_record("loop"), _is_loop),
    "member": (_record("member"), _is_number),
    "member_result": (Form("a reason and a result", lambda value: value[:1] == RECORD_MARK), _is_number),
    "label": (_COUNT, _is_loop),
    "waits": (_matching(rb"1", "1"), _is_number),
}
_LEDGER_FAMILIES: dict[str, tuple[Form, Suffix]] = {
    **dict.fromkeys(("config", "extra", "group"), (Form("a JSON object", is_json_object), _is_loop)),
    **dict.fromkeys(("event", "turn", "steps"), (_LINES, _is_page)),
    "reason": (_TEXT, _is_loop),
    "step": (_record("usage"), _is_step),
}
