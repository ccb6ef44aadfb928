"""A plugin for pytest that lets the suites of LangGraph use the saver and the store of redis_sessions.

The suites of LangGraph are a package `tests`, too, so this module is loaded by its own name.
"""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langgraph.checkpoint import memory
from langgraph.store import memory as store_memory

from redis_sessions.integrations.langgraph import RedisSessionsSaver, RedisSessionsStore

URL = os.environ["REDIS_SESSIONS_URL"]
FIXTURES = ("sync_checkpointer", "async_checkpointer", "sync_store", "async_store")
_number = itertools.count()
_made: list[RedisSessionsSaver | RedisSessionsStore] = []
_users = 0


class InMemorySaver(RedisSessionsSaver):
    """The saver, made as LangGraph's saver in memory is made."""

    def __init__(self, *, serde: Any = None) -> None:
        super().__init__(URL, namespace=f"suite{os.getpid()}-{next(_number)}", serde=serde)
        _made.append(self)


class InMemoryStore(RedisSessionsStore):
    """The store, made as LangGraph's store in memory is made."""

    def __init__(self) -> None:
        super().__init__(URL, namespace=f"suite{os.getpid()}-{next(_number)}")
        _made.append(self)


@contextmanager
def _made_by(kind: type[Any]) -> Iterator[Any]:
    yield kind()


def _replace(module: str, name: str, kind: type[Any]) -> None:
    """Let a fixture of the graph tests make our object. The tests of the checkpoint library have no such fixtures."""
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError:
        return
    setattr(found, name, lambda: _made_by(kind))


_replace("tests.conftest_checkpointer", "_checkpointer_memory", InMemorySaver)
_replace("tests.conftest_store", "_store_memory", InMemoryStore)
memory.InMemorySaver = memory.MemorySaver = InMemorySaver  # type: ignore[misc, assignment]
store_memory.InMemoryStore = InMemoryStore  # type: ignore[misc, assignment]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the runs with the framework's own savers and stores."""
    own = [item for item in items if _is_of_framework(item)]
    config.hook.pytest_deselected(items=own)
    items[:] = [item for item in items if item not in own]


def _is_of_framework(item: pytest.Item) -> bool:
    params = getattr(getattr(item, "callspec", None), "params", {})
    return any(params[name] not in ("memory", "in_memory") for name in FIXTURES if name in params)


@pytest.fixture(autouse=True)
def closes() -> Iterator[None]:
    """Close what a test made."""
    global _users
    yield
    _users += bool(_made)
    while _made:
        _made.pop().close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests used an object of redis_sessions."""
    terminalreporter.write_line(f"{_users} tests used redis_sessions")
