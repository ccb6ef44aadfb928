"""The objects that every handle of one cache shares."""

from __future__ import annotations

from typing import NamedTuple

from ...settings import SessionSettings, TokenCounter
from ..transport.executor import Executor
from ..transport.notifications import NotificationHub
from ..transport.renewal_thread import RenewalConnections
from .indexer import Indexer
from .run_queues import RunQueues
from .watcher import Watcher


class CacheContext(NamedTuple):
    """One cache, as its handles see it."""

    executor: Executor
    hub: NotificationHub
    run_queues: RunQueues
    indexer: Indexer
    watcher: Watcher
    renewals: RenewalConnections
    namespace: str
    settings: SessionSettings
    """The defaults for new sessions."""
    count: TokenCounter
    touch_on_read: bool
