"""LangGraph: a checkpointer and a store. `pip install 'redis-sessions[langgraph]'`."""

from .._shared import needs

with needs("langgraph", "langgraph"):
    from .saver import RedisSessionsSaver
    from .store import RedisSessionsStore

__all__ = ["RedisSessionsSaver", "RedisSessionsStore"]
