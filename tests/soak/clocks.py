"""Clocks of servers that can be set: libfaketime shifts the time that a server sees."""

from __future__ import annotations

import stat
import subprocess
from functools import cache
from pathlib import Path

from tests.support.servers import Server

_LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"
_WRAPPER = """#!/bin/sh
# Start a server with a clock that a file in the folder of its data shifts.
if [ "$1" = --port ]; then
  [ -e "$6/faketime" ] || echo "+0" > "$6/faketime"
  rm -f /dev/shm/faketime_shm_$$ /dev/shm/sem.faketime_sem_$$  # of a killed process that had the same ID
  export FAKETIME_TIMESTAMP_FILE="$6/faketime" FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_RESET=1
  export FAKETIME_DONT_FAKE_MONOTONIC=1 LD_PRELOAD={library}
fi
exec {binary} "$@"
"""


@cache
def faketime_library() -> str | None:
    """Return the path of libfaketime (Debian: apt-get install faketime), or None without it."""
    return next((str(path) for path in Path("/").glob(_LIBRARIES.lstrip("/"))), None)


def with_settable_clock(binary: str, folder: Path) -> str:
    """Return a program that starts the server with a settable clock, or the binary if that does not work here."""
    library = faketime_library()
    if library is None:
        return binary
    if "libjemalloc" in subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout:
        return binary  # libfaketime and a jemalloc that is loaded wait for each other for ever
    wrapper = folder / "server-with-faketime"
    wrapper.write_text(_WRAPPER.format(library=library, binary=binary))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    return str(wrapper)


def set_clock(server: Server, offset: float) -> None:
    """Let a server see a time that is `offset` seconds ahead, within a second."""
    (Path(server.folder) / "faketime").write_text(f"{offset:+.3f}\n")


def remove_shared_memory(pid: int) -> None:
    """Remove what libfaketime leaves behind of a process that was killed."""
    for path in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (Path("/dev/shm") / path).unlink(missing_ok=True)
