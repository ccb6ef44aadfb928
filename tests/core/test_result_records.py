"""The records of children's ends, and the payloads that readers make of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redis_sessions import InvalidState
from redis_sessions._core.protocol.codec import decode
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._core.protocol.result_records import ResultRecord
from redis_sessions._core.transfer.import_values import is_payload

RECORD = ResultRecord("c-1", "0123456789ab", "bags", "worker", "completed", "1.500", b"", b"", b'"belt 4"')
TEMPLATE = b'{"type":"function_call_output","call_id":"c","output":"@text@","metadata":"@facts@"}'
FACTS: dict[str, Any] = {
    "session": "c-1", "run_id": "0123456789ab", "label": "bags", "status": "completed", "reason": None, "runtime": 1.5
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "text", "facts"),
    [
        ({}, "[bags completed] belt 4", {}),
        ({"result": b'{"a":[1]}'}, '[bags completed] {"a":[1]}', {"result": {"a": [1]}}),
        ({"result": b"", "reason": b"no \xc3\xa9"}, "[bags completed] no é", {"reason": "no é"}),
        ({"result": b""}, "[bags completed]", {}),
        ({"result": b'""', "label": ""}, "[worker completed] ", {"label": None}),
        ({"label": "", "agent": ""}, "[c-1 completed] belt 4", {"label": None}),
        ({"usage": b"1 2 3 4 5 6 7"}, "[bags completed] belt 4", {"usage": {
            "input": 1, "output": 2, "reasoning": 3, "cache_read": 4, "cache_write": 5, "total": 6, "cost_micros": 7}}),
    ],
)  # fmt: skip
def test_record_becomes_a_chat_message_of_the_user(changes: dict[str, Any], text: str, facts: dict[str, Any]) -> None:
    """The text names the child and says its result or reason, and the metadata holds the facts."""
    record = RECORD._replace(**changes)
    assert ResultRecord.parse(bytes(record)) == record
    expected = {"role": "user", "content": text, "metadata": {"subagent": {**FACTS, **facts}}}
    assert record.payload() == expected
    assert is_payload(bytes(record))


def test_template_is_filled() -> None:
    """The text and the facts take their places in the template of another format, whatever characters they have."""
    record = RECORD._replace(template=TEMPLATE, result=json.dumps('"@facts@" \\ \u2028').encode())
    payload = record.payload()
    assert payload["output"] == '[bags completed] "@facts@" \\ \u2028'
    assert payload["metadata"]["subagent"]["session"] == "c-1"
    assert is_payload(bytes(record))


def test_payload_of_a_caller_under_the_batch_of_a_result_is_read() -> None:
    """A message with a JSON object as payload is read as it is, also with the batch ID of a child's result."""
    keys = session_keys("sessions", "s")
    payload = {"role": "user", "content": "[bags completed]", "metadata": {"subagent": FACTS}}
    message = decode(b"8V`R-!!0u@5 ~0123456789ab.result " + json.dumps(payload).encode(), 1, "i", keys)
    assert message.payload == payload


DAMAGED = [
    b"\2", b"\2a b c d e 1.000 0 0 5 abc", b"\2a b c d e 1.000 0 0 x abc", b"\2a b c d e 1.000 -1 0 1 abc",
    bytes(RECORD._replace(result=b"{")), bytes(RECORD._replace(reason=b"\xff")),
    bytes(RECORD._replace(template=b'{"a":"@text@"}')), bytes(RECORD._replace(template=b"{")),
    bytes(RECORD._replace(usage=b"1 x")),
]  # fmt: skip


@pytest.mark.parametrize("payload", DAMAGED)
def test_damaged_record_is_a_damaged_message(payload: bytes) -> None:
    """A record that cannot be read raises InvalidState that names the seq, and an import refuses it."""
    with pytest.raises(InvalidState, match="message with seq 7"):
        decode(b"8V`R-!!0u@5 b " + payload, 7, "i", session_keys("sessions", "s"))
    assert not is_payload(payload)


@pytest.mark.parametrize(
    "payload",
    [
        bytes(RECORD._replace(status="happy")),
        bytes(RECORD._replace(run_id="x")),
        bytes(RECORD._replace(runtime="nan")),
        b"\1garbage",
    ],
)
def test_forged_record_is_no_payload_of_an_import(payload: bytes) -> None:
    """An import takes only records with the words that scripts write."""
    assert not is_payload(payload)
