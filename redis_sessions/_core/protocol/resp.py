"""Encode a command for the wire (RESP): with hiredis where it is installed, else in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .call import Command


def _pack(command: Command) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


pack: Callable[[Command], bytes] = _pack
try:
    import hiredis
except ImportError:
    pass
else:
    _pack_texts: Any = hiredis.pack_command

    def _pack_safely(command: Command) -> bytes:
        """Give numbers to hiredis as texts: it crashes when a signal handler raises while it converts a number."""
        texts = [part if type(part) is str or isinstance(part, bytes) else str(part) for part in command]
        packed: bytes = _pack_texts(tuple(texts))
        return packed

    pack = _pack_safely
