# Generated from ../_async/wakes.py by tools/mirror.py; edit that file.
"""Hears what the server tells this process, for all who wait in it, on one connection that is opened when first needed."""

from __future__ import annotations

import secrets
import time
from typing import Protocol

from redis.exceptions import AuthenticationError, NoPermissionError

from .._core.faults import Fault, Unreachable
from .._core.forks import in_child
from .._core.keys import wake_channel
from .._core.leases import ASK, Told, read_told
from ..errors import AccessDenied, InvalidInput
from . import background, io
from .nodes import Nodes

DEAF = 0.25  # seconds between two attempts while nothing can be heard


class Listener(Protocol):
    """Whoever is told."""

    def put(self, item: Told) -> None: ...


class Wakes:
    """Who waits in this process, by nonce, and the subscription on which they are told."""

    def __init__(self, nodes: Nodes, namespace: str) -> None:
        self._nodes = nodes
        self.namespace = namespace
        self._is_closed = False
        self._start()
        in_child(self._start)

    def _start(self) -> None:
        self.channel = wake_channel(self.namespace, secrets.token_hex(6))
        self._waiting: dict[str, Listener] = {}
        self._subscription: io.Subscription | None = None
        self._opening = io.Lock()
        self._deaf_until = 0.0

    @property
    def counted(self) -> bool:
        """Whether a message that nobody received says that its receiver is gone; a cluster counts one node's alone."""
        return not self._nodes.is_cluster

    @property
    def is_listening(self) -> bool:
        """Whether whoever waits will hear of it."""
        return self._subscription is not None

    def listen(self) -> None:
        """Returns when whatever is told from now on will be heard. Raises Unreachable, for all who try within a moment."""
        with self._opening:
            if self._is_closed:
                raise InvalidInput(name="cache", detail="it is closed")
            if self._subscription is None:
                if time.monotonic() < self._deaf_until:
                    raise Unreachable("nothing can be heard")
                try:
                    subscription = self._nodes.subscribe(self.channel)
                except Fault:
                    self._deaf_until = time.monotonic() + DEAF
                    raise
                self._subscription = subscription
                background.spawn(self._hear, subscription)

    def can_hear(self, where: str) -> bool:
        """Whether whatever is told from now on will be heard. Raises AccessDenied."""
        try:
            self.listen()
        except (AuthenticationError, NoPermissionError) as problem:
            raise AccessDenied(where=where, detail=str(problem)) from None
        except Fault:
            return False
        return True

    def rouse(self, nonce: str) -> None:
        """Has one of those who wait here ask again."""
        mailbox = self._waiting.get(nonce)
        if mailbox is not None:
            mailbox.put(ASK)

    def _hear(self, subscription: io.Subscription) -> None:
        try:
            while True:
                nonce, told = read_told(subscription.next())
                mailbox = self._waiting.get(nonce)
                if mailbox is not None:
                    mailbox.put(told)
        except Fault:
            pass
        finally:
            if self._subscription is subscription:
                self._subscription = None
            subscription.close()
            for mailbox in list(self._waiting.values()):
                mailbox.put(ASK)  # something may have been said meanwhile

    def expect(self, nonce: str) -> background.Mailbox[Told]:
        """Where a waiter is told."""
        mailbox: background.Mailbox[Told] = background.Mailbox()
        self.attach(nonce, mailbox)
        return mailbox

    def attach(self, nonce: str, listener: Listener) -> None:
        """Has somebody told what is said to a nonce."""
        self._waiting[nonce] = listener

    def forget(self, nonce: str) -> None:
        """Ends what `expect` began."""
        self._waiting.pop(nonce, None)

    def close(self) -> None:
        """For good; who still waits is told that the cache is closed."""
        self._is_closed = True
        if self._subscription is not None:
            self._subscription.close()
