"""The published tests of the Claude Agent SDK that use a session store."""

from __future__ import annotations

import pytest

from tests.integrations.suites.sdists import run_suite

_ONE_CLOCK_TICK = "wants two appends within one millisecond to have different times in milliseconds"
_WITHOUT_WAITING = "counts turns of the event loop, and a store that asks a server needs more of them"
EXCLUDED = {
    "tests/test_session_helpers_store.py::TestListSessionsFromStore::test_load_concurrency_is_bounded": _WITHOUT_WAITING,
    "tests/test_transcript_mirror.py::TestReceiveLoopFramePeeling::test_eager_flush_mode_appends_per_frame_before_result":
        _WITHOUT_WAITING,
    "tests/test_session_summary.py::TestListSessionsFromStoreFastPath::test_gap_fill_bounded_concurrency": _WITHOUT_WAITING,
    "tests/test_session_summary.py::TestListSessionsFromStoreFastPath::test_mixed_sessions_gap_filled": _ONE_CLOCK_TICK,
    "tests/test_session_resume.py::TestTimeoutsAndErrors::test_cancelled_after_mkdtemp_cleans_temp_dir": _WITHOUT_WAITING,
}  # fmt: skip
FILES = [
    f"tests/test_{name}.py"
    for name in (
        "session_helpers_store", "session_store_conformance", "session_resume", "session_import", "transcript_mirror",
        "session_summary",
    )
]  # fmt: skip


@pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)
def test_suite_of_the_sdk_passes_on_redis(url: str) -> None:
    """The SDK's own tests pass with the store in the place of the one in memory, under asyncio and trio."""
    run_suite("claude-agent-sdk", "plugin_claude", FILES, url, EXCLUDED)
