"""A terminal for tests: a process runs `redis-sessions` in a pseudo-terminal of a given size."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Terminal:
    """A pseudo-terminal in which one command runs."""

    def __init__(
        self, *arguments: str, lines: int = 24, columns: int = 100, environment: Mapping[str, str] | None = None
    ) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(lines, columns)
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        command = [sys.executable, "-m", "redis_sessions.cli.main", *arguments]
        given = {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", **(environment or {})}
        end = self.slave
        self.process = subprocess.Popen(command, env=given, start_new_session=True, stdin=end, stdout=end, stderr=end)

    def resize(self, lines: int, columns: int) -> None:
        """Set the size of the terminal."""
        set_size(self.slave, lines, columns)

    def read(self) -> None:
        """Read the output of the next 0.1 s."""
        if select.select([self.master], [], [], 0.1)[0]:
            self.output += os.read(self.master, 65_536)

    def frame(self, text: str) -> list[str]:
        """Return the lines of the next whole frame that contains a text."""
        begin = len(self.output)
        due = time.monotonic() + 60
        while True:
            assert time.monotonic() < due, f"no {text!r} in {self.output[begin:][-5000:]!r}"
            assert self.process.poll() is None, self.output[-5000:]
            self.read()
            for drawn in self.output[begin:].split(b"\x1b[H")[1:-1]:
                plain = without_escapes(drawn)
                if text in plain:
                    return plain.split("\n")

    def end(self) -> int:
        """Return the exit code of the command, after all its output was read."""
        due = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < due:
            self.read()
        self.read()
        return self.process.wait(1)

    def close(self) -> None:
        """Kill the command and close the terminal."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def set_size(slave: int, lines: int, columns: int) -> None:
    """Set the size of a pseudo-terminal."""
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def without_escapes(output: bytes) -> str:
    """Return the text of an output, without the sequences that control a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output.decode()).replace("\r", "")


@contextmanager
def terminal(
    *arguments: str, lines: int = 24, columns: int = 100, environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Yield a terminal in which `redis-sessions` runs with these arguments."""
    found = Terminal(*arguments, lines=lines, columns=columns, environment=environment)
    try:
        yield found
    finally:
        found.close()


def shown_lines(*arguments: str, columns: int = 80, lines: int = 24) -> list[str]:
    """Return the lines that a command prints on a terminal with a number of columns."""
    with terminal(*arguments, columns=columns, lines=lines) as view:
        code = view.end()
        assert code == 0, view.output
        return without_escapes(view.output).rstrip("\n").split("\n")
