"""The published tests of Strands Agents for repositories, session managers and storages."""

from __future__ import annotations

import pytest

from tests.integrations.suites.sdists import run_suite

_FILES = "reads or names the files of the framework's own manager"
_MEMORY = "reads the memory of the framework's own storage, or calls its clear(), which Storage does not have"
_EPHEMERAL = "is about a storage that does not outlive its process"
_FILE_TESTS = (
    "test_create_session", "test_delete_session", "test_create_agent", "test_create_message", "test_message_durable_id_persists",
    "test_corrupted_json_file", "test__get_session_path_invalid_session_id", "test__get_agent_path_invalid_agent_id",
    "test__get_message_path_invalid_message_id", "test_create_multi_agent", "test_create_session_multi_agent_directory_structure",
)  # fmt: skip
_STASH_TESTS = (
    "test_save_includes_inline_stash_for_ephemeral_storage", "test_save_omits_stash_when_empty",
    "test_immutable_snapshot_includes_stash", "test_ephemeral_detection_survives_namespacing",
)  # fmt: skip
EXCLUDED = {
    **{f"tests/strands/session/test_file_session_manager.py::{name}": _FILES for name in _FILE_TESTS},
    "tests/strands/storage/test_in_memory_storage.py::TestInMemoryStorage::test_clear": _MEMORY,
    "tests/strands/storage/test_in_memory_storage.py::TestInMemoryStorage::test_namespace_clear_only_clears_prefix": _MEMORY,
    "tests/strands/storage/search/test_keyword.py::TestKeywordSearch::test_skips_keys_where_read_returns_none": _MEMORY,
    **{
        f"tests/strands/session/test_snapshot_session_manager.py::TestSnapshotStashIntegration::{name}": _EPHEMERAL
        for name in _STASH_TESTS
    },
}
FILES = [
    "tests/strands/session/test_repository_session_manager.py",
    "tests/strands/session/test_file_session_manager.py",
    "tests/strands/session/test_snapshot_session_manager.py",
    "tests/strands/storage/test_in_memory_storage.py",
    "tests/strands/storage/test_storage.py",
    "tests/strands/storage/search",
    "tests/strands/agent/test_agent_storage.py",
]


@pytest.mark.parametrize("engine", ["valkey-9"], indirect=True)
def test_suite_of_strands_passes_on_redis(url: str) -> None:
    """The framework's own tests pass with the manager and the storage in the place of those in files and in memory."""
    pytest.importorskip("moto", reason="the tests of Strands import moto")
    run_suite("strands-agents", "plugin_strands", FILES, url, EXCLUDED)
