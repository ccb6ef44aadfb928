"""A live page on a fleet: problems, sessions, runs, workers and servers. `redis-sessions dashboard` serves it."""

try:
    import jinja2  # noqa: F401
    import starlette  # noqa: F401
except ImportError as problem:
    raise ImportError(
        f"redis_sessions.dashboard needs starlette and jinja2, which cannot be imported ({problem}):"
        " pip install 'redis-sessions[dashboard]'"
    ) from problem

from .app import dashboard_app

__all__ = ["dashboard_app"]
