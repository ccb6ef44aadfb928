"""The MCP Python SDK: an event store with which clients resume streams at any server process."""

from .._shared import needs

with needs("mcp", "mcp"):
    from .event_store import RedisSessionsEventStore

__all__ = ["RedisSessionsEventStore"]
