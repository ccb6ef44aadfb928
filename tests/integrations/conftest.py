"""Tests of the integrations. They need the frameworks: `make integrations` installs those, and runs these tests."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

FRAMEWORKS = (
    "agent_framework", "agents", "claude_agent_sdk", "google.adk", "langgraph", "mcp", "pydantic_ai", "strands",
)  # fmt: skip


def is_installed(name: str) -> bool:
    """Return whether a framework can be imported."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


missing = [name for name in FRAMEWORKS if not is_installed(name)]
if missing:
    pytest.exit(f"tests/integrations needs {', '.join(missing)}: run `make integrations`", returncode=2)
