"""The processes of the chat service: workers that answer, and clients that ask."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import signal
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from ..._async.api.cache import AsyncSessionCache
from ..._async.api.session import AsyncSession
from ..._sync.api.cache import SessionCache
from ..._sync.api.run import Run
from ...errors import InvalidInput, ReplyTimeout
from ...models.messages import Message
from ...models.results import SendResult

AGENT = "concierge"
QUESTIONS = 16
"""Questions in each session."""
LEASE_TTL = 1.0
_PAUSE_SECONDS = 1.2
"""The longest pause of a client between two questions."""
_WORK_SECONDS = 0.2
"""The longest time that an answer takes."""
_ASK_AGAIN_SECONDS = 3.0
"""The time without an answer after which a client looks whether the turn has failed."""
_GIVE_UP_SECONDS = 60.0


def answer(run: Run) -> None:
    """Answer the questions of a turn. Another attempt at the turn appends no look-up again, because of the batch IDs."""
    questions = [message for message in run.requests() if message.role == "user"]
    for question in questions:
        call, bag = f"find-{question.seq}", question.text.split()[-1]
        function = {"name": "find_bag", "arguments": json.dumps({"bag": bag})}
        run.append(
            {"role": "assistant", "tool_calls": [{"id": call, "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": call, "content": f"belt {question.seq % 9 + 1}"},
            batch_id=call,
        )
    time.sleep(random.uniform(_WORK_SECONDS / 4, _WORK_SECONDS))
    run.finish(*[_reply(question) for question in questions])


def _reply(question: Message) -> dict[str, Any]:
    return {"role": "assistant", "content": f"On belt {question.seq % 9 + 1}: bag {question.text.split()[-1]}"}


def is_answer(message: Message) -> bool:
    return message.role == "assistant" and "tool_calls" not in message.payload


def serve(url: str, namespace: str) -> None:
    """Answer turns until SIGTERM. Runs in a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the parent handles Ctrl-C
    logging.getLogger("redis_sessions").addHandler(logging.NullHandler())  # lost leases are part of the demo
    with SessionCache.from_url(url, namespace=namespace, retry_for="20s") as cache:
        cache.worker(AGENT, answer, concurrency=4, ttl=LEASE_TTL)


def ask(url: str, namespace: str, ids: list[str], pipe: Connection) -> None:
    """Ask in some sessions at once, and send the waits. Runs in a client process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe.send(asyncio.run(_ask_all(url, namespace, ids)))


async def _ask_all(url: str, namespace: str, ids: list[str]) -> list[float]:
    async with AsyncSessionCache.from_url(url, namespace=namespace, retry_for="20s") as cache:
        waits = await asyncio.gather(*[_converse(cache.session(id)) for id in ids])
    return [wait for some in waits for wait in some]


async def _converse(session: AsyncSession) -> list[float]:
    """Ask all questions of a session. Return the seconds that each answer took. Some questions come before an answer."""
    waits = []
    for number in range(1, QUESTIONS + 1):
        await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))
        began = time.monotonic()
        sent = await session.send(f"Where is bag {bag_of(session.id, number)}", batch_id=f"question.{number}")
        if number % 4 or number == QUESTIONS:
            await _wait_for_answer(session, sent)
            waits.append(time.monotonic() - began)
    return waits


async def _wait_for_answer(session: AsyncSession, sent: SendResult) -> None:
    """Wait for an answer. A turn whose workers died too often is tried again."""
    due = time.monotonic() + _GIVE_UP_SECONDS
    while time.monotonic() < due:
        try:
            await session.wait_for_reply(sent, timeout=_ASK_AGAIN_SECONDS)
            return
        except ReplyTimeout:
            with suppress(InvalidInput):  # another attempt began
                if (await session.info()).work == "failed":
                    await session.retry()


def bag_of(id: str, number: int) -> str:
    return f"{id[-2:]}-{number:02}"
