"""A dashboard behind a real HTTP server, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import uvicorn

from redis_sessions.dashboard import dashboard_app
from redis_sessions.models.fleet import Fleet
from tests.support.servers import await_true

FORM_COOKIE = "redis_sessions_form"


class FixedMonitor:
    """A monitor that returns the fleet that a test gives, or raises the error that a test gives."""

    def __init__(self, **fields: Any) -> None:
        self.fleet = fleet(**fields)
        self.problem: Exception | None = None
        self.reads = 0

    async def read(self) -> Fleet:
        """Return the fleet, or raise the error."""
        self.reads += 1
        if self.problem is not None:
            raise self.problem
        return self.fleet


def fleet(**fields: Any) -> Fleet:
    """Return a fleet with some fields, and nothing else."""
    defaults = {
        "namespace": "acme", "read_at": datetime.now(UTC), "active": 1, "ended": 0, "is_complete": True,
    }  # fmt: skip
    return Fleet.model_validate(defaults | fields)


class Running:
    """A dashboard that listens on a port."""

    def __init__(self, app: Any, port: int) -> None:
        self.app = app
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client without redirects, as a browser on this machine."""
        headers = {"Accept": "text/html"} | options.pop("headers", {})
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, **options)


@contextmanager
def serve(app: Any, **options: Any) -> Iterator[Running]:
    """Serve an ASGI app on a free port of this machine, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, **options)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        await_true(lambda: server.started or not thread.is_alive())
        assert server.started
        try:
            yield Running(app, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(20)


@contextmanager
def dashboard(cache: Any, **options: Any) -> Iterator[Running]:
    """Serve the dashboard of a cache."""
    with serve(dashboard_app(cache, **options)) as running:
        yield running
