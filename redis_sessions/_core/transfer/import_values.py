"""Check the values that an imported session holds: JSON, texts, payloads, results."""

from __future__ import annotations

import re

from pydantic_core import from_json as parse_json

from ..protocol.chain import is_encoded
from ..protocol.json_values import MAX_JSON_DEPTH, from_json
from ..protocol.result_records import MARK as RECORD_MARK
from ..protocol.result_records import MemberResult, ResultRecord, filled

_RECORD_WORDS = re.compile(
    r"[^\s]{1,1024} [0-9a-f]{12} [^\s]{0,512} [^\s]{0,512} (?:completed|failed|cancelled|timed_out) \d{1,13}\.\d{3}"
)
_USAGE = re.compile(rb"(?:\d{1,16}(?: \d{1,16}){6})?")


def is_json(data: bytes) -> bool:
    """Return whether a text is JSON without NaN, without infinite numbers, and nested at most 200 levels."""
    try:
        parse_json(data, allow_inf_nan=False, cache_strings=False)
    except ValueError:
        return _is_odd_json(data)
    return True


def is_json_object(data: bytes) -> bool:
    """Return whether a text is a JSON object, as `is_json` accepts it."""
    return data[:1] == b"{" and is_json(data)


def is_payload(data: bytes) -> bool:
    """Return whether a message can have a payload: a JSON object, the record of a child's end, or one that is encoded."""
    if data[:1] == b"{":
        return is_json_object(data)
    if data[:1] != RECORD_MARK:
        return is_encoded(data)
    try:
        record = ResultRecord.parse(data)
    except ValueError:
        return False
    return (
        _RECORD_WORDS.fullmatch(" ".join(record[:6])) is not None
        and _USAGE.fullmatch(record.usage) is not None
        and is_text(record.reason)
        and is_result(record.result)
        and (not record.template or is_template(record.template))
    )


def is_result(data: bytes) -> bool:
    """Return whether a result is none, JSON, or encoded."""
    return not data or is_encoded(data) or is_json(data)


def is_template(template: bytes) -> bool:
    """Return whether a template of a child's result makes a payload."""
    if not is_json_object(template):
        return False
    try:
        return bool(filled(template, "", {}))
    except ValueError:
        return False


def _is_odd_json(data: bytes) -> bool:
    """Return whether JSON that the fast parser refuses is valid: surrogates, and texts that nest nearly too deep."""
    try:
        value = from_json(data)
    except (ValueError, RecursionError):
        return False
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 2):  # a scalar stands below as many arrays and objects, and one more
        if any(isinstance(part, float) and not abs(part) < float("inf") for part in level):
            return False
        outer = [part for part in level if isinstance(part, dict | list)]
        level = [part for one in outer for part in (one.values() if isinstance(one, dict) else one)]
        if not outer:
            return True
    return False


def is_text(value: bytes) -> bool:
    """Return whether a stored text is UTF-8, or encoded."""
    if is_encoded(value):
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def check_member_result(value: bytes) -> None:
    """Raise ValueError for a kept result of a member that is damaged."""
    found = MemberResult.parse(value)
    if not (is_text(found.reason) and is_result(found.result)):
        raise ValueError("member_result must have a reason and a result")
