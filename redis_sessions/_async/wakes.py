"""Hears what the server tells this process, for all who wait in it, on one connection that is opened when first needed."""

from __future__ import annotations

import os
import secrets

from .._core.faults import Fault
from .._core.keys import wake_channel
from .._core.leases import ASK, Told, read_told
from . import io
from .nodes import Nodes


class Wakes:
    """Who waits in this process, by nonce, and the subscription on which they are told."""

    def __init__(self, nodes: Nodes, namespace: str) -> None:
        self._nodes = nodes
        self.namespace = namespace
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self.channel = wake_channel(self.namespace, secrets.token_hex(6))
        self._waiting: dict[str, io.Mailbox[Told]] = {}
        self._subscription: io.Subscription | None = None
        self._opening = io.Lock()

    @property
    def counted(self) -> bool:
        """Whether a message that nobody received says that its receiver is gone; a cluster counts one node's alone."""
        return not self._nodes.is_cluster

    @property
    def is_listening(self) -> bool:
        """Whether whoever waits will hear of it."""
        return self._subscription is not None and self._pid == os.getpid()

    async def listen(self) -> None:
        """Returns when whatever is told from now on will be heard. Raises Unreachable."""
        if self._pid != os.getpid():
            self._start()  # a forked process has no thread that listens
        async with self._opening:
            if self._subscription is None:
                subscription = await self._nodes.subscribe(self.channel)
                self._subscription = subscription
                io.spawn(self._hear, subscription)

    async def _hear(self, subscription: io.Subscription) -> None:
        try:
            while True:
                nonce, told = read_told(await subscription.next())
                mailbox = self._waiting.get(nonce)
                if mailbox is not None:
                    mailbox.put(told)
        except Fault:
            pass
        finally:
            if self._subscription is subscription:
                self._subscription = None
            await subscription.close()
            for mailbox in list(self._waiting.values()):
                mailbox.put(ASK)  # something may have been said meanwhile

    def expect(self, nonce: str) -> io.Mailbox[Told]:
        """Where a waiter is told."""
        mailbox = self._waiting[nonce] = io.Mailbox()
        return mailbox

    def forget(self, nonce: str) -> None:
        """Ends what `expect` began."""
        self._waiting.pop(nonce, None)

    async def close(self) -> None:
        """For good; who still waits asks by himself."""
        if self._subscription is not None:
            await self._subscription.close()
