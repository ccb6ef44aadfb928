# Generated from _async/transport/notifications.py by tools/mirror.py; edit that file.
"""Hear what scripts publish to this process, for everything that waits in it, on one connection."""

from __future__ import annotations

import secrets
import time
from typing import Protocol

from redis.exceptions import AuthenticationError, NoPermissionError

from ..._core.protocol.keys import wake_channel
from ..._core.protocol.notifications import ASK, Notification, parse_notification
from ..._core.protocol.transport_errors import ConnectFailed, TransportError
from ..._fork import run_in_child
from ...errors import AccessDenied, InvalidInput
from . import primitives, tasks
from .router import Router

RETRY_SUBSCRIBE_SECONDS = 0.25
"""The pause between two attempts to subscribe. A waiter polls at this interval while the subscription is down."""


class Listener(Protocol):
    """An object that receives notifications."""

    def put(self, item: Notification) -> None: ...


class NotificationHub:
    """The subscription of this process, and the listeners by nonce. The subscription opens when it is first needed."""

    def __init__(self, router: Router, namespace: str) -> None:
        self._router = router
        self.namespace = namespace
        self._is_closed = False
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self.channel = wake_channel(self.namespace, secrets.token_hex(6))
        self._listeners: dict[str, Listener] = {}
        self._subscription: primitives.Subscription | None = None
        self._opening = primitives.Lock()
        self._retry_at = 0.0

    @property
    def counts_receivers(self) -> bool:
        """True if PUBLISH returning 0 proves that this process is gone.

        False in a cluster, where PUBLISH counts the subscribers of one node.
        """
        return not self._router.is_cluster

    @property
    def is_subscribed(self) -> bool:
        """True if the subscription is open."""
        return self._subscription is not None

    def _subscribe(self) -> None:
        """Return when every later notification will be heard. Raises ConnectFailed."""
        with self._opening:
            if self._is_closed:
                raise InvalidInput(name="cache", detail="the cache is closed")
            if self._subscription is None:
                if time.monotonic() < self._retry_at:
                    raise ConnectFailed("the subscription could not be opened")
                try:
                    subscription = self._router.subscribe(self.channel)
                except TransportError:
                    self._retry_at = time.monotonic() + RETRY_SUBSCRIBE_SECONDS
                    raise
                self._subscription = subscription
                tasks.spawn(self._receive, subscription)

    def try_subscribe(self, where: str) -> bool:
        """Return whether every later notification will be heard. Raises AccessDenied when the server refuses SUBSCRIBE."""
        try:
            self._subscribe()
        except (AuthenticationError, NoPermissionError) as problem:
            raise AccessDenied(where=where, detail=str(problem)) from None
        except TransportError:
            return False
        return True

    def _receive(self, subscription: primitives.Subscription) -> None:
        try:
            while True:
                nonce, notification = parse_notification(subscription.next())
                listener = self._listeners.get(nonce)
                if listener is not None:
                    listener.put(notification)
        except TransportError:
            pass
        finally:
            if self._subscription is subscription:
                self._subscription = None
            subscription.close()
            for listener in list(self._listeners.values()):
                listener.put(ASK)  # a notification may have been missed

    def register(self, nonce: str) -> tasks.Queue[Notification]:
        """Return a queue that receives the notifications for a nonce, until `unregister`."""
        queue: tasks.Queue[Notification] = tasks.Queue()
        self.attach(nonce, queue)
        return queue

    def attach(self, nonce: str, listener: Listener) -> None:
        """Hand the notifications for a nonce to a listener, until `unregister`."""
        self._listeners[nonce] = listener

    def unregister(self, nonce: str) -> None:
        """Stop handing over the notifications for a nonce."""
        self._listeners.pop(nonce, None)

    def wake(self, nonce: str) -> None:
        """Let a waiter of this process ask the server again."""
        listener = self._listeners.get(nonce)
        if listener is not None:
            listener.put(ASK)

    def close(self) -> None:
        """Close the subscription for good. Waiters fail with InvalidInput, because the cache is closed."""
        self._is_closed = True
        if self._subscription is not None:
            self._subscription.close()
