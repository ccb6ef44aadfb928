"""Processes of `redis-sessions dashboard` for tests in a browser."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.servers import free_port

STUCK_AFTER_SECONDS = 3
"""The time after which a holder that writes nothing is a problem."""
_DEADLINE_SECONDS = 60.0


class Dashboard:
    """A dashboard in a process of its own, on a loopback port."""

    def __init__(self, url: str, namespace: str, *options: str) -> None:
        self._port = free_port()
        self._command = [
            sys.executable, "-m", "redis_sessions.cli.main", "dashboard", "--url", url, "--namespace", namespace, "--listen",
            f"127.0.0.1:{self._port}", "--stuck-after", f"{STUCK_AFTER_SECONDS}s", *options,
        ]  # fmt: skip
        self._log = Path(tempfile.mkdtemp(prefix="redis-sessions-dashboard-")) / "log"
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start the process, and return when it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        due = time.monotonic() + _DEADLINE_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, f"the dashboard ended:\n{self.log()}"
                assert time.monotonic() < due, f"the dashboard does not listen:\n{self.log()}"
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the process as an operator does, and require that it ends in time though pages are open."""
        self.resume()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Stop the process with SIGSTOP: connections stay open, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the paused process."""
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """Return what the process has written to its outputs."""
        return self._log.read_text(errors="replace")
