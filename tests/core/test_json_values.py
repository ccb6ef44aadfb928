"""The conversion of values to JSON and back."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from redis_sessions import InvalidInput, Message
from redis_sessions._core.protocol.json_values import MAX_JSON_DEPTH, from_json, to_json, to_payload, to_plain

TEXT = st.text() | st.text(st.sampled_from('a"\\u\n\ud800\ud83d\udbff\udc00\ude00\udfff😀é'))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=15,
)


class Color(Enum):
    """An Enum whose values are text."""

    RED = "red"


class Level(IntEnum):
    """An Enum whose values are numbers."""

    HIGH = 3


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: Any


@dataclass
class Box:
    """A dataclass."""

    item: Any


class Model(BaseModel):
    """A pydantic model with an alias."""

    items: Any = Field(default=None, alias="Items")


class Call(BaseModel):
    """A pydantic model with `to_dict()`, as in openai and anthropic."""

    id: str | None = None
    when: datetime | None = None
    async_: bool | None = Field(default=None, alias="async")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that were set, by the names of the API."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Content(BaseModel):
    """A pydantic model with `to_json_dict()`, as in google-genai."""

    text: str | None = None
    role: str | None = None

    def to_json_dict(self) -> dict[str, Any]:
        """Return the fields that are not None."""
        return self.model_dump(mode="json", exclude_none=True)


class Holder:
    """An object that returns one fixed value as its dict, or raises it."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def to_dict(self) -> Any:
        """Return or raise the held value."""
        if isinstance(self.held, Exception):
            raise self.held
        return self.held


class Chameleon:
    """An object that has every attribute, as mocks do."""

    def __getattr__(self, name: str) -> Any:
        return lambda: Chameleon()


def stored(value: Any) -> Any:
    """Return a value that was written as UTF-8 and read."""
    return from_json(to_json(value, "value").encode())


def problem(value: Any) -> str:
    """Return the text of the error for a value."""
    with pytest.raises(InvalidInput) as found:
        to_json(value, "message")
    return str(found.value)


def nested(levels: int) -> Any:
    """Return lists nested a number of levels deep."""
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@given(JSON)
def test_json_value_is_returned_equal(value: Any) -> None:
    """A JSON value is returned equal and with the same types, and another JSON reader can read the text."""
    text = to_json(value, "value")
    assert from_json(text) == from_json(text.encode()) == value
    assert repr(from_json(text)) == repr(value)
    json.loads(text.encode())


def test_surrogates_stay_code_points() -> None:
    """Surrogates come back as the code points that were given, and two of them are not joined to one character."""
    pair, escapes = "\ud83d\ude00", "\\ud83d\\uDE00 \\ud83d"
    for text in (pair, "\ud83d", "\ude00", "\ude00\ud83d", "\ud83d" + pair + "\ude00", f"😀{pair}é", "\\" + pair):
        assert stored({text: [text]}) == {text: [text]}
        assert len(stored(text)) == len(text)
        assert stored(text + escapes + text) == text + escapes + text


def test_other_json_is_read_as_json_says() -> None:
    """An escaped pair of another writer is one character, with digits in either case and whatever space follows."""
    for escapes in ("\\ud83d\\ude00", "\\uD83D\\uDE00"):
        assert from_json(f'"{escapes}"') == from_json(f'"{escapes}" '.encode()) == "😀"


def test_json_helpers_are_inverse() -> None:
    """A value that to_json wrote is returned by from_json."""
    assert from_json(to_json({"a": [1.5, None]}, "x")) == {"a": [1.5, None]}


def test_value_types_inside_payload_become_text() -> None:
    """Times, UUIDs, Decimals and paths become text as JSON schema says, and an Enum becomes its value."""
    moment = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    times = [moment, moment.date(), time(3, 4), timedelta(seconds=90), date(2025, 1, 2)]
    others = [UUID(int=0), Decimal("1.10"), PurePosixPath("/a/b"), Color.RED, Level.HIGH]
    assert stored({"times": times, "others": others}) == {
        "times": ["2025-01-02T03:04:05Z", "2025-01-02", "03:04:00", "PT1M30S", "2025-01-02"],
        "others": ["00000000-0000-0000-0000-000000000000", "1.10", "/a/b", "red", 3],
    }


def test_objects_inside_payload_become_json_objects() -> None:
    """An SDK object, a model, a dataclass, a named tuple or a Message becomes a JSON object at any depth."""
    payload = {
        "call": Call(id="c", when=datetime(2025, 1, 2, tzinfo=UTC)),
        "parts": [Content(text="hi"), Model(Items=[1]), Box(Box((1, 2)))],
        "points": [Point(1, Point(2, Call(async_=True, **{"async": True})))],
        "holder": Holder({"inner": [Holder({"x": Color.RED})]}),
        "message": Message("user", "hi"),
        "ordered": OrderedDict(a=1),
    }
    assert stored(payload) == {
        "call": {"id": "c", "when": "2025-01-02T00:00:00Z"},
        "parts": [{"text": "hi"}, {"Items": [1]}, {"item": {"item": [1, 2]}}],
        "points": [{"x": 1, "y": {"x": 2, "y": {"async": True}}}],
        "holder": {"inner": [{"x": "red"}]},
        "message": {"role": "user", "content": "hi"},
        "ordered": {"a": 1},
    }


def test_converted_payload_stays_as_it_was() -> None:
    """A conversion copies, so the caller's dicts and lists keep their objects."""
    call = Call(id="c")
    payload = {"role": "user", "content": [call]}
    assert to_payload(payload) == {"role": "user", "content": [{"id": "c"}]}
    assert payload["content"] == [call]


def test_message_of_sdk_is_its_wire_form() -> None:
    """A message that is an SDK object becomes what the SDK sends, and a plain dict stays the same object."""
    assert to_payload(Call(id="c")) == {"id": "c"}
    assert to_payload(Content(text="hi")) == {"text": "hi"}
    assert to_payload(Model(Items=1)) == {"Items": 1}
    assert to_payload(Box(1)) == {"item": 1}
    plain = {"role": "user"}
    assert to_payload(plain) is plain
    for other in (Holder(["x"]), ["x"], "x", None, 1):
        with pytest.raises(InvalidInput, match="message: must be a JSON object"):
            to_payload(other)


def test_outer_model_is_stored_by_its_fields() -> None:
    """A model, a dataclass or a named tuple at the top or in a list at the top is stored by its fields, also unset ones."""
    assert stored(Call(id="c")) == {"id": "c", "when": None, "async": None}
    assert stored([[Model(Items=1)], Point(1, (2,)), Box({3})]) == [[{"Items": 1}], {"x": 1, "y": [2]}, {"item": [3]}]
    assert stored(Box(Holder({"x": 1}))) == {"item": {"x": 1}}
    assert to_plain(Model(Items=1)) == {"Items": 1}
    assert to_plain({"x": Color.RED}) == {"x": Color.RED}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            {"content": [1, 2, {"data": b"x"}]},
            "message.content[2].data: must be a JSON value, got bytes; encode it, for",
        ),
        ({"a": bytearray(b"x")}, "message.a: must be a JSON value, got bytearray; encode it"),
        ({"a": (1, 2)}, "message.a: must be a JSON value, got tuple; make it a list"),
        ({"a": {1}}, "message.a: must be a JSON value, got set; make it a list"),
        ({"a": [math.nan]}, "message.a[0]: must be a finite number, got nan"),
        ({"a": Box(-math.inf)}, "message.a.item: must be a finite number, got -inf"),
        ({"a": 10**5000}, "message.a: must be a JSON value: Exceeds the limit"),
        ({"a": [{1: 2}]}, "message.a[0]: keys must be text, got 1"),
        ({"a": object()}, "message.a: must be a JSON value, got object"),
        ({"a": Call}, "message.a: must be a JSON value, got ModelMetaclass"),
        ({"a": MappingProxyType({})}, "message.a: must be a JSON value, got mappingproxy"),
        ({"a": Box([Box(object())])}, "message.a.item[0].item: must be a JSON value, got object"),
        ({"a": Model(Items={"k": b"\xff"})}, "message.a.items.k: must be a JSON value, got bytes; encode it"),
        ({"a": Holder(KeyError("x"))}, "message.a: must be a JSON value, but to_dict() of Holder raised KeyError: 'x'"),
        ({"a": Holder({"b": [b"x"]})}, "message.a.b[0]: must be a JSON value, got bytes"),
        ({"a": Holder(7)}, "message.a: must be a JSON value, but to_dict() of Holder returned a int"),
        ({"a": Chameleon()}, "message.a: must be a JSON value, but to_dict() of Chameleon returned a Chameleon"),
        ({"a": nested(MAX_JSON_DEPTH + 1)}, "must not nest deeper than 200 levels"),
        (Box({"a": object()}), "message.item.a: must be a JSON value, got object"),
        ([Box(object())], "message[0].item: must be a JSON value, got object"),
        (b"x", "message: must be a JSON value, got bytes"),
        (math.nan, "message: must be a finite number, got nan"),
    ],
)
def test_refused_value_is_named_by_its_path(value: Any, text: str) -> None:
    """A value that JSON would change raises InvalidInput, whose text has the path to the value and the reason."""
    assert text in problem(value)


def test_cycle_is_named_by_the_path_that_closes_it() -> None:
    """A value that contains itself raises InvalidInput with the path at which it begins again."""
    loop: dict[str, Any] = {"role": "user", "parts": []}
    loop["parts"].append({"again": loop})
    assert "message.parts[0].again: must not contain itself" in problem(loop)
    wide: list[Any] = []
    wide += [wide] * 50
    assert "message[0]: must not contain itself" in problem(wide)
    itself = Holder(None)
    itself.held = {"me": itself}
    assert "message.a.me: must not contain itself" in problem({"a": itself})
    itself.held = itself
    assert "message.a: must be a JSON value, but to_dict() of Holder returned a Holder" in problem({"a": itself})
    box = Box(None)
    box.item = [box]
    assert "message.a.item[0]: must be a JSON value: Circular reference" in problem({"a": box})


def test_same_part_twice_is_not_a_cycle() -> None:
    """A part that stands in two places is stored twice."""
    shared = [Call(id="c")]
    assert stored({"a": shared, "b": [shared, shared]}) == {"a": [{"id": "c"}], "b": [[{"id": "c"}], [{"id": "c"}]]}


def test_depth_limit_is_exact() -> None:
    """A value with 201 containers within one another is stored, and objects among them do not make it deeper."""
    assert stored(nested(MAX_JSON_DEPTH + 1)) == nested(MAX_JSON_DEPTH + 1)
    deep: Any = Color.RED
    for _ in range(MAX_JSON_DEPTH + 1):
        deep = Holder([deep])
    assert str(stored({"a": deep.held[0]})).count("[") == MAX_JSON_DEPTH
    assert "must not nest deeper than 200 levels" in problem({"a": deep})


def test_endless_objects_are_refused() -> None:
    """Objects that always return new objects, and 100,000 nested lists, raise InvalidInput and do not end the process."""

    class Endless:
        def to_dict(self) -> dict[str, Any]:
            return {"next": Endless()}

    assert "must not nest deeper than 200 levels" in problem({"a": Endless()})
    assert "must not nest deeper than 200 levels" in problem(nested(100_000))
    assert len(problem({"k" * 10_000: {"a": object()}})) < 300
