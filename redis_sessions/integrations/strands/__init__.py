"""Session manager and storage of Strands Agents.

    agent = Agent(session_manager=RedisSessionsSessionManager("chat-7", url="redis://localhost"))

A session of Strands is a session, and the messages of each of its agents are a part of the session.
"""

from ._session_manager import RedisSessionsSessionManager
from ._storage import RedisSessionsStorage

__all__ = ["RedisSessionsSessionManager", "RedisSessionsStorage"]
