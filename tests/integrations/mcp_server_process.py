"""A process with an MCP server whose streams can be resumed. Its arguments are port, URL and namespace."""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

from redis_sessions import AsyncSessionCache
from redis_sessions.integrations.mcp import RedisSessionsEventStore

GATE = "gate"
"""The session whose first message lets the tool `count` go on."""
DONE = "done"
"""The session that exists when a call of `count` is over."""


def make_server(cache: AsyncSessionCache) -> MCPServer:
    """Return a server with a tool that loses its connection half way."""
    server = MCPServer("numbers", log_level="ERROR")

    @server.tool()
    async def count(context: Context, name: str, numbers: int) -> str:
        """Tell the client the first number, close the stream, wait for the gate, and tell the client the other numbers."""
        await context.info(f"{name} 1")
        await context.close_sse_stream()
        gate = await cache.get_or_create(GATE)
        async for _ in gate.watch(timeout=20):
            break
        for number in range(2, numbers + 1):
            await context.info(f"{name} {number}")
        return f"{name} is done"

    return server


async def main(port: int, url: str, namespace: str) -> None:
    """Serve until the process is killed."""
    async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
        store = RedisSessionsEventStore(cache=cache)
        server = make_server(cache)
        app = server.streamable_http_app(event_store=store, retry_interval=0)
        store.attach(server.session_manager)
        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="error")).serve()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
