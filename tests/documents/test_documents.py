"""Documents: texts and JSON by category and name, S4 3-18 to 3-25."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, Documents, InvalidInput, InvalidState, SessionCache
from redis_sessions._core import documents as core
from redis_sessions._core.keys import index_keys
from tests.servers import Server

BAD = ["", "a..b", "..", "a\\b", "a{b", "a}b", "a\nb", "\ud800", "x" * 257]
BAD_CATEGORIES = [*BAD, "/", "/a", "a/", "a//b", "../a"]
BAD_NAMES = [*BAD, "a/b", "/"]


@pytest.mark.parametrize("category", BAD_CATEGORIES)
def test_a_bad_category_is_refused_by_name(cache: SessionCache, category: str) -> None:
    """3-18, 3-20: before there is a handle; and as a cursor."""
    with pytest.raises(InvalidInput) as refused:
        cache.documents(category)
    assert repr(category)[:40] in str(refused.value)
    with pytest.raises(InvalidInput):
        cache.categories(cursor=category)


@pytest.mark.parametrize("category", ["a", "a/b", "a/b/c", "my notes", "a.b", "x" * 256, "index:leases", "é"])
def test_a_category_may_be_nested_and_hold_spaces(cache: SessionCache, category: str) -> None:
    """3-18; one below another is a category of its own."""
    cache.documents(category).put("n", category)
    assert cache.documents(category).get("n") == category
    assert cache.documents(category + "x" if len(category) < 256 else "x").get("n") is None
    assert cache.categories().items == [category]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused_by_every_method(cache: SessionCache, name: str) -> None:
    """3-19, 3-20: before anything is sent, and named. An empty one, too: the source let it pass."""
    documents = cache.documents("a")
    calls: list[Callable[[], Any]] = [
        lambda: documents.put(name, "x"),
        lambda: documents.put_json(name, 1),
        lambda: documents.get(name),
        lambda: documents.get_json(name),
        lambda: documents.delete(name),
        lambda: documents.list(cursor=name),
    ]
    for call in calls:
        with pytest.raises(InvalidInput) as refused:
            call()
        assert repr(name)[:40] in str(refused.value)
    assert cache.categories().items == []


def test_names_with_dots_and_spaces_are_names(cache: SessionCache) -> None:
    """What looks like an extension is a part of the name."""
    documents = cache.documents("a")
    for name in ("x.json", "x.md", "x", "a b", ".", "é"):
        documents.put(name, name)
    assert documents.list().items == [".", "a b", "x", "x.json", "x.md", "é"]
    assert (documents.get("x.json"), documents.get_json("x"), documents.delete("x.json")) == ("x.json", None, True)
    assert documents.get("x") == "x"


def test_a_missing_document_is_none(cache: SessionCache) -> None:
    """3-21; the other form is another document."""
    documents = cache.documents("a")
    assert (documents.get("n"), documents.get_json("n")) == (None, None)
    documents.put("n", "text")
    documents.put_json("m", {})
    assert (documents.get_json("n"), documents.get("m")) == (None, None)


def test_a_text_comes_back_as_it_was(cache: SessionCache) -> None:
    """Empty, and with whatever line ends and control characters."""
    documents = cache.documents("a")
    for text in ("", "# Plan\r\n\x00\x1b é 🧳\n", "x" * 100_000):
        documents.put("n", text)
        assert documents.get("n") == text


@pytest.mark.parametrize("value", [{"b": [1, None, 2.5], "a": {"é": True}}, [], "text", 0, False, 2**60, "\ud800"])
def test_any_json_comes_back_as_it_was(cache: SessionCache, value: Any) -> None:
    """Key order included."""
    documents = cache.documents("a")
    documents.put_json("n", value)
    assert documents.get_json("n") == value
    assert repr(documents.get_json("n")) == repr(value)


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, (1,), {"a": object()}])
def test_what_is_no_json_is_refused(cache: SessionCache, value: Any) -> None:
    """It would come back as something else."""
    with pytest.raises(InvalidInput, match="value"):
        cache.documents("a").put_json("n", value)
    assert cache.categories().items == []


@pytest.mark.parametrize("text", [5, None, b"x", "\ud800"])
def test_what_is_no_text_is_refused(cache: SessionCache, text: Any) -> None:
    """Bytes and lone surrogates, too."""
    with pytest.raises(InvalidInput, match="text"):
        cache.documents("a").put("n", text)


@pytest.mark.parametrize("stored", [b"{", b"\xff", b"", b"[" * 100_000, b"1" * 5000])
def test_a_damaged_json_document_is_an_error(server: Server, namespace: str, stored: bytes) -> None:
    """3-22; the text beside it, and the list, are as they were."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        documents = cache.documents("a")
        documents.put("n", "text")
        server.client.hset(f"{namespace}:documents:a", "n.json", stored)
        with pytest.raises(InvalidState, match=r"n\.json"):
            documents.get_json("n")
        assert (documents.get("n"), documents.list().items) == ("text", ["n"])
        server.client.hset(f"{namespace}:documents:a", "n.md", b"\xff")
        with pytest.raises(InvalidState, match=r"n\.md"):
            documents.get("n")
    server.client.flushall()


def test_readers_see_the_old_or_the_new(cache: SessionCache) -> None:
    """3-23: never a part of one, with two writers."""
    cache.documents("a").put("n", "0" * 50_000)
    stopped = threading.Event()

    def write(digit: str) -> None:
        while not stopped.is_set():
            cache.documents("a").put("n", digit * 50_000)

    writers = [threading.Thread(target=write, args=(digit,)) for digit in "12"]
    for writer in writers:
        writer.start()
    seen = [cache.documents("a").get("n") or "" for _ in range(100)]
    stopped.set()
    for writer in writers:
        writer.join()
    assert {(len(text), len(set(text))) for text in seen} == {(50_000, 1)}


def test_a_list_has_each_name_once_in_order(cache: SessionCache) -> None:
    """3-24: without extensions; a category without documents is an empty one."""
    documents = cache.documents("a")
    assert documents.list() == ([], None)
    for name in ("b", "a", "Z", "ä", "a b"):
        documents.put(name, "x")
    documents.put_json("a", 1)
    documents.put_json("c", 1)
    assert documents.list() == (["Z", "a", "a b", "b", "c", "ä"], None)


def test_what_is_no_document_is_left_out_of_a_list(server: Server, namespace: str) -> None:
    """3-24: fields with neither extension, or with nothing before it."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.documents("a").put("n", "x")
        server.client.hset(f"{namespace}:documents:a", mapping={"n.tmp": "", "n": "", ".md": ""})
        assert cache.documents("a").list().items == ["n"]
    server.client.flushall()


def test_a_list_goes_on_where_a_page_ended(cache: SessionCache) -> None:
    """The cursor is the last name, and good also when that is gone; the last page has none."""
    documents = cache.documents("a")
    for number in range(5):
        documents.put(f"n{number}", "x")
    assert documents.list(2) == (["n0", "n1"], "n1")
    documents.delete("n1")
    assert documents.list(2, "n1") == (["n2", "n3"], "n3")
    assert documents.list(2, "n3") == (["n4"], None)
    assert documents.list(4) == (["n0", "n2", "n3", "n4"], None)


@pytest.mark.parametrize("limit", [0, 1001, -1, True, 1.5, None])
def test_a_limit_is_1_to_1000(cache: SessionCache, limit: Any) -> None:
    """Of documents and of categories."""
    with pytest.raises(InvalidInput, match="limit"):
        cache.documents("a").list(limit)
    with pytest.raises(InvalidInput, match="limit"):
        cache.categories(limit)


@pytest.mark.parametrize("cursor", ["a/b", "", 5])
def test_a_cursor_that_is_no_name_is_refused(cache: SessionCache, cursor: Any) -> None:
    """It is none of ours."""
    with pytest.raises(InvalidInput, match="cursor"):
        cache.documents("a").list(cursor=cursor)


def test_both_forms_need_two_deletions(cache: SessionCache) -> None:
    """3-25: the JSON goes first; False when there is nothing more."""
    documents = cache.documents("a")
    documents.put("n", "text")
    documents.put_json("n", 1)
    assert documents.delete("n") is True
    assert (documents.get_json("n"), documents.get("n")) == (None, "text")
    assert documents.delete("n") is True
    assert documents.delete("n") is False
    assert documents.list().items == []


def test_a_deletion_is_never_repeated_blindly() -> None:
    """What may have run is not sent again: it could delete the other form."""
    keys = SessionCache.from_url("fake://").documents("a")._keys
    assert core.delete(keys, "n").repeatable is False
    assert core.put(keys, "n", "x", 10).repeatable is True


def test_a_document_has_a_size(url: str, namespace: str) -> None:
    """Counted in bytes of UTF-8; the message says how many there are and how many may be."""
    with SessionCache.from_url(url, namespace=namespace, max_document_bytes=10) as cache:
        documents = cache.documents("a")
        documents.put("n", "é" * 5)
        documents.put_json("n", "x" * 8)
        with pytest.raises(InvalidInput, match=r"11 bytes.* 10 "):
            documents.put("n", "é" * 5 + "x")
        with pytest.raises(InvalidInput, match=r"11 bytes.* 10 "):
            documents.put_json("n", "x" * 9)
        assert (documents.get("n"), documents.get_json("n")) == ("é" * 5, "x" * 8)
        assert (documents.delete("n"), documents.delete("n")) == (True, True)


@pytest.mark.parametrize("size", [0, 64 * 1024 * 1024 + 1, 1.5, "1"])
def test_the_size_has_bounds(size: Any) -> None:
    """From a byte to 64 MiB; 1 MiB by default."""
    with pytest.raises(InvalidInput, match="max_document_bytes"):
        SessionCache.from_url("fake://", max_document_bytes=size)
    with SessionCache.from_url("fake://") as cache, pytest.raises(InvalidInput, match=r"1048577 bytes.* 1048576 "):
        cache.documents("a").put("n", "x" * (1024 * 1024 + 1))


def test_categories_hold_documents(cache: SessionCache) -> None:
    """Ascending, by page; one whose last document went is none any more, and comes back with the next."""
    for category in ("b", "a/b", "a", "é", "c"):
        cache.documents(category).put("n", "x")
    assert cache.categories() == (["a", "a/b", "b", "c", "é"], None)
    assert cache.categories(2) == (["a", "a/b"], "a/b")
    cache.documents("b").delete("n")
    assert cache.categories(2) == (["a", "a/b"], "a/b")
    assert cache.categories(2, "a/b") == (["c", "é"], None)
    cache.documents("b").put("n", "x")
    assert cache.categories().items == ["a", "a/b", "b", "c", "é"]


def test_a_category_that_is_about_to_be_written_is_not_forgotten(url: str, cache: SessionCache, namespace: str) -> None:
    """Noted, but without documents yet while another process lists; a process notes a category once an hour."""
    documents = cache.documents("a")
    documents.put("n", "x")
    documents.delete("n")
    if url == "fake://":
        assert cache.categories().items == []
    else:
        with SessionCache.from_url(url, namespace=namespace) as other:
            assert other.categories().items == []
    documents.put("n", "x")
    assert cache.categories().items == ["a"]


def test_an_empty_category_leaves_the_index(server: Server, namespace: str) -> None:
    """When nobody noted it for two hours."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        for category in ("empty", "lately", "full"):
            cache.documents(category).put("n", "x")
        index = index_keys(namespace, "documents").ids
        cache.documents("empty").delete("n")
        cache.documents("lately").delete("n")
        server.client.zincrby(index, -7_300_000, "empty")
        server.client.zincrby(index, -7_300_000, "full")
        assert cache.categories().items == ["full"]
        assert set(server.client.zrange(index, 0, -1)) == {b"lately", b"full"}
    server.client.flushall()


def test_namespaces_are_apart(url: str, cache: SessionCache) -> None:
    """And none can be named so that its keys are documents of another's."""
    cache.documents("meta").put("n", "x")
    with SessionCache.from_url(url, namespace=f"{cache.namespace}0") as other:
        assert other.documents("meta").get("n") is None
        assert other.categories().items == []
    for namespace in ("a:documents", "a:documents:b"):
        with pytest.raises(InvalidInput, match="documents"):
            SessionCache.from_url("fake://", namespace=namespace)


def test_documents_do_not_expire(cache: SessionCache) -> None:
    """Nor does what lists them: see `check_lifetimes`, after each test."""
    documents: Documents = cache.documents("a")
    documents.put("n", "x")
    assert documents.category == "a"


def test_the_asynchronous_side_is_the_same(url: str, namespace: str) -> None:
    """The same names with await."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            documents = cache.documents("a")
            await asyncio.gather(*[documents.put(f"n{number}", str(number)) for number in range(20)])
            await documents.put_json("n0", [0])
            assert (await documents.get("n7"), await documents.get_json("n0")) == ("7", [0])
            assert (await documents.list(2)).items == ["n0", "n1"]
            assert (await cache.categories()).items == ["a"]
            assert await documents.delete("n0")
            assert await documents.get_json("n0") is None

    asyncio.run(main())
