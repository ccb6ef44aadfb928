"""Documents of pydantic models and other types: stored as JSON, and returned as the type that the caller names."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict, Field

from redis_sessions import AsyncSessionCache, InvalidInput, InvalidState, SessionCache


class Stop(BaseModel):
    """A part of a plan."""

    city: str
    nights: int = Field(default=1, ge=1)


class Plan(BaseModel):
    """A model with a nested model and with values that JSON has no type for."""

    title: str
    begins_at: datetime
    stops: list[Stop] = Field(default_factory=list)
    scores: dict[str, float] = Field(default_factory=dict)


class Place(NamedTuple):
    """A named tuple."""

    city: str
    gate: int


@dataclass
class Ticket:
    """A dataclass."""

    number: int
    place: str


PLAN = Plan(
    title="Lisbon é",
    begins_at=datetime(2026, 5, 1, 12, 30, tzinfo=UTC),
    stops=[Stop(city="Porto", nights=2), Stop(city="Faro")],
    scores={"sun": 0.75},
)


def test_model_is_returned_as_its_type(cache: SessionCache) -> None:
    """A pydantic model is stored as JSON, and `type` returns an equal model."""
    documents = cache.documents("plans")
    documents.put_json("lisbon", PLAN)
    found = documents.get_json("lisbon", type=Plan)
    assert found == PLAN
    assert isinstance(found, Plan)
    assert isinstance(found.stops[0], Stop)


def test_model_is_plain_json_without_type(cache: SessionCache) -> None:
    """A stored model is a JSON object, with its fields in order, when the caller names no type."""
    documents = cache.documents("plans")
    documents.put_json("lisbon", PLAN)
    found = documents.get_json("lisbon")
    assert found == PLAN.model_dump(mode="json")
    assert list(found) == ["title", "begins_at", "stops", "scores"]
    documents.put_json("lisbon", found)
    assert documents.get_json("lisbon", type=Plan) == PLAN


@pytest.mark.parametrize("value", [Place("Faro", 4), Ticket(7, "12A")])
def test_named_tuple_and_dataclass_are_stored_as_objects(cache: SessionCache, value: Place | Ticket) -> None:
    """A named tuple and a dataclass are stored as JSON objects, and returned as their type."""
    documents = cache.documents("a")
    documents.put_json("n", value)
    assert documents.get_json("n", type=type(value)) == value
    assert isinstance(documents.get_json("n"), dict)


def test_value_is_returned_as_generic_type(cache: SessionCache) -> None:
    """The type may be any type that pydantic validates, such as a list of models."""
    documents = cache.documents("a")
    documents.put_json("stops", [{"city": "Porto"}, {"city": "Faro", "nights": 3}])
    assert documents.get_json("stops", type=list[Stop]) == [Stop(city="Porto"), Stop(city="Faro", nights=3)]
    documents.put_json("n", 5)
    assert documents.get_json("n", type=int) == 5


def test_missing_document_with_type_is_the_default(cache: SessionCache) -> None:
    """The default is returned as it is when there is no document, and None without a default."""
    documents = cache.documents("plans")
    assert documents.get_json("lisbon", type=Plan) is None
    assert documents.get_json("lisbon", PLAN, type=Plan) is PLAN
    fallback = object()
    assert documents.get_json("lisbon", fallback) is fallback


@pytest.mark.parametrize(
    "stored",
    [
        {"title": "Lisbon"},
        {"title": "Lisbon", "begins_at": "never"},
        {"title": "Lisbon", "begins_at": "2026-05-01T12:30:00Z", "stops": [{"city": "Porto", "nights": 0}]},
        [],
        "text",
        None,
    ],
)
def test_value_that_does_not_fit_the_type_is_refused(cache: SessionCache, stored: Any) -> None:
    """A stored value that is not valid for the type raises InvalidState, which names the document and the type."""
    documents = cache.documents("plans")
    documents.put_json("lisbon", stored)
    with pytest.raises(InvalidState, match=r"lisbon.*Plan"):
        documents.get_json("lisbon", PLAN, type=Plan)
    assert documents.get_json("lisbon") == stored


def test_text_is_not_stored_from_a_model(cache: SessionCache) -> None:
    """A text document takes text alone, so a model is refused there."""
    with pytest.raises(InvalidInput, match="text"):
        cache.documents("plans").put("lisbon", PLAN)  # type: ignore[arg-type]


def test_model_inside_a_value_is_stored_as_its_object(cache: SessionCache) -> None:
    """A model below the top of a value is stored as its JSON object, and bytes there are refused with their path."""
    documents = cache.documents("plans")
    documents.put_json("lisbon", {"plan": PLAN})
    found = documents.get_json("lisbon")
    assert Plan.model_validate(found["plan"]) == PLAN
    with pytest.raises(InvalidInput, match=r"value\.plan\[0\].*bytes"):
        documents.put_json("lisbon", {"plan": [b"x"]})
    assert documents.get_json("lisbon") == found


def test_model_larger_than_maximum_is_refused(url: str, namespace: str) -> None:
    """The size of a model is the size of its JSON."""
    with SessionCache.from_url(url, namespace=namespace, max_document_bytes=30) as cache:
        documents = cache.documents("plans")
        documents.put_json("stop", Stop(city="Porto"))
        with pytest.raises(InvalidInput, match="at most 30 bytes"):
            documents.put_json("stop", Stop(city="Vila Nova de Gaia"))
        assert documents.get_json("stop", type=Stop) == Stop(city="Porto")
        documents.delete("stop")


def test_async_documents_return_models(url: str, namespace: str) -> None:
    """The async methods store models and return them as their type."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            documents = cache.documents("plans")
            await documents.put_json("lisbon", PLAN)
            assert await documents.get_json("lisbon", type=Plan) == PLAN
            assert await documents.get_json("rome", type=Plan) is None
            await documents.delete("lisbon")

    asyncio.run(main())


class Strict(BaseModel):
    """A model that takes no text for a time, except from JSON, and that names a field differently in JSON."""

    model_config = ConfigDict(strict=True)

    at: datetime
    expected: int = Field(alias="expectedCount")


def test_strict_model_with_alias_survives_round_trip(cache: SessionCache) -> None:
    """A model is stored under the names, and read by the rules, that its validation from JSON has."""
    given = Strict(at=datetime(2026, 11, 25, 12, 30), expectedCount=3)
    documents = cache.documents("plans")
    documents.put_json("a", given)
    session = cache.create()
    session.state["a"] = given
    assert documents.get_json("a", type=Strict) == session.state.get("a", type=Strict) == given
