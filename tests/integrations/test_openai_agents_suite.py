"""The published tests of the OpenAI Agents SDK that use a session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integrations.crew import IS_LONG
from tests.integrations.suites.sdists import ROOT, sdist

_SQLITE = "looks into the connections, the tables or the file of SQLite"
_CLIENT = "looks into the client and the keys of the SDK's Redis session, or replaces its methods"
_NAME = "compares an error text with the name of the SDK's class"
_MEMORY = "tests/memory/test_session.py::test_sqlite_session_"
_SUFFIX = "tests/memory/test_compaction_suffix.py::test_"
_COMPACTION = "tests/memory/test_openai_responses_compaction_session.py::TestOpenAIResponsesCompactionSession::test_"
EXCLUDED = {
    **dict.fromkeys(
        [
            f"{_MEMORY}{name}"
            for name in (
                "close_closes_worker_thread_connections", "reaps_connections_from_exited_worker_threads",
                "closes_retired_connections_before_the_next_allocation", "keeps_connections_of_live_worker_threads",
                "pop_item_skips_corrupt_most_recent", "pop_item_returns_none_after_dropping_only_corrupt_rows",
                "get_items_limit_skips_corrupt_newest_rows", "get_items_session_settings_limit_skips_corrupt_rows",
                "file_lock_is_shared_across_instances", "failed_add_items_releases_write_lock",
                "failed_clear_session_rolls_back", "failed_pop_item_releases_write_lock",
                "rollback_failure_evicts_connection", "close_retries_quarantined_connection",
                "post_commit_cancellation_propagates_after_known_outcome",
            )
        ],
        _SQLITE,
    ),
    f"{_MEMORY}closed_rejects_empty_add_items": "calls `close` without await, as only SQLite sessions allow",
    f"{_SUFFIX}suffix_transaction_rolls_back_failed_insert": _SQLITE,
    f"{_SUFFIX}cancelled_suffix_transaction_settles_before_newer_append": _SQLITE,
    f"{_SUFFIX}failed_encrypted_suffix_transaction_preserves_original_tokens": _SQLITE,
    f"{_COMPACTION}settled_pop_failure_invalidates_response_chain": _SQLITE,
    f"{_COMPACTION}settled_clear_failure_invalidates_response_chain": _SQLITE,
    "tests/test_run_impl_resume_paths.py::test_handoff_resume_after_cancelled_compaction_commits": _SQLITE,
    **dict.fromkeys(
        [
            f"tests/extensions/memory/test_encrypt_session.py::test_encrypted_pop_{name}"
            for name in (
                "wrong_key_preserves", "rechecks_authentication_after_expired_tail",
                "authentication_is_atomic_with_concurrent_mutations",
                "cancellation_waits_for_authentication_rollback",
            )
        ],
        "the SDK authenticates within the removal for its own SQLite session only",
    ),
    "tests/extensions/memory/test_encrypt_session.py::test_encrypted_session_scan_budget_rejects_negative_limit_before_read":
        "a negative limit reads everything from SQLite, and nothing from Redis, in the SDK's own classes",
    "tests/extensions/memory/test_redis_session.py::test_redis_session_close": _NAME,
    "tests/extensions/memory/test_redis_session.py::test_redis_session_ping_raises_after_close": _NAME,
}  # fmt: skip
"""The tests that are left out, or the beginning of their names, with the reasons."""
REDIS_TESTS = [
    f"tests/extensions/memory/test_redis_session.py::test_{name}"
    for name in (
        "redis_session_direct_ops", "runner_integration", "session_isolation", "get_items_with_limit", "pop_from_empty_session",
        "add_empty_items_list", "unicode_content", "special_characters_and_json_safety",
        "data_integrity_with_problematic_strings", "concurrent_access", "redis_connectivity", "session_settings_default",
        "session_settings_constructor", "session_settings_from_url", "get_items_uses_session_settings_limit",
        "get_items_explicit_limit_overrides_session_settings", "session_settings_resolve",
        "runner_with_session_settings_override", "redis_compaction_preserves_encryption_wrapper",
    )
]  # fmt: skip
"""The black-box tests of the SDK's own Redis session. The others look into its client, its keys and its pipelines."""
SHORT = ["tests/memory/test_session_limit.py", "tests/memory/test_session_context_wrapper.py", *REDIS_TESTS]
LONG = [
    "tests/memory", *REDIS_TESTS, "tests/extensions/memory/test_encrypt_session.py", "tests/deferred_session_writes",
    "tests/test_soft_cancel.py", "tests/test_hitl_session_scenario.py", "tests/test_max_turns.py",
    "tests/test_tool_batch_failure_history.py", "tests/test_native_tool_failure_history.py",
    "tests/test_run_impl_resume_paths.py", "tests/test_tool_failure_boundaries.py",
]  # fmt: skip


@pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)
def test_suite_of_the_sdk_passes_on_redis(url: str) -> None:
    """The SDK's own tests pass with our session in the place of its SQLite and Redis sessions."""
    folder = sdist("openai-agents")
    command = [
        sys.executable, "-m", "pytest", "-p", "openai_agents_plugin", "-p", "no:cacheprovider", "-q", "--tb=short",
        "-W", "ignore", *(LONG if IS_LONG else SHORT),
    ]  # fmt: skip
    for name in EXCLUDED:
        command += ["--deselect", name]
    # The SDK's tests are a package `tests`, too, so the plugin is found by its folder.
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent / "suites")])
    environment = {**os.environ, "PYTHONPATH": paths, "REDIS_SESSIONS_URL": url, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
