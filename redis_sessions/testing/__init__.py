"""For tests of code that uses this package: caches on a fake or a private real server, a clock to advance, a recorder.

The pytest fixtures are in `redis_sessions.testing.pytest_plugin`. Nothing here needs pytest but that module.
"""

from ._caches import fake_async_cache, fake_cache, server_cache
from ._clock import FakeClock, fake_clock
from ._recorder import RecordedCall, Recorder, record

__all__ = [
    "FakeClock",
    "RecordedCall",
    "Recorder",
    "fake_async_cache",
    "fake_cache",
    "fake_clock",
    "record",
    "server_cache",
]
