"""Run one server while at least one process holds the users' lock. `server.py` starts this file as a script.

The kernel releases the lock of a process however the process dies, so the server ends also after a SIGKILL of its last user.
This script needs only the standard library.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def main(binary: str, folder: str, socket: str, private: bool) -> None:
    """Start the server, wait until no other process holds the lock, then stop the server. Delete a private folder."""
    os.umask(0o077)
    command = [binary, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", folder]
    command += ["--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"]
    command += ["--appendonly", "no" if private else "yes", "--logfile", f"{folder}/server.log"]
    server = subprocess.Popen(command, preexec_fn=_die_with_parent)
    signal.signal(signal.SIGCHLD, lambda *_: sys.exit(1))
    with open(f"{folder}/users.lock", "a") as users:
        if server.poll() is not None:
            sys.exit(1)
        fcntl.flock(users, fcntl.LOCK_EX)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        if private:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] == "private")
