"""Random programs over the session service of google-adk and the framework's service in memory."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.genai import types

from redis_sessions.integrations.google_adk import RedisSessionsSessionService
from tests.conftest import Engines
from tests.integrations.programs import SEEDS, Chance, outcome

APPS, USERS, SESSIONS = ("app", "é {x}"), ("u", "bob x", "u/1"), ("s", "s2", "é")
KEYS = ["k", "é", "", "=x", "a\nb", "x" * 250, "app:a", "app:é", "app:", "app:temp:x", "user:u", "user:", "temp:t"]
VALUES: list[Any] = [1, None, "é💥", [1, {"a": None}], {"x": {}}, True, 1.5, 2**60, "", [], 2**53 + 1, 1e22]
PARTS = [
    types.Part(text="é\n"), types.Part(function_call=types.FunctionCall(name="f", args={"a": [1, None]}, id="c")),
    types.Part(inline_data=types.Blob(data=b"\0\xff", mime_type="image/png")), types.Part(thought=True, text="t"),
]  # fmt: skip
FIRST_SECOND = 10**9
ERRORS = (AlreadyExistsError, SessionNotFoundError, StaleSessionError)


def new_state(chance: Chance) -> dict[str, Any]:
    """Return values for all scopes."""
    return {chance.choice(KEYS): chance.choice(VALUES) for _ in range(chance.choice([0, 1, 3]))}


def new_event(chance: Chance, second: int) -> Event:
    """Return an event."""
    parts = [chance.choice(PARTS) for _ in range(chance.randint(0, 2))]
    actions = EventActions(state_delta=new_state(chance), artifact_delta=chance.choice([{}, {"f": 1}]))
    return Event(
        id=Event.new_id(), author=chance.choice(["user", "agent"]), invocation_id=chance.choice(["i", ""]), actions=actions,
        content=chance.choice([None, types.Content(role="model", parts=parts)]), timestamp=second + 0.123456,
        partial=chance.choice([None, None, False, True]), error_code=chance.choice([None, "E"]),
        branch=chance.choice([None, "a.b"]), custom_metadata=chance.choice([None, {"m": [1]}]),
    )  # fmt: skip


def plain(session: Any) -> Any:
    """Return a session without its time."""
    events = [] if session is None else [event.model_dump() for event in session.events]
    return session and (session.app_name, session.user_id, session.id, session.state, events)


async def append(chance: Chance, second: int, names: dict[str, str], both: list[Any]) -> None:
    """Append an event to each service's own session, at times twice."""
    sessions = [await one.get_session(**names) for one in both]
    event = new_event(chance, second)
    for _ in range(chance.choice([1, 1, 2])):
        if sessions[1] is None:
            break
        calls = [
            one.append_event(session, event.model_copy(deep=True)) for one, session in zip(both, sessions, strict=True)
        ]
        found, wanted = [await outcome(call, *ERRORS) for call in calls]
        assert found == wanted
    assert plain(sessions[0]) == plain(sessions[1])


async def step(chance: Chance, second: int, both: list[Any]) -> None:
    """Do one thing in both services."""
    app, user, id = chance.choice(APPS), chance.choice(USERS), chance.choice(SESSIONS)
    names, action = {"app_name": app, "user_id": user, "session_id": id}, chance.choice("ccaaaaggld")
    if action == "c":
        given = {**names, "session_id": chance.choice([id, f"  {id} "]), "state": new_state(chance)}
        found, wanted = [await outcome(one.create_session(**copy.deepcopy(given)), *ERRORS) for one in both]
        assert (plain(found[0]), found[1]) == (plain(wanted[0]), wanted[1])
    elif action == "a":
        await append(chance, second, names, both)
    elif action == "g":
        after = chance.choice([None, 0, FIRST_SECOND + chance.randint(0, 40), 2e10])
        config = GetSessionConfig(num_recent_events=chance.choice([None, 0, 1, 3]), after_timestamp=after)
        found, wanted = [await one.get_session(**names, config=config) for one in both]
        assert plain(found) == plain(wanted)
        found, wanted = [await one.get_user_state(app_name=app, user_id=user) for one in both]
        assert found == wanted
    elif action == "l":
        given = {"app_name": app, "user_id": chance.choice([None, user])}
        found, wanted = [(await one.list_sessions(**given)).sessions for one in both]
        found, wanted = [sorted(map(plain, one), key=lambda session: session[1:3]) for one in (found, wanted)]
        assert found == wanted
    elif chance.is_true(0.4):
        for one in both:
            await one.delete_session(**names)


@pytest.mark.parametrize("seed", SEEDS)
def test_service_answers_as_the_service_in_memory(seed: int, engines: Engines, namespace: str) -> None:
    """Random creations, appends, reads, lists and deletions by two services have the results of the framework's own."""

    async def main() -> None:
        url, chance, theirs = (
            engines.url("cluster" if seed == 0 else "valkey-9"),
            Chance(seed),
            InMemorySessionService(),
        )
        services = [RedisSessionsSessionService(url, namespace=namespace) for _ in range(2)]
        for number in range(40):
            await step(chance, FIRST_SECOND + number, [chance.choice(services), theirs])
        for service in services:
            await service.close()

    asyncio.run(main())
