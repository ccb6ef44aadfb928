"""The published tests of LangGraph: the conformance kit, the graph tests, and those of savers and stores."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate

from redis_sessions.integrations.langgraph import RedisSessionsSaver
from tests.integrations.suites.sdists import ROOT, sdist

IS_LONG = bool(os.environ.get("REDIS_SESSIONS_SOAK"))
_PRIVATE = "reads private fields of InMemorySaver, or expects its asynchronous methods to call the synchronous ones"
_VECTORS = "needs vectors"
GRAPH_EXCLUDED = {
    "tests/test_channels.py::test_delta_channel_snapshot_version_based": _PRIVATE,
    "tests/test_delta_channel_supersteps_bound.py::test_anever_written_channel_is_not_walked": _PRIVATE,
    "tests/test_delta_channel_update_state.py::test_bulk_update_state_replays_updates_in_the_order_given": _PRIVATE,
}
_DELTA = "tests/test_memory.py::TestInMemorySaverDeltaChannel"
CHECKPOINT_EXCLUDED = {
    f"{_DELTA}::test_load_blobs_omits_delta_channel": _PRIVATE,
    f"{_DELTA}::test_get_channel_writes_collects_ancestor_writes_only": _PRIVATE,
    f"{_DELTA}::test_get_channel_writes_at_root_returns_empty": _PRIVATE,
    "tests/test_memory.py::TestBaseFallbackGetChannelWrites": _PRIVATE,
    "tests/test_memory.py::TestPreDeltaBlobTerminator": _PRIVATE,
    "tests/test_store.py::test_vector_search_scores_every_item": _VECTORS,
    "tests/test_store.py::test_vector_store_initialization": _VECTORS,
    "tests/test_store.py::test_vector_insert_with_auto_embedding": _VECTORS,
    "tests/test_store.py::test_async_vector_insert_with_auto_embedding": _VECTORS,
    "tests/test_store.py::test_vector_update_with_embedding": _VECTORS,
    "tests/test_store.py::test_async_vector_update_with_embedding": _VECTORS,
    "tests/test_store.py::test_vector_search_with_filters": _VECTORS,
    "tests/test_store.py::test_async_vector_search_with_filters": _VECTORS,
    "tests/test_store.py::test_async_batched_vector_search_concurrent": _VECTORS,
    "tests/test_store.py::test_vector_search_pagination": _VECTORS,
    "tests/test_store.py::test_async_vector_search_pagination": _VECTORS,
    "tests/test_store.py::test_embed_with_path": _VECTORS,
    "tests/test_store.py::test_non_ascii": _VECTORS,
}
SHORT = ("test_time_travel", "test_subgraph_persistence", "test_delta_channel_fork", "test_interruption")
"""The files that run each time. All files run with REDIS_SESSIONS_SOAK=1."""


def run_suite(package: str, files: Sequence[str], url: str, excluded: Mapping[str, str]) -> int:
    """Run test files of a package. Return how many tests used redis_sessions. Raises AssertionError when one fails."""
    folder = sdist(package)
    command = [sys.executable, "-m", "pytest", "-p", "langgraph_plugin", "-p", "no:cacheprovider", "-q", "-W", "ignore"]
    command += ["--rootdir", str(folder), "-o", "addopts=", "-o", "asyncio_mode=auto", *files]
    for name in excluded:
        command += ["--deselect", name]
    python_path = os.pathsep.join([str(ROOT), str(Path(__file__).parent / "suites")])
    environment = {"PYTHONPATH": python_path, "REDIS_SESSIONS_URL": url, "NO_DOCKER": "true", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) tests used redis_sessions", done.stdout)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("engine", ["valkey-9", "cluster"], indirect=True)
def test_conformance_kit_passes(url: str, namespace: str) -> None:
    """All 81 tests of the kit pass, those of optional methods, too."""

    @checkpointer_test(name="redis_sessions")
    async def saver() -> AsyncIterator[RedisSessionsSaver]:
        async with RedisSessionsSaver(url, namespace=namespace) as found:
            yield found

    report: Any = asyncio.run(validate(saver))
    results = report.results.values()
    assert [failure for one in results for failure in one.failures] == []
    assert sum(one.tests_passed for one in results) >= 81


@pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)
def test_suites_of_savers_and_stores_pass(url: str) -> None:
    """The tests of LangGraph's own saver and store pass with ours in their place."""
    files = ["tests/test_store.py", "tests/test_memory.py"]
    assert run_suite("langgraph-checkpoint", files, url, CHECKPOINT_EXCLUDED) > 20


@pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)
def test_graph_suite_passes(url: str) -> None:
    """The tests of LangGraph's graphs pass with our saver and store in place of those in memory."""
    files = ["tests"] if IS_LONG else [f"tests/{name}.py" for name in SHORT]
    assert run_suite("langgraph", files, url, GRAPH_EXCLUDED) > (900 if IS_LONG else 50)
