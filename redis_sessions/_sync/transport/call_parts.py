# Generated from _async/transport/call_parts.py by tools/mirror.py; edit that file.
"""Repeat the call of a script that did a part of its work, or that needs something first."""

from __future__ import annotations

import time
from typing import Any

from ..._core.protocol.call import Call
from ..._core.protocol.transport_errors import CopyNeeded, QueueNeeded
from ...errors import ConcurrentModification

_MAX_PLANS = 5
"""The maximum number of times that a script begins to read a long transcript again, because the session was written."""


def prepare_next_part(call: Call[Any], word: str, facts: str, timeout: float) -> bool:
    """Make a call ready to be sent again. Return False for a reply that does not ask for that.

    Args:
        word: the first word of the error reply.
        facts: the words behind it.
        timeout: seconds that the next attempt may take.

    Raises:
        QueueNeeded, CopyNeeded: the caller must do something else first.
        ConcurrentModification: the session was written between the parts, again and again.
    """
    if word == "NEED_QUEUE":
        raise QueueNeeded(facts)
    if word == "NEED_COPY":
        raise CopyNeeded
    if word == "NEED_REPEAT":
        call.moved += int(facts)
    elif word == "NEED_PLAN":
        call.plans += call.continue_plan(facts)
        if call.plans > _MAX_PLANS:
            raise ConcurrentModification(session_id=call.keys.id, tries=_MAX_PLANS)
    else:
        return False
    call.due = time.monotonic() + timeout
    return True
