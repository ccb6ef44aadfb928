"""Hear what scripts publish to this process, for everything that waits in it, on one connection."""

from __future__ import annotations

import secrets
import time
from typing import Any, Protocol
from weakref import ref

from redis.exceptions import AuthenticationError, ResponseError

from ..._core.protocol.keys import wake_channel
from ..._core.protocol.notifications import ASK, Notification, parse_notification
from ..._core.protocol.transport_errors import ConnectFailed, ConnectImpossible, ConnectionRejected, TransportError
from ..._fork import run_in_child
from ..._log_events import SUBSCRIBE_REFUSED, error_facts
from ...errors import AccessDenied, InvalidInput, SessionsError, StoreError, StoreUnavailable
from . import connections, primitives, tasks
from .router import Router

RETRY_SUBSCRIBE_SECONDS = 0.25
"""The pause between two attempts to subscribe. A waiter polls at this interval while the subscription is down."""

_POLL_SECONDS = 10.0
"""The time for which waiters poll before SUBSCRIBE is tried again on a server that refused it."""
_REFUSED_PAUSE_SECONDS = 1.0
"""The pause before the subscription is opened again for listeners that do not wait, after the server refused the connection."""
_LOST = Notification("lost")


class Listener(Protocol):
    """An object that receives notifications."""

    def put(self, item: Notification) -> None: ...


class NotificationHub:
    """The subscription of this process, and the listeners by nonce. The subscription opens when it is first needed."""

    def __init__(self, router: Router, where: str, namespace: str) -> None:
        self._router, self._where = router, where
        self.namespace = namespace
        self._is_closed = False
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self.channel = wake_channel(self.namespace, secrets.token_hex(6))
        self._listeners: dict[str, Listener] = {}
        self._subscription: connections.Subscription | None = None
        self._receiver: Any = None
        self._opening = primitives.SharedAttempt[None](self._router.timeout)
        self._is_polling = self._is_kept_open = False
        self._retry_at = 0.0

    @property
    def counts_receivers(self) -> bool:
        """True if PUBLISH returning 0 proves that this process is gone.

        False in a cluster, where PUBLISH counts the subscribers of one node, and while this process polls.
        """
        return not self._router.is_cluster and not self._is_polling

    @property
    def is_cluster(self) -> bool:
        """True if there can be more than one node."""
        return self._router.is_cluster

    @property
    def is_subscribed(self) -> bool:
        """True if the subscription is open."""
        return self._subscription is not None

    async def _subscribe(self, due: float) -> None:
        """Return when every later notification will be heard. Raises TransportError, and the server's refusals."""
        if self._is_closed:
            raise InvalidInput(name="cache", detail="the cache is closed")
        if self._subscription is not None or self._is_polling:
            return
        if time.monotonic() < self._retry_at:
            raise ConnectFailed("the subscription could not be opened")
        try:
            subscription = await self._router.subscribe(self.channel, due)
        except TransportError:
            self._retry_at = time.monotonic() + RETRY_SUBSCRIBE_SECONDS
            raise
        if self._is_closed:
            await subscription.close()
            raise InvalidInput(name="cache", detail="the cache is closed")
        self._subscription = subscription
        self._receiver = tasks.try_spawn(_receive, ref(self), subscription)
        if self._receiver is None:
            self._subscription = None
            await subscription.close()
            raise ConnectFailed("the process can start no more threads")

    async def try_subscribe(self) -> bool:
        """Return whether every later notification will be heard, or waiters are woken at intervals instead.

        Waiters poll if the server refuses SUBSCRIBE. Raises AccessDenied, StoreError and StoreUnavailable for what waiting
        cannot mend.
        """
        if self._subscription is not None or self._is_polling:
            return True
        where = self._where
        try:
            await self._opening.join(self._subscribe, time.monotonic() + self._router.timeout)
        except AuthenticationError as problem:
            raise AccessDenied(where=where, detail=str(problem)) from None
        except ConnectionRejected as problem:
            raise StoreError(where=where, detail=str(problem)) from None
        except ConnectImpossible as problem:
            raise StoreUnavailable(where=where, waited=0.0, detail=str(problem)) from problem
        except ResponseError as problem:
            if not self._is_polling:
                self._is_polling = True
                text = "%s refuses SUBSCRIBE, so waiting polls: %s"
                SUBSCRIBE_REFUSED.log(text, where, problem, server=where, **error_facts(problem))
                tasks.spawn(self._poll)
        except TransportError:
            return False
        return True

    def keep_open(self) -> None:
        """Open the subscription in the background. Open it again whenever it is lost, as long as anything listens.

        A waiter opens the subscription itself. The holder of a lease waits for nothing, and must hear of its loss, too.
        """
        is_open = self.is_subscribed or self._is_polling
        if is_open or self._is_kept_open or self._is_closed or not self._listeners:
            return
        self._is_kept_open = True
        if tasks.try_spawn(self._reopen) is None:  # the next call tries again
            self._is_kept_open = False

    async def _reopen(self) -> None:
        try:
            while self._listeners and not self._is_closed:
                pause = RETRY_SUBSCRIBE_SECONDS
                try:
                    if await self.try_subscribe():
                        self.wake_all()  # a notification may have been missed before
                        return
                except SessionsError:  # the calls of the listeners report it
                    pause = _REFUSED_PAUSE_SECONDS
                await primitives.sleep(pause)
        finally:
            self._is_kept_open = False

    async def _poll(self) -> None:
        """Let all waiters ask the server again and again, because it refused SUBSCRIBE."""
        due, is_over = time.monotonic() + _POLL_SECONDS, False
        while not is_over:
            await primitives.sleep(RETRY_SUBSCRIBE_SECONDS)
            is_over = self._is_closed or not self._listeners or time.monotonic() >= due
            self._is_polling = not is_over
            self.wake_all()
        self.keep_open()

    def _hand_over(self, message: bytes) -> None:
        found = parse_notification(message)
        listener = self._listeners.get(found[0]) if found else None
        if found and listener is not None:
            listener.put(found[1])

    def _note_end(self, subscription: connections.Subscription, *, is_lost: bool) -> None:
        """Let all waiters ask the server, because a notification may have been missed."""
        if self._subscription is subscription:
            self._subscription = None
        self.wake_all()
        if is_lost:  # else the event loop or the cache ends
            self.keep_open()

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

    def wake_all(self) -> None:
        """Let all waiters of this process ask the server again."""
        for listener in list(self._listeners.values()):
            listener.put(ASK)

    def notify_closed(self) -> None:
        """Let all waiters ask the server again, and all holders of leases renew them, because the cache is closed."""
        for listener in list(self._listeners.values()):
            listener.put(_LOST)

    async def close(self) -> None:
        """Close the subscription for good. Waiters fail with InvalidInput, because the cache is closed."""
        self._is_closed = True
        await self._drop()

    async def _drop(self) -> None:
        if self._subscription is not None:
            await self._subscription.close()
            tasks.cancel(self._receiver)

    def __del__(self) -> None:
        if tasks.run_at_once is not None:  # else the interpreter ends, and clears its modules
            tasks.run_at_once(self._drop)


async def _receive(found: ref[NotificationHub], subscription: connections.Subscription) -> None:
    """Hand over what a subscription hears. It holds the hub weakly: a hub that was dropped closes its subscription."""
    is_lost = False
    try:
        while (hub := found()) is not None:
            del hub
            message = await subscription.next()
            hub = found()
            if hub is not None:
                hub._hand_over(message)
                del hub
    except TransportError:
        is_lost = True
    finally:
        await subscription.close()
        hub = found()
        if hub is not None:
            hub._note_end(subscription, is_lost=is_lost)
