"""The trace context of a request, as W3C Trace Context writes it in `traceparent`."""

from __future__ import annotations

import re

TRACEPARENT = rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
_is_traceparent = re.compile(TRACEPARENT).fullmatch


def is_traceparent(text: bytes) -> bool:
    """Return whether a text has the form of a traceparent, 55 characters. It can come from another program."""
    return _is_traceparent(text) is not None


def creation_trace(traceparent: str) -> str:
    """Return the field `trace` of a run. Its second word is 0, because the session's creation is the request."""
    return f"{traceparent} 0"
