"""The table of worst cases: each script is in it, and no call that meets long messages reads or runs much at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.worst_case import CASES
from benchmarks.worst_cases import transcripts
from benchmarks.worst_cases.stage import Act, Stage
from redis_sessions._core.protocol.scripts import names
from tests.support.servers import Server, binaries

MAX_COMMANDS = 4000
"""Commands that a call may run: about 6 ms."""
MAX_REPLY_BYTES = 3_300_000
"""Bytes of a page: about 1 MB, and the messages of the last step."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start a server, because the costs are those of a whole server."""
    found = Server(next(iter(binaries().values())))
    yield found
    found.stop()


def test_each_script_is_called_by_a_worst_case(server: Server) -> None:
    """No script is missing in the table."""
    called: set[str] = set()
    for case in CASES:
        stage = Stage(server, 1000, is_measured=False)
        try:
            case.act(stage)
        finally:
            stage.close()
        called |= set(stage.costs)
    assert set(names()) - called == set()


@pytest.mark.parametrize(
    "act",
    [
        transcripts.read_wide,
        transcripts.compact_wide,
        transcripts.fork_wide,
        transcripts.edit_wide,
        transcripts.pinned_at_cap,
        transcripts.kept_wide,
    ],
)
def test_call_with_long_messages_is_bounded(server: Server, act: Act) -> None:
    """No call of a script returns more than a page, or runs more commands than a page needs."""
    stage = Stage(server, 20)
    stage.message_bytes = 1_000_000
    try:
        act(stage)
    finally:
        stage.close()
    beyond = {
        name: max(costs)
        for name, costs in stage.costs.items()
        if max(cost.commands for cost in costs) > MAX_COMMANDS
        or max(cost.reply_bytes for cost in costs) > MAX_REPLY_BYTES
    }
    assert beyond == {}
