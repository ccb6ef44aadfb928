"""Runs one server as long as anyone holds the users' lock. Started as a script by `server.py`; needs only the standard library.

The kernel releases a process's lock however it dies, so kill -9 of the last user ends the server too.
"""

from __future__ import annotations

import ctypes
import fcntl
import shutil
import signal
import subprocess
import sys


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def main(binary: str, folder: str, socket: str, private: bool) -> None:
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
