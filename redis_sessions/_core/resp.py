"""Packs a command as the protocol has it (RESP): by hiredis where that is installed, else here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .calls import Argument


def _pack(command: tuple[Argument, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


pack: Callable[[tuple[Argument, ...]], bytes] = _pack
try:
    import hiredis
except ImportError:
    pass
else:
    fast: Any = hiredis.pack_command
    pack = fast
