"""A dashboard behind a real HTTP server, in a thread of this process."""

from __future__ import annotations

import json
import re
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


def events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Yield the name and the data of each server-sent event of a stream."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def form_fields(html: str) -> dict[str, str]:
    """Return the hidden fields of the last form of a page."""
    form = html[html.rindex('method="post"') :].partition("</form>")[0]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form))


def confirm(client: httpx.Client, action: str, id: str, **fields: str) -> httpx.Response:
    """Open the page that asks for an action, and send its form."""
    page = client.get(f"/action/{action}", params={"id": id})
    assert page.status_code == 200, page.text
    return client.post(f"/action/{action}", params={"id": id}, data={**form_fields(page.text), **fields})
