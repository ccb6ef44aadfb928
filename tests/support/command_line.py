"""Run the command line in a new interpreter, or faster in a process that is forked with all modules imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.processes import CONTEXT

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "COLUMNS": "120"}


def launch(*arguments: str, feed: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run `redis-sessions` in a new interpreter, with arguments and a standard input. Return exit code and output."""
    command = [sys.executable, "-m", "redis_sessions.cli.main", *arguments]
    done = subprocess.run(command, input=feed, capture_output=True, timeout=120, check=False, env=ENVIRONMENT)
    return _checked(arguments, done.returncode, done.stdout, done.stderr)


def run(*arguments: str, feed: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Do the same as `launch` in a forked process. Only for commands that start no processes."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("0", "1", "2"):
            (Path(folder) / name).write_bytes(feed if name == "0" else b"")
        process = CONTEXT.Process(target=_main, args=(arguments, folder))
        process.start()
        process.join(120)
        assert process.exitcode is not None, f"{arguments} takes too long"
        out, err = [(Path(folder) / name).read_bytes() for name in ("1", "2")]
    return _checked(arguments, process.exitcode, out, err)


def _main(arguments: tuple[str, ...], folder: str) -> None:
    for number in range(3):
        os.dup2(os.open(Path(folder) / str(number), os.O_RDWR), number)
    os.environ.clear()
    os.environ |= ENVIRONMENT
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.argv = ["redis-sessions", *arguments]
    from redis_sessions.cli.main import main

    main()


def _checked(arguments: tuple[str, ...], code: int, out: bytes, err: bytes) -> subprocess.CompletedProcess[str]:
    assert b"Traceback" not in out + err, err.decode()
    err = re.sub(rb"(?m)^waiting for \S+, at most \d+ s: no answer yet.*\n", b"", err)  # the machine was busy
    return subprocess.CompletedProcess(arguments, code, out.decode(), err.decode())
