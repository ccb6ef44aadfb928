"""`dashboard`: serve a live page on the fleet."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from .. import AsyncSessionCache
from ..errors import InvalidInput
from .addresses import is_loopback, listen_on, parse_address, show_address
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Namespace, Url, app, log_audit, print_notice, shared_url
from .codec_options import codec_options

if TYPE_CHECKING:
    import uvicorn

_GRACE = 2
"""Seconds that open pages have after a signal."""


@app.command()
def dashboard(
    listen: Annotated[
        str, typer.Option("--listen", help="HOST:PORT to listen on. A port of 0 takes a free one.")
    ] = "127.0.0.1:8380",
    allow_actions: Annotated[
        bool,
        typer.Option(
            "--allow-actions",
            help="Offer cancel, request cancel, release, retry, pause, resume and delete. Default: pages that only read.",
        ),
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="REDIS_SESSIONS_DASHBOARD_TOKEN",
            show_envvar=True,
            show_default="no token",
            help="Secret that callers must give, 16 characters or more. Other users see it in the list of processes:"
            " set the environment variable instead.",
        ),
    ] = None,
    username: Annotated[
        str | None,
        typer.Option(
            "--username",
            envvar="REDIS_SESSIONS_DASHBOARD_USERNAME",
            help="Name for basic authentication.",
            show_default="none",
        ),
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            "--password",
            envvar="REDIS_SESSIONS_DASHBOARD_PASSWORD",
            show_default="none",
            help="Password for basic authentication, 8 characters or more. Set the environment variable instead.",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            help="Host name that the dashboard answers to. Can be repeated.",
            show_default="any with a token or a password, else this machine",
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option("--root-path", help="Path at which a proxy shows the dashboard, such as /sessions.")
    ] = "",
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            help="Address or network of a proxy whose X-Forwarded-For and X-Forwarded-Proto name the client, such as 10.0.0.5"
            " or 10.0.0.0/24. Can be repeated.",
            show_default="FORWARDED_ALLOW_IPS, else 127.0.0.1",
        ),
    ] = None,
    stuck_after: Annotated[
        str,
        typer.Option("--stuck-after", help="Time without a write after which the holder of a lease counts as silent."),
    ] = "60s",
    max_sessions: Annotated[
        int, typer.Option("--max-sessions", help="Active sessions whose problems are shown, 1 to 100000.")
    ] = 10_000,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Serve a live dashboard: problems, sessions, transcripts, trees, runs, workers and servers. It reads only.

    Without a token and a password it listens on this machine only.
    """  # fmt: skip
    host, port = parse_address(listen, "--listen", "127.0.0.1:8380")
    if not is_loopback(host) and token is None and password is None:
        detail = f"{host} can be reached from other machines: give --token, or --username and --password, or listen on 127.0.0.1"
        raise InvalidInput(name="--listen", detail=detail)
    cache = AsyncSessionCache.from_url(shared_url(url), namespace=namespace, audit=log_audit, **codec_options())
    try:
        import uvicorn

        from ..dashboard import dashboard_app
    except ImportError as problem:
        detail = f"needs starlette, uvicorn and jinja2 ({problem}): pip install 'redis-sessions[dashboard,cli]'"
        raise InvalidInput(name="dashboard", detail=detail) from None
    served = dashboard_app(
        cache, token=token, username=username, password=password, allow_actions=allow_actions,
        allowed_hosts=allowed_host, stuck_after=stuck_after, max_sessions=max_sessions,
    )  # fmt: skip
    listener = listen_on(host, port, "--listen")
    config = uvicorn.Config(
        served, log_level="warning", access_log=False, root_path=_checked_root(root_path), timeout_graceful_shutdown=_GRACE,
        server_header=False, forwarded_allow_ips=_checked_proxies(trusted_proxy or ()),
    )  # fmt: skip
    asks = "read-only" if not allow_actions else "actions allowed"
    place = f"namespace {cache.namespace} on {cache.where}"
    print_notice(f"serving http://{show_address(host, listener.getsockname()[1])}{config.root_path}/ ({asks}), {place}")
    _serve(config, listener)


def _serve(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve until a signal. Streams of open pages end at once."""
    import uvicorn

    class Server(uvicorn.Server):
        """A server that ends the streams of open pages before it waits for them."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Take a signal."""
            config.app.state.board.poller.end_streams()  # type: ignore[union-attr]
            super().handle_exit(sig, frame)

    asyncio.run(Server(config).serve(sockets=[listener]))


def _checked_proxies(proxies: Sequence[str]) -> list[str] | None:
    """Return the addresses and networks of proxies, None for the default of uvicorn. Raises InvalidInput."""
    for one in proxies:
        try:
            ipaddress.ip_network(one)
        except ValueError:
            detail = f"must be an IP address or a network, such as 10.0.0.5 or 10.0.0.0/24, got {one!r}"
            raise InvalidInput(name="--trusted-proxy", detail=detail) from None
    return list(proxies) or None


def _checked_root(path: str) -> str:
    """Return a path without '/' at its end. Raises InvalidInput."""
    root = path.rstrip("/")
    if root and (not root.startswith("/") or root.startswith("//") or any(one in root for one in "\"'<>?#\\ ")):
        raise InvalidInput(name="--root-path", detail=f"must be a path such as /sessions, got {path!r}")
    return root
