"""Read keys from a terminal, as names, and restore the terminal at the end."""

from __future__ import annotations

import codecs
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SEQUENCES = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"\x1b[C": "right", b"\x1bOC": "right",
    b"\x1b[D": "left", b"\x1bOD": "left", b"\x1b[5~": "page up", b"\x1b[6~": "page down", b"\x1b[H": "home",
    b"\x1bOH": "home", b"\x1b[1~": "home", b"\x1b[7~": "home", b"\x1b[F": "end", b"\x1bOF": "end", b"\x1b[4~": "end",
    b"\x1b[8~": "end", b"\x1b[Z": "back tab",
}  # fmt: skip
_CONTROLS = {"\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace"}
_ESCAPE_SECONDS = 0.05
"""The time in which the rest of a sequence follows its Esc. Without more the key is Esc."""
KeyReader = Callable[[float], list[str]]
"""Return the keys that were pressed within a number of seconds: as soon as there is one."""


def split_keys(data: bytes) -> tuple[list[str], bytes]:
    """Return the keys of what a terminal sent, and the beginning of a key that is not complete. Unknown keys are left out."""
    keys: list[str] = []
    while data:
        if data[:1] != b"\x1b":
            end = data.find(b"\x1b") if b"\x1b" in data else len(data)
            decoder = codecs.getincrementaldecoder("utf-8")("ignore")
            text = decoder.decode(data[:end])
            keys += [_CONTROLS.get(one, one) for one in text if one in _CONTROLS or one.isprintable()]
            rest = decoder.getstate()[0]
            data = data[end:]
            if rest and not data:
                return keys, rest
            continue
        length = _sequence_length(data)
        if length == 0:
            return keys, data
        name = _SEQUENCES.get(data[:length], "")
        keys += [name] if name else []
        data = data[length:]
    return keys, b""


def _sequence_length(data: bytes) -> int:
    """Return the length of the escape sequence that data begins with; 0 if it is not complete."""
    if data[1:2] == b"O":
        return 3 if len(data) >= 3 else 0
    if data[1:2] == b"[":
        return next((at + 1 for at, one in enumerate(data[2:], 2) if 0x40 <= one <= 0x7E), 0)
    return 2 if len(data) >= 2 else 0


@contextmanager
def key_reader() -> Iterator[KeyReader]:
    """Yield a function that reads keys. Then restore the terminal. Without a terminal no key comes."""
    try:
        import termios
    except ImportError:  # on Windows only Ctrl-C ends the command
        yield _wait
        return
    if not sys.stdin.isatty():
        yield _wait
        return
    terminal = sys.stdin.fileno()
    before, mode = termios.tcgetattr(terminal), termios.tcgetattr(terminal)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    mode[6][termios.VSUSP] = b"\0"  # a stopped process would leave the terminal in this mode
    termios.tcsetattr(terminal, termios.TCSADRAIN, mode)
    try:
        yield _Keyboard(terminal).read
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


class _Keyboard:
    """The keyboard of a terminal, with the beginning of a key between two reads."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._rest = b""

    def read(self, timeout: float) -> list[str]:
        """Return the keys that were pressed. A terminal that is gone presses q."""
        ready, _, _ = select.select([self._terminal], [], [], _ESCAPE_SECONDS if self._rest else timeout)
        if not ready:
            is_escape, self._rest = self._rest.startswith(b"\x1b"), b""
            return ["escape"] if is_escape else []
        try:
            data = os.read(self._terminal, 1024)
        except OSError:
            data = b""
        if not data:
            return ["q"]
        keys, self._rest = split_keys(self._rest + data)
        return keys


def _wait(timeout: float) -> list[str]:
    time.sleep(timeout)
    return []
