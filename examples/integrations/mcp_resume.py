"""An MCP server whose client loses its connection, and resumes the call at another server: python mcp_resume.py [URL]."""

from __future__ import annotations

import asyncio
import socket
import sys
import warnings

import httpx2
import uvicorn
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer

from redis_sessions import SessionCache
from redis_sessions.integrations.mcp import RedisSessionsEventStore


def free_ports() -> list[int]:
    """Return two ports that no program uses."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return [first.getsockname()[1], second.getsockname()[1]]


PORTS = free_ports()


def make_server() -> MCPServer:
    """Return a server with one slow tool."""
    server = MCPServer("travel", log_level="ERROR")

    @server.tool()
    async def find_bag(context: Context) -> str:
        """Look for a bag."""
        await context.report_progress(1, 2, "looking in the train")
        await context.close_sse_stream()  # the connection breaks here
        await asyncio.sleep(0.5)
        await context.report_progress(2, 2, "looking in the station")
        return "The bag is in the station."

    return server


def serve(cache: SessionCache, port: int) -> uvicorn.Server:
    """Return a server for a port. In production each server is a process of its own."""
    server, store = make_server(), RedisSessionsEventStore(cache=cache)
    app = server.streamable_http_app(event_store=store, retry_interval=0)
    store.attach(server.session_manager)
    return uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))


class Balancer(httpx2.AsyncHTTPTransport):
    """A load balancer that sends a client that reconnects to the second server."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to a server."""
        port = PORTS["last-event-id" in request.headers]
        print(f"{request.method} goes to server {PORTS.index(port) + 1}")
        request.url = request.url.copy_with(port=port)
        return await super().handle_async_request(request)


async def ask() -> None:
    """Call the tool."""

    async def print_progress(progress: float, total: float | None, message: str | None) -> None:
        print(f"progress: {message}")

    async with httpx2.AsyncClient(transport=Balancer(retries=5), timeout=20) as http:
        transport = streamable_http_client(f"http://127.0.0.1:{PORTS[0]}/mcp", http_client=http)
        async with Client(transport, mode="legacy") as client:
            result = await client.call_tool("find_bag", {}, progress_callback=print_progress)
            print(f"result: {result.content[0].text}")


async def main(cache: SessionCache) -> None:
    """Start two servers, and call the tool."""
    servers = [serve(cache, port) for port in PORTS]
    running = [asyncio.create_task(server.serve()) for server in servers]
    await ask()
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*running)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with SessionCache.from_url(sys.argv[1] if len(sys.argv) > 1 else "embedded://") as cache:
        asyncio.run(main(cache))
