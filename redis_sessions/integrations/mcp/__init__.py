"""The MCP Python SDK: resumable streams for several server processes."""

from .event_store import RedisSessionsEventStore

__all__ = ["RedisSessionsEventStore"]
