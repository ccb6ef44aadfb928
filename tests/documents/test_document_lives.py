"""Documents of bytes, with a TTL and times, and many at once."""

from __future__ import annotations

import time
from typing import Any

import pytest

from redis_sessions import BoundExceeded, InvalidInput, SessionCache

LIFE_SECONDS = 1.5
"""The life of a document that expires before a test goes on. It is long enough for the reads before, on a busy machine."""


def test_bytes_are_a_third_form(cache: SessionCache) -> None:
    """Bytes come back unchanged, next to the text and the JSON of the same name, and are deleted last."""
    documents = cache.documents("a")
    documents.put_bytes("n", b"\x00\xff\x01 0 ")
    documents.put("n", "text")
    documents.put_json("n", [1])
    assert (documents.get_bytes("n"), documents.get("n"), documents.get_json("n")) == (b"\x00\xff\x01 0 ", "text", [1])
    assert documents.list().items == ["n"]
    assert [documents.delete("n") and documents.get_bytes("n") is not None for _ in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(InvalidInput, match="bytes"):
        documents.put_bytes("n", "text")  # type: ignore[arg-type]


def test_expired_document_is_missing_for_every_read(cache: SessionCache) -> None:
    """A document that has expired is missing for get, list, all, get_many, delete and categories, and a new one has new times."""
    documents, alone = cache.documents("a"), cache.documents("b")
    documents.put("short", "x", ttl=LIFE_SECONDS)
    documents.put_json("long", 1, ttl=60)
    alone.put("short", "x", ttl=LIFE_SECONDS)
    first = documents.get_many(["short"])["short"]
    assert cache.categories().items == ["a", "b"]
    time.sleep(LIFE_SECONDS + 0.1)
    assert (documents.get("short"), documents.delete("short"), documents.get_many(["short"])) == (None, False, {})
    assert ([one.name for one in documents.all()], documents.list().items) == (["long"], ["long"])
    assert ([*alone.all()], alone.list().items, cache.categories().items) == ([], [], ["a"])
    documents.put("short", "y")
    again = documents.get_many(["short"])["short"]
    assert again.created_at > first.created_at
    assert again.expires_at is None


def test_times_say_when_a_document_was_stored(cache: SessionCache) -> None:
    """A document keeps the time of its creation, and each put sets the time of the update and the expiry."""
    documents = cache.documents("a")
    documents.put("n", "x", ttl=60)
    first = documents.get_many(["n"])["n"]
    time.sleep(0.01)
    documents.put("n", "y")
    second = documents.get_many(["n"])["n"]
    assert second.created_at == first.created_at == first.updated_at < second.updated_at
    assert first.expires_at is not None
    assert 59 < (first.expires_at - first.created_at).total_seconds() < 61
    assert (second.expires_at, second.value, second.form) == (None, "y", "text")


def test_touch_extends_a_life(cache: SessionCache) -> None:
    """A read with touch lets a document live for its ttl from then."""
    documents = cache.documents("a")
    documents.put("n", "x", ttl=2 * LIFE_SECONDS)
    documents.put("other", "x", ttl=2 * LIFE_SECONDS)
    time.sleep(LIFE_SECONDS)
    assert set(documents.get_many(["n"], touch=True)) == {"n"}
    time.sleep(LIFE_SECONDS + 0.1)
    assert (documents.get("n"), documents.get("other")) == ("x", None)


def test_many_documents_are_one_call(cache: SessionCache) -> None:
    """Documents are stored by their types, read with their times, and deleted, many at once and of several categories."""
    documents = cache.documents("a")
    documents.put_many({"t": "text", "b": b"bytes", "j": {"x": [1]}})
    found = documents.get_many(["j", "b", "t", "missing"])
    assert {name: (one.form, one.value) for name, one in found.items()} == {
        "t": ("text", "text"), "b": ("bytes", b"bytes"), "j": ("json", {"x": [1]}),
    }  # fmt: skip
    assert [one.name for one in documents.all("t")] == ["t"]
    assert documents.delete_many(["t", "j", "missing"]) == 2
    cache.put_documents({"b": {"n": 1}, "c": {"n": "x" * 900_000, "m": "y" * 900_000}})
    assert cache.get_documents({"b": ["n"], "c": ["n", "m", "o"], "d": ["n"]})["c"]["m"].value == "y" * 900_000
    everything = cache.all_documents(["a", "c", "d"])
    assert {name: [one.name for one in listed] for name, listed in everything.items()} == {
        "a": ["b"], "c": ["m", "n"], "d": [],
    }  # fmt: skip
    assert cache.delete_documents({"b": ["n"], "c": ["m"]}) == 2
    assert (cache.categories(prefix="c").items, cache.categories(prefix="d").items) == (["c"], [])
    assert (documents.get_many([]), documents.delete_many([])) == ({}, 0)
    documents.put_many({})


def test_expired_documents_hold_no_place(url: str, namespace: str) -> None:
    """The bound on documents counts those that exist, also when some of them have a ttl."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"documents": 3}) as cache:
        documents = cache.documents("a")
        documents.put_many({"1": "x", "2": "x", "3": "x"}, ttl=LIFE_SECONDS)
        documents.put("3", "y", ttl=60)
        with pytest.raises(BoundExceeded, match="would be 4"):
            documents.put("4", "x")
        with pytest.raises(BoundExceeded):
            documents.put_many({"4": b"x"})
        time.sleep(LIFE_SECONDS + 0.1)
        documents.put_many({"4": "x", "5": "x"}, ttl=60)
        with pytest.raises(BoundExceeded, match="would be 4"):
            documents.put("6", "x")
        assert documents.list().items == ["3", "4", "5"]
        assert documents.delete_many(["3", "4", "5"]) == 3


@pytest.mark.parametrize("given", [{"a/b": 1}, {"": 1}, {"n": object()}, {"n": "\ud800"}, [("n", 1)]])
def test_bad_documents_are_refused_as_a_whole(cache: SessionCache, given: Any) -> None:
    """One bad name or value refuses all documents of a call."""
    with pytest.raises(InvalidInput):
        cache.documents("a").put_many({"good": 1, **given} if isinstance(given, dict) else given)
    assert cache.categories().items == []
    with pytest.raises(InvalidInput, match="ttl"):
        cache.documents("a").put("n", "x", ttl=0)
    with pytest.raises(InvalidInput, match="prefix"):
        cache.categories(prefix=5)  # type: ignore[arg-type]
