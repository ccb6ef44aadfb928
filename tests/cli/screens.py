"""Golden screens: what a command prints on a terminal of 80 columns, with all that changes from run to run made equal.

REDIS_SESSIONS_GOLDEN=write python -m pytest tests/cli/test_golden_screens.py writes the files. Look at the difference then.
"""

from __future__ import annotations

import os
import pty
import re
import select
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.cli.terminal import set_size, without_escapes
from tests.support.processes import CONTEXT

FOLDER = Path(__file__).parent / "golden"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color"}
ERASE = b"\x1b[2K"
"""Erase the line."""
IS_WRITING = os.environ.get("REDIS_SESSIONS_GOLDEN") == "write"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHANGES: tuple[tuple[str, str], ...] = (
    (r"127\.0\.0\.1:\d{5}", "127.0.0.1:17000"),
    (r"(?<!\d)\d\d:\d\d:\d\d(?!\d)", "00:00:00"),
    (r"(\d+ days?, )?\d+:00:00", "00:00:00"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", "2026-01-01T00:00:00.000"),
    (r"by \S+:\d+ in", "by host:12345 in"),
    (r"loaded \d+ of \d+ scripts", "loaded 1 of 2 scripts"),
    (r"checked \d+ runs", "checked 1 runs"),
    (r"(?m)^[-\\|/] (?=\d+ \w+$)", "- "),  # a spinner
    (r"(?m)^waiting for redis://\S+, at most 10 s: no answer yet\n", ""),
    (r"\d{4}-\d\d-\d\d(?= )", "2026-01-01"),
)


def screen(
    arguments: tuple[str, ...], *, columns: int = 80, lines: int = 24, environment: Mapping[str, str] | None = None
) -> str:
    """Return what a command prints on a terminal, and its exit code."""
    master, slave = pty.openpty()
    set_size(slave, lines, columns)
    process = CONTEXT.Process(target=_main, args=(arguments, os.ttyname(slave), dict(environment or {})))
    process.start()
    output = b""
    try:
        while process.is_alive() or select.select([master], [], [], 0)[0]:
            if select.select([master], [], [], 0.05)[0]:
                output += os.read(master, 65_536)
    finally:
        process.kill()
        process.join()
        os.close(master)
        os.close(slave)
    assert b"Traceback" not in output, output
    output = re.sub(rb"[^\n]*\n\r*\x1b\[1A\x1b\[2K", b"", output)  # a bar overwrites itself, and goes in the end
    kept = b"\n".join(line.rpartition(ERASE)[2] for line in output.split(b"\n"))
    shown = [line.rstrip() for line in without_escapes(kept).rstrip().split("\n")]
    return "\n".join([*shown, f"[exit {process.exitcode}]\n"])


def _main(arguments: tuple[str, ...], terminal: str, environment: dict[str, str]) -> None:
    os.setsid()
    opened = os.open(terminal, os.O_RDWR)
    for number in range(3):
        os.dup2(opened, number)
    os.environ.clear()
    os.environ |= ENVIRONMENT | environment
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", encoding=encoding), open(2, "w", encoding=encoding)  # noqa: SIM115
    sys.argv = ["redis-sessions", *arguments]
    from redis_sessions.cli import commands, main

    assert commands.app
    _stop_clocks()
    main.main()


def _stop_clocks() -> None:
    """Let all ages and times be zero, because their width changes where a line wraps."""
    for name, module in list(sys.modules.items()):
        if name.startswith("redis_sessions.cli."):
            for function, shown in (("format_span", "0.0 s"), ("format_age", "0s ago")):
                if hasattr(module, function):
                    setattr(module, function, lambda *_, shown=shown: shown)


def same_every_time(text: str, known: Mapping[str, str]) -> str:
    """Return a screen without ages, times, ports and random IDs. `known`: texts with what stands for them."""
    for found, shown in known.items():
        text = text.replace(found, shown)
    text = _UUID.sub(
        lambda found: found[0] if found[0].startswith("00000000-") else "ffffffff-ffff-8fff-8fff-ffffffffffff", text
    )
    for pattern, shown in _CHANGES:
        text = re.sub(pattern, shown, text)
    return text


def check_golden(name: str, text: str) -> str | None:
    """Return how a screen differs from its file, or None. Write the file if that is asked for."""
    path = FOLDER / f"{name}.txt"
    if IS_WRITING:
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    return None if text == expected else f"{name}:\n{text}\n--- expected:\n{expected}"
