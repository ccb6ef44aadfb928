"""`mcp`: serve session tools to a model by the Model Context Protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import AsyncSessionCache, __version__
from .._durations import whole
from ..errors import InvalidInput
from .addresses import listen_on, parse_address, show_address
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Namespace, Url, app, print_notice, shared_url
from .codec_options import codec_options
from .mcp_bounds import ReplyBounds

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""The hosts for which the SDK refuses the requests of web pages that gave this machine another name."""


@app.command()
def mcp(
    allow_writes: Annotated[
        bool,
        typer.Option("--allow-writes", help="Offer the tools send and spawn, too. Default: tools that only read."),
    ] = False,
    http: Annotated[
        str | None,
        typer.Option(
            "--http",
            help="Serve streamable HTTP at this HOST:PORT of the own machine, path /mcp, such as 127.0.0.1:8000.",
            show_default="standard input and output",
        ),
    ] = None,
    max_messages: Annotated[int, typer.Option("--max-messages", help="Messages that one reply holds, 1 to 200.")] = 200,
    max_bytes: Annotated[int, typer.Option("--max-bytes", help="Bytes that one reply holds, 2048 to 1048576.")] = 64
    * 1024,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Serve the tools list, status and history to a model, as an MCP server. With --allow-writes also send and spawn."""
    bounds = ReplyBounds(
        whole(max_messages, "--max-messages", minimum=1, maximum=200),
        whole(max_bytes, "--max-bytes", minimum=2048, maximum=1024 * 1024),
    )
    address = None if http is None else parse_address(http, "--http", "127.0.0.1:8000")
    if address is not None and address[0] not in _LOOPBACK:
        hosts = ", ".join(_LOOPBACK)
        detail = f"must name this machine ({hosts}), because the server asks for no password, got {address[0]!r}"
        raise InvalidInput(name="--http", detail=detail)
    cache = AsyncSessionCache.from_url(shared_url(url), namespace=namespace, **codec_options())
    try:
        from .mcp_server import make_server, serve_stdio
    except ImportError as problem:
        detail = f"needs the package mcp 2.1 or newer ({problem}): pip install 'redis-sessions[mcp,cli]'"
        raise InvalidInput(name="mcp", detail=detail) from None

    async def serve() -> None:
        async with cache:
            server = make_server(cache, bounds, allow_writes=allow_writes, version=__version__)
            await (serve_stdio(server) if address is None else _serve_http(server, *address))

    asyncio.run(serve())


async def _serve_http(server: Server[Any], host: str, port: int) -> None:
    """Serve HTTP until a signal."""
    import uvicorn

    app = server.streamable_http_app(host=host)
    listener = listen_on(host, port, "--http")
    print_notice(f"serving http://{show_address(host, listener.getsockname()[1])}/mcp")
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])
