"""The contract of a session service of google-adk, as its own services keep it. Each case takes an empty service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions, EventCompaction
from google.adk.platform import time as platform_time
from google.adk.platform import uuid as platform_uuid
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.session import Session
from google.genai import types

APP, USER = "shop", "mia"
Body = Callable[[Any], Awaitable[None]]


class Case(NamedTuple):
    """One case, and the services of the framework that do not keep it."""

    body: Body
    broken_by: frozenset[str]


CASES: dict[str, Case] = {}


def case(*broken_by: str) -> Callable[[Body], Body]:
    """Register a case. `broken_by`: services of the framework that do otherwise."""

    def register(body: Body) -> Body:
        CASES[body.__name__] = Case(body, frozenset(broken_by))
        return body

    return register


def event(text: str = "hi", author: str = "user", **fields: Any) -> Event:
    """Return an event with a text."""
    role = "user" if author == "user" else "model"
    return Event(
        author=author, invocation_id=fields.pop("invocation_id", "i"),
        content=types.Content(role=role, parts=[types.Part(text=text)]), **fields,
    )  # fmt: skip


def change(delta: dict[str, Any], **fields: Any) -> Event:
    """Return an event that changes the state."""
    return Event(author="agent", invocation_id="i", actions=EventActions(state_delta=delta), **fields)


async def create(service: Any, **given: Any) -> Session:
    """Return a new session of the user."""
    return await service.create_session(**{"app_name": APP, "user_id": USER, **given})


async def get(service: Any, session: Session, **config: Any) -> Session:
    """Return a session as it is stored."""
    found = await service.get_session(
        app_name=session.app_name, user_id=session.user_id, session_id=session.id,
        config=GetSessionConfig(**config) if config else None,
    )  # fmt: skip
    assert found is not None
    return found


async def listed(service: Any, user_id: str | None = USER, app_name: str = APP) -> list[Session]:
    """Return the sessions of a user, or of all users."""
    return list((await service.list_sessions(app_name=app_name, user_id=user_id)).sessions)


# -- create ----------------------------------------------------------------------------------------------------------------


@case()
async def session_without_state_is_created(service: Any) -> None:
    """A new session has its names, no events, no state and a time."""
    session = await create(service)
    assert (session.app_name, session.user_id, session.events, session.state) == (APP, USER, [], {})
    assert session.id
    assert session.last_update_time > 0


@case()
async def given_id_is_kept(service: Any) -> None:
    """A session has the ID that was given."""
    assert (await create(service, session_id="one")).id == "one"
    assert (await get(service, Session(id="one", app_name=APP, user_id=USER))).id == "one"


@case()
async def new_ids_differ(service: Any) -> None:
    """Sessions without a given ID have different IDs."""
    assert len({(await create(service)).id for _ in range(5)}) == 5


@case()
async def id_provider_makes_the_ids(service: Any) -> None:
    """A new ID comes from the provider of the platform."""
    platform_uuid.set_id_provider(lambda: "made")
    try:
        assert (await create(service)).id == "made"
    finally:
        platform_uuid.reset_id_provider()


@case("sqlite", "database")
async def white_space_around_an_id_is_cut(service: Any) -> None:
    """White space around an ID does not count, when a session is created, read and deleted."""
    session = await create(service, session_id="  one ")
    assert session.id == "one"
    assert await service.get_session(app_name=APP, user_id=USER, session_id=" one") is not None
    await service.delete_session(app_name=APP, user_id=USER, session_id="one ")
    assert await service.get_session(app_name=APP, user_id=USER, session_id="one") is None


@case("sqlite", "database")
async def blank_id_gives_a_new_id(service: Any) -> None:
    """An ID of white space counts as no ID, because a session without a name could not be read again."""
    if type(service).__name__ == "InMemorySessionService":
        return
    assert (await create(service, session_id="  ")).id.strip()


@case()
async def second_session_with_an_id_is_refused(service: Any) -> None:
    """A second session with the same names raises AlreadyExistsError, and leaves the first one as it is."""
    first = await create(service, session_id="one", state={"a": 1})
    await service.append_event(first, event())
    with pytest.raises(AlreadyExistsError):
        await create(service, session_id="one", state={"a": 2, "b": 1})
    found = await get(service, first)
    assert (found.state["a"], "b" in found.state, len(found.events)) == (1, False, 1)


@case()
async def second_session_without_events_is_refused(service: Any) -> None:
    """A second session is refused although the first one was never written."""
    await create(service, session_id="one")
    with pytest.raises(AlreadyExistsError):
        await create(service, session_id="one")


@case()
async def refused_session_changes_no_scope(service: Any) -> None:
    """A session that is refused does not change the state of the application and the user."""
    await create(service, session_id="one", state={"app:a": 1, "user:u": 1})
    with pytest.raises(AlreadyExistsError):
        await create(service, session_id="one", state={"app:a": 2, "user:u": 2})
    found = await create(service)
    assert found.state == {"app:a": 1, "user:u": 1}


@case()
async def same_id_of_other_users_and_applications_is_another_session(service: Any) -> None:
    """Sessions of other users and applications may have the same ID."""
    await create(service, session_id="one", state={"a": 1})
    await create(service, session_id="one", user_id="bob", state={"a": 2})
    await create(service, session_id="one", app_name="bank", state={"a": 3})
    for number, names in enumerate([(APP, USER), (APP, "bob"), ("bank", USER)], 1):
        found = await get(service, Session(id="one", app_name=names[0], user_id=names[1]))
        assert found.state == {"a": number}


@case()
async def initial_state_is_split_into_scopes(service: Any) -> None:
    """The initial state has values of the session, the user and the application. Values of temp: are not stored."""
    session = await create(service, state={"a": 1, "user:u": 2, "app:p": 3, "temp:t": 4})
    assert session.state == {"a": 1, "user:u": 2, "app:p": 3}
    assert (await get(service, session)).state == session.state
    assert (await create(service, user_id="bob")).state == {"app:p": 3}
    assert (await create(service)).state == {"user:u": 2, "app:p": 3}


@case()
async def nested_state_is_kept(service: Any) -> None:
    """Values of the state may be any JSON."""
    state = {
        "a": {"b": [1, 2.5, "x", None, True, {"c": []}]},
        "e": "",
        "é ü": {},
        "n": None,
        "user:a": [{}],
        "app:x": {"k": "v"},
    }
    session = await create(service, state=state)
    assert (await get(service, session)).state == state


@case()
async def returned_state_is_a_copy(service: Any) -> None:
    """A change of a returned object does not change what is stored."""
    state = {"a": {"b": 1}, "user:u": {"b": 1}}
    session = await create(service, state=state)
    session.state["a"]["b"] = 2
    session.state["user:u"]["b"] = 2
    session.state["new"] = 1
    session.events.append(event())
    found = await get(service, session)
    assert (found.state, found.events) == ({"a": {"b": 1}, "user:u": {"b": 1}}, [])


@case()
async def time_of_creation_comes_from_the_platform(service: Any) -> None:
    """The time of a session without events is that of the platform's clock when it was created."""
    platform_time.set_time_provider(lambda: 1234.5)
    try:
        session = await create(service)
    finally:
        platform_time.reset_time_provider()
    assert session.last_update_time == 1234.5
    assert (await get(service, session)).last_update_time == 1234.5


# -- get -------------------------------------------------------------------------------------------------------------------


@case()
async def missing_session_is_none(service: Any) -> None:
    """A session that does not exist is None, for each name that is another one."""
    session = await create(service)
    for names in ((APP, USER, "x"), (APP, "x", session.id), ("x", USER, session.id)):
        assert await service.get_session(app_name=names[0], user_id=names[1], session_id=names[2]) is None


@case()
async def events_come_back_equal_and_in_order(service: Any) -> None:
    """Events come back as they were appended, in their order."""
    session = await create(service)
    appended = [
        await service.append_event(session, event(str(number), timestamp=100.0 + number)) for number in range(7)
    ]
    found = await get(service, session)
    assert found.events == appended
    assert [one.id for one in found.events] == [one.id for one in appended]


@case()
async def every_field_of_an_event_is_kept(service: Any) -> None:
    """All that an event can have comes back: parts of each kind, metadata, actions, errors, branches and times."""
    rich = Event(
        author="agent", invocation_id="inv-1", branch="a.b", turn_complete=True, error_code="E", error_message="boom",
        interrupted=False, timestamp=1700000000.123456, long_running_tool_ids={"c1", "c2"},
        custom_metadata={"k": [1, {"n": None}]}, output={"o": [1]},
        content=types.Content(role="model", parts=[
            types.Part(text="thought", thought=True, thought_signature=b"\x00\xff"),
            types.Part(function_call=types.FunctionCall(id="c1", name="f", args={"a": {"b": [1]}})),
            types.Part(function_response=types.FunctionResponse(id="c1", name="f", response={"r": "ü"})),
            types.Part(inline_data=types.Blob(data=bytes(range(256)), mime_type="x/y")),
            types.Part(file_data=types.FileData(file_uri="gs://a", mime_type="x/y")),
        ]),
        grounding_metadata=types.GroundingMetadata(web_search_queries=["q"]),
        usage_metadata=types.GenerateContentResponseUsageMetadata(prompt_token_count=5),
        actions=EventActions(
            state_delta={"a": 1}, artifact_delta={"f": 3}, transfer_to_agent="x", escalate=True,
            skip_summarization=True, agent_state={"s": 1}, end_of_agent=True, route=["a", 1],
        ),
    )  # fmt: skip
    session = await create(service)
    await service.append_event(session, rich)
    (found,) = (await get(service, session)).events
    assert found == rich
    assert found.timestamp == 1700000000.123456


@case()
async def recent_events_are_limited(service: Any) -> None:
    """A limit gives the newest events, in their order. 0 gives none, and a large limit gives all."""
    session = await create(service, state={"a": 1})
    for number in range(6):
        await service.append_event(session, event(str(number), timestamp=10.0 + number))
    for limit, expected in ((2, ["4", "5"]), (0, []), (6, list("012345")), (99, list("012345"))):
        found = await get(service, session, num_recent_events=limit)
        assert [one.content.parts[0].text for one in found.events] == expected
        assert found.state == {"a": 1}
        assert found.last_update_time == 15.0


@case()
async def events_after_a_time_are_selected(service: Any) -> None:
    """A time gives the events of this time and later ones."""
    session = await create(service)
    for number in range(6):
        await service.append_event(session, event(str(number), timestamp=10.0 + number))
    for time, count in ((12.0, 4), (12.5, 3), (15.0, 1), (15.1, 0), (0.0, 6), (1.0, 6)):
        found = await get(service, session, after_timestamp=time)
        assert [one.timestamp for one in found.events] == [16.0 - left for left in range(count, 0, -1)]


@case()
async def limit_and_time_are_combined(service: Any) -> None:
    """With a limit and a time the newest events of that time are returned, as many as the limit says at most."""
    session = await create(service)
    for number in range(6):
        await service.append_event(session, event(str(number), timestamp=10.0 + number))
    for limit, time, expected in ((2, 11.0, [14.0, 15.0]), (5, 14.0, [14.0, 15.0]), (1, 99.0, [])):
        found = await get(service, session, num_recent_events=limit, after_timestamp=time)
        assert [one.timestamp for one in found.events] == expected


@case()
async def negative_limit_is_refused(service: Any) -> None:
    """A negative limit raises ValueError, as the framework's configuration says."""
    with pytest.raises(ValueError, match="num_recent_events"):
        GetSessionConfig(num_recent_events=-1)


@case()
async def session_with_a_limit_takes_events(service: Any) -> None:
    """A session that was read with a part of its events takes the next event."""
    session = await create(service)
    for number in range(4):
        await service.append_event(session, event(str(number)))
    part = await get(service, session, num_recent_events=1)
    await service.append_event(part, event("next"))
    assert len((await get(service, session)).events) == 5
    nothing = await get(service, session, num_recent_events=0)
    await service.append_event(nothing, event("last"))
    assert len((await get(service, session)).events) == 6


@case()
async def long_session_is_read_whole(service: Any) -> None:
    """A session of more than 1,000 events is read whole. The framework's services have no pages, so they get fewer."""
    session = await create(service)
    count = 1100 if type(service).__module__.startswith("redis_sessions") else 110
    for number in range(count):
        await service.append_event(session, event(str(number), timestamp=1000.0 + number))
    found = await get(service, session)
    assert [one.content.parts[0].text for one in found.events] == [str(number) for number in range(count)]
    assert len((await get(service, session, num_recent_events=count - 50)).events) == count - 50


# -- append ----------------------------------------------------------------------------------------------------------------


@case()
async def appended_event_is_returned_and_added(service: Any) -> None:
    """An append returns the event, and adds it to the session object, with its time."""
    session = await create(service)
    one = event(timestamp=77.25)
    assert await service.append_event(session, one) is one
    assert session.events == [one]
    assert session.last_update_time == 77.25
    assert (await get(service, session)).last_update_time == 77.25


@case()
async def partial_event_is_not_stored(service: Any) -> None:
    """A partial event is returned as it is, and changes nothing."""
    session = await create(service)
    one = event(partial=True, actions=EventActions(state_delta={"a": 1, "temp:t": 1}))
    assert await service.append_event(session, one) is one
    assert (session.events, session.state) == ([], {})
    found = await get(service, session)
    assert (found.events, found.state) == ([], {})


@case()
async def partial_event_of_a_missing_session_is_returned(service: Any) -> None:
    """A partial event needs no session."""
    one = event(partial=True)
    assert await service.append_event(Session(id="x", app_name=APP, user_id=USER), one) is one


@case()
async def delta_changes_all_scopes(service: Any) -> None:
    """The changes of an event go to the session, the user and the application, and others of them see those."""
    session = await create(service, state={"a": 1, "keep": 1})
    other = await create(service)
    stranger = await create(service, user_id="bob")
    await service.append_event(session, change({"a": 2, "b": [1], "user:u": 3, "app:p": {"x": 1}}))
    expected = {"a": 2, "keep": 1, "b": [1], "user:u": 3, "app:p": {"x": 1}}
    assert session.state == expected
    assert (await get(service, session)).state == expected
    assert (await get(service, other)).state == {"user:u": 3, "app:p": {"x": 1}}
    assert (await get(service, stranger)).state == {"app:p": {"x": 1}}


@case()
async def none_is_a_value(service: Any) -> None:
    """A value of None replaces the value, and the key stays."""
    session = await create(service, state={"a": 1, "user:u": 1, "app:p": 1})
    await service.append_event(session, change({"a": None, "user:u": None, "app:p": None}))
    assert (await get(service, session)).state == {"a": None, "user:u": None, "app:p": None}


@case()
async def temporary_values_stay_in_the_object(service: Any) -> None:
    """Values of temp: are in the session object, neither in the store nor in the event."""
    session = await create(service)
    one = change({"temp:t": {"x": 1}, "a": 1})
    await service.append_event(session, one)
    assert session.state == {"temp:t": {"x": 1}, "a": 1}
    assert one.actions.state_delta == {"a": 1}
    found = await get(service, session)
    assert found.state == {"a": 1}
    assert found.events[0].actions.state_delta == {"a": 1}


@case()
async def temporary_values_alone_store_an_event_without_changes(service: Any) -> None:
    """An event with values of temp: alone is stored without them."""
    session = await create(service)
    await service.append_event(session, change({"temp:t": 1}))
    found = await get(service, session)
    assert (found.state, found.events[0].actions.state_delta) == ({}, {})


@case()
async def event_without_actions_is_stored(service: Any) -> None:
    """An event without content and actions is stored."""
    session = await create(service)
    await service.append_event(session, Event(author="agent", invocation_id="i"))
    assert (await get(service, session)).events[0].content is None


@case()
async def missing_session_takes_no_event(service: Any) -> None:
    """An append to a session that does not exist raises SessionNotFoundError."""
    with pytest.raises(SessionNotFoundError):
        await service.append_event(Session(id="x", app_name=APP, user_id=USER), event())
    session = await create(service)
    await service.delete_session(app_name=APP, user_id=USER, session_id=session.id)
    with pytest.raises(SessionNotFoundError):
        await service.append_event(session, event())
    assert await listed(service) == []


@case("memory")
async def stale_object_is_refused(service: Any) -> None:
    """An object that was read before another one was written raises StaleSessionError, and stores nothing."""
    session = await create(service)
    stale = await get(service, session)
    await service.append_event(session, event("new"))
    with pytest.raises(StaleSessionError):
        await service.append_event(stale, change({"a": 1, "app:p": 1}))
    found = await get(service, session)
    assert (len(found.events), found.state) == (1, {})
    await service.append_event(found, event("again"))
    assert len((await get(service, session)).events) == 2


@case("memory", "sqlite", "database")
async def stale_object_with_equal_time_is_refused(service: Any) -> None:
    """Revisions decide what is stale, also when all events have the same time."""
    session = await create(service)
    await service.append_event(session, event(timestamp=5.0))
    stale = await get(service, session)
    await service.append_event(session, event(timestamp=5.0))
    with pytest.raises(StaleSessionError):
        await service.append_event(stale, event(timestamp=5.0))


@case("memory", "sqlite", "database")
async def object_of_a_deleted_life_is_stale(service: Any) -> None:
    """An object of a session that was deleted and created again is refused."""
    session = await create(service, session_id="one")
    await service.delete_session(app_name=APP, user_id=USER, session_id="one")
    await create(service, session_id="one")
    with pytest.raises(StaleSessionError):
        await service.append_event(session, event())


@case()
async def older_event_times_are_taken(service: Any) -> None:
    """An event whose time is before that of the last event is stored, and the object can be used on."""
    session = await create(service)
    await service.append_event(session, event("1", timestamp=100.0))
    await service.append_event(session, event("2", timestamp=50.0))
    await service.append_event(session, event("3", timestamp=200.0))
    assert len((await get(service, session)).events) == 3


@case("sqlite", "database")
async def events_keep_the_order_of_their_appends(service: Any) -> None:
    """Events come back in the order in which they were appended, whatever their times and IDs are."""
    session = await create(service)
    for number, time in enumerate([100.0, 50.0, 100.0, 100.0, 70.0]):
        await service.append_event(session, event(str(number), timestamp=time, id=f"e{9 - number}"))
    assert [one.content.parts[0].text for one in (await get(service, session)).events] == list("01234")


@case("sqlite")
async def object_made_by_hand_takes_events(service: Any) -> None:
    """An object that no service returned is taken as long as it knows the newest event."""
    session = await create(service)
    await service.append_event(session, event("1"))
    stored = await get(service, session)
    by_hand = Session.model_validate(stored.model_dump())
    await service.append_event(by_hand, event("2"))
    assert len((await get(service, session)).events) == 2


@case("memory", "sqlite")
async def stale_object_made_by_hand_is_refused(service: Any) -> None:
    """An object that no service returned and that does not know the newest event is stale."""
    session = await create(service)
    by_hand = Session.model_validate(session.model_dump())
    await service.append_event(session, event("1", timestamp=session.last_update_time + 10))
    with pytest.raises(StaleSessionError):
        await service.append_event(by_hand, event("2"))


@case("sqlite", "database")
async def event_that_is_delivered_again_is_stored_once(service: Any) -> None:
    """The same event, or an equal copy of it, is stored once, and its changes are made once."""
    session = await create(service)
    one = change({"a": 1})
    await service.append_event(session, one)
    await service.append_event(session, change({"a": 2}))
    assert await service.append_event(session, one) is one
    assert await service.append_event(session, one.model_copy(deep=True)) == one
    found = await get(service, session)
    assert (len(found.events), found.state) == (2, {"a": 2})
    await service.append_event(found, event())


@case("sqlite", "database")
async def other_events_with_the_same_id_are_stored(service: Any) -> None:
    """Events that share an ID and differ otherwise are all stored."""
    session = await create(service)
    for number in range(3):
        await service.append_event(session, event(str(number), id="fixed"))
    assert [one.content.parts[0].text for one in (await get(service, session)).events] == ["0", "1", "2"]


@case()
async def parallel_appends_to_one_object_are_all_stored(service: Any) -> None:
    """Parallel agents that share one session object lose no event."""
    session = await create(service)
    await asyncio.gather(*[service.append_event(session, change({f"k{number}": number})) for number in range(20)])
    found = await get(service, session)
    assert len(found.events) == len({one.id for one in found.events}) == 20
    assert found.state == {f"k{number}": number for number in range(20)} == session.state


@case("memory", "sqlite")
async def parallel_appends_of_two_objects_store_one(service: Any) -> None:
    """Of two objects of one moment one is written, and the other one is stale."""
    session = await create(service)
    objects = [session, await get(service, session)]
    results = await asyncio.gather(*[service.append_event(one, event()) for one in objects], return_exceptions=True)
    assert sum(isinstance(one, StaleSessionError) for one in results) == 1
    assert len((await get(service, session)).events) == 1


@case("database")
async def parallel_changes_of_scopes_are_all_kept(service: Any) -> None:
    """Sessions that change other keys of the same scopes at once lose no change."""
    sessions = [await create(service, user_id=f"u{number % 2}") for number in range(8)]
    await asyncio.gather(*[
        service.append_event(one, change({f"app:a{number}": number, f"user:u{number}": number}))
        for number, one in enumerate(sessions)
    ])  # fmt: skip
    found = await get(service, sessions[0])
    assert found.state == {
        **{f"app:a{number}": number for number in range(8)},
        **{f"user:u{number}": number for number in range(0, 8, 2)},
    }


@case("memory")
async def values_without_json_form_are_stored_as_text(service: Any) -> None:
    """A value without a JSON form is stored in some form, and does not make the append fail."""
    session = await create(service)
    await service.append_event(session, change({"f": print, "n": 1}))
    found = await get(service, session)
    assert "print" in str(found.state["f"])
    assert found.state["n"] == 1


@case()
async def compaction_of_events_is_kept(service: Any) -> None:
    """An event that sums up others comes back with its compaction."""
    session = await create(service)
    compaction = EventCompaction(
        start_timestamp=1.0,
        end_timestamp=2.0,
        compacted_content=types.Content(role="model", parts=[types.Part(text="s")]),
    )
    await service.append_event(
        session, Event(author="user", invocation_id="i", actions=EventActions(compaction=compaction))
    )
    assert (await get(service, session)).events[0].actions.compaction == compaction


@case()
async def large_event_is_stored(service: Any) -> None:
    """An event of 500 KB is stored."""
    session = await create(service)
    await service.append_event(session, event("x" * 500_000))
    assert len((await get(service, session)).events[0].content.parts[0].text) == 500_000


# -- list and delete -------------------------------------------------------------------------------------------------------


@case()
async def nothing_is_listed_without_sessions(service: Any) -> None:
    """An application and a user without sessions have an empty list."""
    assert await listed(service) == []
    assert await listed(service, None) == []


@case()
async def listed_sessions_have_state_and_no_events(service: Any) -> None:
    """A list has the sessions of the user, with their state of all scopes and without events."""
    one = await create(service, state={"a": 1, "user:u": 2, "app:p": 3})
    await create(service, user_id="bob", state={"user:u": 5})
    await create(service, app_name="bank")
    await service.append_event(one, event(timestamp=55.5))
    (found,) = await listed(service)
    assert (found.id, found.app_name, found.user_id, found.events) == (one.id, APP, USER, [])
    assert found.state == {"a": 1, "user:u": 2, "app:p": 3}
    assert found.last_update_time == 55.5


@case()
async def list_of_an_application_has_all_users(service: Any) -> None:
    """Without a user all sessions of the application are listed, each with the state of its own user."""
    for user in ("mia", "bob", "eve"):
        await create(service, user_id=user, state={"user:name": user, "app:p": 1})
    await create(service, app_name="bank", user_id="mia")
    found = {one.user_id: one.state for one in await listed(service, None)}
    assert found == {user: {"user:name": user, "app:p": 1} for user in ("mia", "bob", "eve")}


@case()
async def sessions_are_listed_oldest_first(service: Any) -> None:
    """A list is ordered by the times of the last events, oldest first."""
    sessions = [await create(service, session_id=f"s{number}") for number in range(5)]
    for number, time in ((3, 500.0), (0, 100.0), (4, 300.0), (1, 400.0), (2, 200.0)):
        await service.append_event(sessions[number], event(timestamp=time))
    assert [one.id for one in await listed(service)] == ["s0", "s2", "s4", "s1", "s3"]
    await service.append_event(await get(service, sessions[0]), event(timestamp=600.0))
    assert [one.id for one in await listed(service, None)] == ["s2", "s4", "s1", "s3", "s0"]


@case()
async def sessions_of_one_time_are_listed_by_names(service: Any) -> None:
    """Sessions with the same time are ordered by user and ID."""
    for user, id in (("b", "1"), ("a", "2"), ("a", "1"), ("c", "0")):
        await service.append_event(await create(service, user_id=user, session_id=id), event(timestamp=9.0))
    assert [(one.user_id, one.id) for one in await listed(service, None)] == [
        ("a", "1"),
        ("a", "2"),
        ("b", "1"),
        ("c", "0"),
    ]


@case()
async def listed_session_takes_no_part_of_others(service: Any) -> None:
    """A change of a listed object does not change what is stored."""
    await create(service, state={"a": {"b": 1}})
    (found,) = await listed(service)
    found.state["a"]["b"] = 2
    assert (await listed(service))[0].state == {"a": {"b": 1}}


@case()
async def many_sessions_are_listed(service: Any) -> None:
    """All of 110 sessions are listed."""
    for number in range(110):
        await create(service, session_id=f"s{number}", state={"n": number})
    found = await listed(service)
    assert {one.id: one.state for one in found} == {f"s{number}": {"n": number} for number in range(110)}


@case()
async def deleted_session_is_gone(service: Any) -> None:
    """A deleted session is neither read nor listed, and others stay."""
    one, other = await create(service), await create(service)
    await service.append_event(one, event())
    await service.delete_session(app_name=APP, user_id=USER, session_id=one.id)
    assert await service.get_session(app_name=APP, user_id=USER, session_id=one.id) is None
    assert [found.id for found in await listed(service)] == [other.id]


@case()
async def deletion_of_a_missing_session_is_no_error(service: Any) -> None:
    """A session that does not exist can be deleted, also twice."""
    session = await create(service)
    for id in (session.id, session.id, "never"):
        await service.delete_session(app_name=APP, user_id=USER, session_id=id)
    await service.delete_session(app_name="never", user_id="never", session_id="x")


@case()
async def scopes_outlive_their_sessions(service: Any) -> None:
    """The state of the user and the application stays when their last session is deleted."""
    session = await create(service, state={"user:u": 1, "app:p": 2, "a": 3})
    await service.delete_session(app_name=APP, user_id=USER, session_id=session.id)
    assert (await create(service, session_id=session.id)).state == {"user:u": 1, "app:p": 2}


@case()
async def id_of_a_deleted_session_is_free(service: Any) -> None:
    """A session that is created again with the ID of a deleted one has none of its events."""
    session = await create(service, session_id="one", state={"a": 1})
    await service.append_event(session, event())
    await service.delete_session(app_name=APP, user_id=USER, session_id="one")
    again = await create(service, session_id="one")
    assert ((await get(service, again)).events, again.state) == ([], {})
    await service.append_event(again, event())


# -- the state of a user ---------------------------------------------------------------------------------------------------


@case()
async def state_of_a_user_is_read_without_a_session(service: Any) -> None:
    """The state of a user is read by names without their prefix, for this application only."""
    assert await service.get_user_state(app_name=APP, user_id=USER) == {}
    session = await create(service, state={"user:a": {"x": 1}, "app:p": 1, "b": 1})
    await service.append_event(session, change({"user:c": [1]}))
    assert await service.get_user_state(app_name=APP, user_id=USER) == {"a": {"x": 1}, "c": [1]}
    assert await service.get_user_state(app_name=APP, user_id="bob") == {}
    assert await service.get_user_state(app_name="bank", user_id=USER) == {}


@case()
async def returned_state_of_a_user_is_a_copy(service: Any) -> None:
    """A change of the returned state of a user changes nothing."""
    await create(service, state={"user:a": {"x": 1}})
    (await service.get_user_state(app_name=APP, user_id=USER))["a"]["x"] = 2
    assert await service.get_user_state(app_name=APP, user_id=USER) == {"a": {"x": 1}}


# -- names -----------------------------------------------------------------------------------------------------------------


NAMES = ["a b", "ü/ö", "a/b", "{x}", "*", "a:b", "..", "%00", "日本語" * 20, "x" * 120, "\t", "=k", "~", "o'neil; --"]


@case()
async def names_of_any_characters_are_kept_apart(service: Any) -> None:
    """Applications, users and sessions may have names of any characters, and are kept apart."""
    for number, name in enumerate(NAMES):
        id = name.strip() or "t"
        session = await service.create_session(
            app_name=f"app {name}", user_id=name, session_id=id, state={"n": number, "user:n": number, "app:n": number}
        )
        await service.append_event(session, event(name))
    for number, name in enumerate(NAMES):
        id = name.strip() or "t"
        found = await get(service, Session(id=id, app_name=f"app {name}", user_id=name))
        assert (found.id, found.user_id, found.app_name) == (id, name, f"app {name}")
        assert found.state == {"n": number, "user:n": number, "app:n": number}
        assert found.events[0].content.parts[0].text == name
        assert [one.id for one in await listed(service, name, f"app {name}")] == [id]


@case()
async def names_that_look_like_paths_are_other_names(service: Any) -> None:
    """Names whose parts join to the same text are other names."""
    await service.create_session(app_name="a/b", user_id="c", session_id="d", state={"user:x": 1, "app:y": 1})
    assert await service.get_session(app_name="a", user_id="b/c", session_id="d") is None
    other = await service.create_session(app_name="a", user_id="b/c", session_id="d")
    assert other.state == {}
    assert await listed(service, "c", "a") == []


@case()
async def keys_of_any_characters_are_kept(service: Any) -> None:
    """Keys of the state may have any characters, in each scope."""
    state = {"": 1, "a b": 2, "ü": 3, "=": 4, "=YQ==": 5, "a\nb": 6, "a:b": 7, "x.y": 8, "app": 9, "temp": 10}
    state |= {f"user:{key}": value for key, value in state.items()} | {
        f"app:{key}": value for key, value in state.items()
    }
    session = await create(service, state=state)
    assert (await get(service, session)).state == state
    await service.append_event(session, change({"a\nb": 60, "user:=": 40}))
    assert (await get(service, session)).state == {**state, "a\nb": 60, "user:=": 40}


# -- the framework's own use -----------------------------------------------------------------------------------------------


@case()
async def rewind_restores_the_state(service: Any) -> None:
    """A rewind by the framework's runner restores the state of the session, and drops the later events from prompts."""
    from google.adk.agents.base_agent import BaseAgent
    from google.adk.events._rewind_events import _apply_rewinds
    from google.adk.runners import Runner

    runner = Runner(app_name=APP, agent=BaseAgent(name="agent"), session_service=service)
    session = await create(service, session_id="one")
    for number in (1, 2, 3):
        await service.append_event(session, change({"n": number, f"k{number}": 1}, timestamp=float(number)))
        session.events[-1].invocation_id = f"inv{number}"
    await service.delete_session(app_name=APP, user_id=USER, session_id="one")
    session = await create(service, session_id="one")
    for number in (1, 2, 3):
        one = Event(
            author="agent", invocation_id=f"inv{number}", timestamp=float(number),
            actions=EventActions(state_delta={"n": number, f"k{number}": 1, "user:u": number}),
        )  # fmt: skip
        await service.append_event(session, one)
    await runner.rewind_async(user_id=USER, session_id="one", rewind_before_invocation_id="inv2")
    found = await get(service, session)
    assert found.state == {"n": 1, "k1": 1, "k2": None, "k3": None, "user:u": 3}
    assert len(found.events) == 4
    assert [one.invocation_id for one in _apply_rewinds(found.events)] == ["inv1"]


@case()
async def runner_stores_what_its_agent_yields(service: Any) -> None:
    """A run of the framework's runner stores the user's message and the agent's events, with the changes of the state."""
    from google.adk.agents.base_agent import BaseAgent
    from google.adk.runners import Runner

    class Echo(BaseAgent):
        async def _run_async_impl(self, ctx: Any) -> Any:
            for number in range(3):
                yield Event(author=self.name, invocation_id=ctx.invocation_id, partial=True,
                            content=types.Content(role="model", parts=[types.Part(text="…")]))  # fmt: skip
                yield Event(
                    author=self.name, invocation_id=ctx.invocation_id,
                    content=types.Content(role="model", parts=[types.Part(text=str(number))]),
                    actions=EventActions(state_delta={"n": number, "user:total": number, "temp:t": number}),
                )  # fmt: skip

    runner = Runner(app_name=APP, agent=Echo(name="echo"), session_service=service)
    await create(service, session_id="one")
    for _ in range(2):
        message = types.Content(role="user", parts=[types.Part(text="hi")])
        assert [one async for one in runner.run_async(user_id=USER, session_id="one", new_message=message)]
    found = await get(service, Session(id="one", app_name=APP, user_id=USER))
    assert [one.author for one in found.events] == ["user", "echo", "echo", "echo"] * 2
    assert found.state == {"n": 2, "user:total": 2}
