"""What every handle of one cache shares."""

from __future__ import annotations

from typing import NamedTuple

from .._core.codec import TokenCounter
from ..settings import SessionSettings
from .calls import Calls
from .indexes import Indexes
from .queues import Queues
from .wakes import Wakes
from .watching import Watches


class Home(NamedTuple):
    """A cache, as its handles see it."""

    calls: Calls
    wakes: Wakes
    queues: Queues
    indexes: Indexes
    watches: Watches
    namespace: str
    settings: SessionSettings
    count: TokenCounter
    touch_on_read: bool
