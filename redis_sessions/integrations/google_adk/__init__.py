"""Sessions of Google's Agent Development Kit (google-adk).

runner = Runner(agent=agent, app_name="shop", session_service=RedisSessionsSessionService("redis://localhost"))
"""

from .._shared import needs

with needs("google-adk", "google-adk"):
    from ._service import RedisSessionsSessionService

__all__ = ["RedisSessionsSessionService"]
