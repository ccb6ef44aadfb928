"""The examples of the adapters for the Agents SDK, the Agent Framework and Pydantic AI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PRINTED = {
    "openai_agents_chat": [
        "You asked: And my coat? (I see 3 items.)",
        "popped: assistant",
        "left: 3",
        "listed: ['mia-42']",
    ],
    "agent_framework_history": ["You asked: And my coat? (I see 3 messages.)", "stored: 4"],
    "pydantic_ai_store": ["fork: 2 messages", "the conversation moved on", "left: ['what-if']"],
}


@pytest.mark.parametrize("name", PRINTED)
def test_example_prints_its_lines(name: str) -> None:
    """An example runs without an error on a fake server, and prints its lines."""
    command = [sys.executable, str(ROOT / "examples" / "integrations" / f"{name}.py"), "fake://"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in PRINTED[name] if line not in lines] == []
