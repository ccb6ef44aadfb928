"""Engines of the tests of the dashboard: the fake and one real server, because pages use public methods only."""

from __future__ import annotations

import pytest

from tests.conftest import Engines


@pytest.fixture(params=["fake", "valkey-9"])
def engine(request: pytest.FixtureRequest, engines: Engines) -> str:
    """Return the name of an engine, each of the two in turn."""
    name = str(request.param)
    engines.url(name)
    return name
