"""Scripts: what a client does, written once for threads and for asyncio.

A script is a generator. It yields a call to make, or seconds to sleep, and gets the result or the error of the call.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis_sessions import (
    LeaseLost,
    LimitExceeded,
    OutcomeUnknown,
    SessionLocked,
    SessionsError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from tests.soak.plan import Plan
from tests.support.history import Journal

Script = Generator[Callable[[], Any] | float, Any, Any]
TRANSIENT = (OutcomeUnknown, StoreUnavailable, StoreFull, StoreError, SessionLocked, LimitExceeded)
"""Errors of a client that are legal while faults are injected. The call is repeated."""
LEGAL_ERRORS = {error.__name__ for error in (*TRANSIENT, LeaseLost)} - {"StoreError"}
_PAUSE_SECONDS = 0.03


@dataclass
class Slot:
    """A client in a thread or a task of a process, and what it does next."""

    name: str
    cache: Any
    plan: Plan
    journal: Journal
    number: int = 0
    """The number of the operation. A successor of a killed process repeats the operation that was not acknowledged."""
    tries: int = 0
    """The turns that were begun for this operation."""
    is_new: bool = True
    """True for the first operation in this process."""


class OutcomeLost(Exception):
    """The outcome cannot be known any more, because the cap dropped the messages of that time."""


def run(script: Script) -> Any:
    """Run a script in this thread. Return what the script returns."""
    value, problem = None, None
    while True:
        try:
            step = script.throw(problem) if problem else script.send(value)
        except StopIteration as end:
            return end.value
        value, problem = None, None
        try:
            if isinstance(step, float):
                time.sleep(step)
            else:
                value = step()
        except Exception as failure:
            problem = failure


async def run_async(script: Script) -> Any:
    """Run a script as a task. Return what the script returns."""
    value, problem = None, None
    while True:
        try:
            step = script.throw(problem) if problem else script.send(value)
        except StopIteration as end:
            return end.value
        value, problem = None, None
        try:
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                value = step()
                if inspect.isawaitable(value):
                    value = await value
        except Exception as failure:
            problem = failure


def persist(journal: Journal, call: Callable[..., Any], *arguments: Any, **options: Any) -> Script:
    """Repeat a call with the same batch ID until its outcome is known. Return the result."""
    while True:
        try:
            return (yield partial(call, *arguments, **options))
        except TRANSIENT as problem:
            note(journal, problem)
            if isinstance(problem, OutcomeUnknown) and problem.waited == 0.0:
                raise OutcomeLost from problem
        yield _PAUSE_SECONDS


def note(journal: Journal, problem: SessionsError) -> None:
    """Write an error to the journal, with its text if the error is not expected."""
    name = type(problem).__name__
    journal.write(what="error", error=name, text="" if name in LEGAL_ERRORS else str(problem)[:300])
