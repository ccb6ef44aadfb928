"""`metrics`: print the metrics of a fleet, or serve them to Prometheus."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Annotated, Any

import typer

from .._extras import import_extra
from .._sync.api.cache import SessionCache
from ..errors import InvalidInput
from ..prometheus import FleetCollector, fleet_families
from .addresses import cannot_listen, parse_address, show_address
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Namespace, Url, app, parse_duration, print_notice
from .connect import open_cache

_SERVER_SECONDS = 3.0
"""The longest wait for a server, so that `up` is 0 before a scrape is over."""


@app.command()
def metrics(
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            help="Serve the page /metrics at this HOST:PORT until a signal, such as 127.0.0.1:9464. No secret is on the page.",
            show_default="print once",
        ),
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(
            "--interval",
            help="Least time between two reads of the fleet, 100ms to 1h. Only with --listen.",
            show_default="5s",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Print the metrics of the fleet in the format of Prometheus, or serve them.

    The counters begin with the start of the command, so they are 0 where it prints once.
    """
    if interval is not None and listen is None:
        raise InvalidInput(name="--interval", detail="needs --listen, because without it the metrics are printed once")
    pause = parse_duration(interval or "5s", "--interval", minimum="100ms", maximum="1h")
    address = None if listen is None else parse_address(listen, "--listen", "127.0.0.1:9464")
    try:
        import_extra("prometheus_client", "metrics", "metrics")
    except ModuleNotFoundError as problem:
        raise InvalidInput(name="metrics", detail=str(problem)) from None
    if address is None:
        with open_cache(url, namespace) as cache:
            _print_once(cache)
        return
    seconds = _SERVER_SECONDS
    with open_cache(url, namespace, contact=False, timeout=seconds, retry_for=seconds) as cache:
        cache._executor.on_failure = None  # the metric `up` says it
        _serve(FleetCollector(cache.monitor(), pause), *address, pause)


def _print_once(cache: SessionCache) -> None:
    from prometheus_client import generate_latest

    fleet = cache.monitor().read_all()
    sys.stdout.write(generate_latest(_Families(list(fleet_families(fleet, 0.0, set())))).decode())


class _Families:
    """A registry of families that were collected."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> list[Any]:
        """Return the families."""
        return self._families


def _serve(collector: FleetCollector, host: str, port: int, pause: float) -> None:
    """Serve the page, and read the fleet, until a signal."""
    from prometheus_client import CollectorRegistry, start_http_server

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as problem:
        raise cannot_listen(host, port, "--listen", problem) from None
    print_notice(f"serving http://{show_address(host, server.server_port)}/metrics")
    while not stop.is_set():  # also without a scrape, so that no run that ends is missed
        collector.refresh()
        stop.wait(pause)
    server.shutdown()
    server.server_close()
    thread.join()
