"""Put work back into the queues of agents that lost it, as a failover in a cluster can make them."""

from __future__ import annotations

from collections.abc import Sequence

from ..._core.commands import run_queues
from ..._core.commands.run_queues import INBOX_QUEUE
from ..transport.executor import Executor
from .run_queues import RunQueues


async def requeue(executor: Executor, queues: RunQueues, ids: Sequence[str]) -> None:
    """Check the sessions that have work or an inbox, so that the queues of their agents have what the sessions say.

    Cost: one round trip, and one for each session with work or an inbox, two in a cluster.
    """
    all_keys = [queues.keys_of(id) for id in ids]
    found = await executor.run_many([run_queues.has_work(keys) for keys in all_keys])
    for keys, has_work in zip(all_keys, found, strict=True):
        reply = await queues.advance(keys) if has_work is True else None
        agent = INBOX_QUEUE if reply is None else queues.agent_of(keys, reply)
        if agent != INBOX_QUEUE:
            await queues.register_agent(agent)
