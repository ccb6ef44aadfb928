"""The session service of google-adk: the framework's contract, on the framework's own services and on each engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from google.adk.sessions.in_memory_session_service import InMemorySessionService

from redis_sessions.integrations.google_adk import RedisSessionsSessionService
from tests.conftest import ENGINES, Engines

from .adk_contract import CASES

REFERENCES = ["memory"]
REFERENCES += ["sqlite"] if find_spec("aiosqlite") else []
REFERENCES += ["database"] if find_spec("aiosqlite") and find_spec("sqlalchemy") else []
MakeService = Callable[[], Any]


@pytest.fixture
def make_service(
    request: pytest.FixtureRequest, engines: Engines, namespace: str, tmp_path: Path
) -> Iterator[MakeService]:
    """Return a function that makes a service of each kind: those of the framework, and ours on each engine."""
    kind = str(request.param)
    if kind == "memory":
        service = InMemorySessionService()
        yield lambda: service
    elif kind == "sqlite":
        from google.adk.sessions.sqlite_session_service import SqliteSessionService

        yield lambda: SqliteSessionService(str(tmp_path / "sessions.db"))
    elif kind == "database":
        from google.adk.sessions.database_session_service import DatabaseSessionService

        yield lambda: DatabaseSessionService(f"sqlite+aiosqlite:///{tmp_path / 'sessions.db'}")
    else:
        ours = RedisSessionsSessionService(engines.url(kind), namespace=namespace)
        yield lambda: ours
        asyncio.run(ours.close())


@pytest.mark.parametrize(
    ("make_service", "name"),
    [(kind, name) for kind in [*REFERENCES, *ENGINES] for name, case in CASES.items() if kind not in case.broken_by],
    indirect=["make_service"],
)
def test_contract_is_kept(make_service: MakeService, name: str) -> None:
    """Each case of the contract holds for each service, but for those that the case names."""
    case = CASES[name]

    async def run() -> None:
        await case.body(make_service())

    asyncio.run(run())
