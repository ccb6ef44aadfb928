"""The number of messages that a call stored."""

from __future__ import annotations

from typing import Any

from ...models.results import AppendResult
from ..protocol.call import Call
from .inbox import Sent


def count_stored(call: Call[Any], result: Any) -> int:
    """Return the number of messages that a call stored: an append, a send, or the end of a turn with its answer.

    A repeated call stores none. The answer of a turn counts also when an attempt before stored it.
    """
    if isinstance(result, Sent):
        return int(not result.result.duplicate)
    if isinstance(result, tuple) and result and isinstance(result[0], AppendResult):
        appended = result[0]
        if appended.duplicate or not appended.first_seq:
            return 0
        return appended.last_seq - appended.first_seq + 1
    return len(call.rest) if call.arguments.get("outcome") == "finished" else 0
