"""LangGraph: a checkpointer and a store. `pip install 'redis-sessions[langgraph]'`."""

from .saver import RedisSessionsSaver

__all__ = ["RedisSessionsSaver"]
