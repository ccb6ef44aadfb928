"""Documents: text and JSON by category and name (S4 3-18 to 3-25)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import (
    AsyncSessionCache,
    BoundExceeded,
    Documents,
    InvalidInput,
    InvalidState,
    SessionCache,
    StorageBounds,
)
from redis_sessions._core.commands import documents as core
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import index_keys
from redis_sessions._sync.services.document_categories import DocumentCategories
from tests.support.servers import Server

INVALID = ["", "a..b", "..", "a\\b", "a{b", "a}b", "a\nb", "\ud800", "x" * 257]
INVALID_CATEGORIES = [*INVALID, "/", "/a", "a/", "a//b", "../a"]
INVALID_NAMES = [*INVALID, "a/b", "/"]


@pytest.mark.parametrize("category", INVALID_CATEGORIES)
def test_invalid_category_is_refused_by_name(cache: SessionCache, category: str) -> None:
    """A category that is not valid is refused before a handle exists, and as a cursor (3-18, 3-20)."""
    with pytest.raises(InvalidInput) as refused:
        cache.documents(category)
    assert repr(category)[:40] in str(refused.value)
    with pytest.raises(InvalidInput):
        cache.categories(cursor=category)


@pytest.mark.parametrize("category", ["a", "a/b", "a/b/c", "my notes", "a.b", "x" * 256, "index:leases", "é"])
def test_nested_category_and_category_with_spaces_are_valid(cache: SessionCache, category: str) -> None:
    """A category may have spaces and levels, and a category below another one is separate (3-18)."""
    cache.documents(category).put("n", category)
    assert cache.documents(category).get("n") == category
    assert cache.documents(category + "x" if len(category) < 256 else "x").get("n") is None
    assert cache.categories().items == [category]


@pytest.mark.parametrize("name", INVALID_NAMES)
def test_invalid_name_is_refused_by_every_method(cache: SessionCache, name: str) -> None:
    """A name that is not valid, also an empty one, is refused before anything is sent (3-19, 3-20)."""
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


def test_extension_is_part_of_name(cache: SessionCache) -> None:
    """Names may have dots and spaces, and an extension is a part of the name."""
    documents = cache.documents("a")
    for name in ("x.json", "x.md", "x", "a b", ".", "é"):
        documents.put(name, name)
    assert documents.list().items == [".", "a b", "x", "x.json", "x.md", "é"]
    assert (documents.get("x.json"), documents.get_json("x"), documents.delete("x.json")) == ("x.json", None, True)
    assert documents.get("x") == "x"


def test_missing_document_is_none(cache: SessionCache) -> None:
    """A document that does not exist is None, and the other form of a name is another document (3-21)."""
    documents = cache.documents("a")
    assert (documents.get("n"), documents.get_json("n")) == (None, None)
    documents.put("n", "text")
    documents.put_json("m", {})
    assert (documents.get_json("n"), documents.get("m")) == (None, None)


def test_text_is_returned_unchanged(cache: SessionCache) -> None:
    """A text is returned with its line ends and control characters, also an empty text."""
    documents = cache.documents("a")
    for text in ("", "# Plan\r\n\x00\x1b é 🧳\n", "x" * 100_000):
        documents.put("n", text)
        assert documents.get("n") == text


@pytest.mark.parametrize("value", [{"b": [1, None, 2.5], "a": {"é": True}}, [], "text", 0, False, 2**60, "\ud800"])
def test_json_is_returned_unchanged(cache: SessionCache, value: Any) -> None:
    """A JSON value is returned with its types and its key order."""
    documents = cache.documents("a")
    documents.put_json("n", value)
    assert documents.get_json("n") == value
    assert repr(documents.get_json("n")) == repr(value)


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, (1,), {"a": object()}])
def test_value_that_json_changes_is_refused(cache: SessionCache, value: Any) -> None:
    """A value that JSON would give back changed is refused."""
    with pytest.raises(InvalidInput, match="value"):
        cache.documents("a").put_json("n", value)
    assert cache.categories().items == []


@pytest.mark.parametrize("text", [5, None, b"x", "\ud800"])
def test_value_that_is_not_text_is_refused(cache: SessionCache, text: Any) -> None:
    """Bytes, lone surrogates and other types are refused as text."""
    with pytest.raises(InvalidInput, match="text"):
        cache.documents("a").put("n", text)


@pytest.mark.parametrize("stored", [b"{", b"\xff", b"", b"[" * 100_000, b"1" * 5000])
def test_damaged_document_raises_invalid_state(server: Server, namespace: str, stored: bytes) -> None:
    """A damaged document is an error that names it, and the other form and the list stay readable (3-22)."""
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


def test_concurrent_reader_sees_whole_text(cache: SessionCache) -> None:
    """A reader sees the old or the new text of two writers, never a part of one (3-23)."""
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


def test_list_has_each_name_once_in_order(cache: SessionCache) -> None:
    """A list has each name once, without extensions, and an unknown category has an empty list (3-24)."""
    documents = cache.documents("a")
    assert documents.list() == ([], None)
    for name in ("b", "a", "Z", "ä", "a b"):
        documents.put(name, "x")
    documents.put_json("a", 1)
    documents.put_json("c", 1)
    assert documents.list() == (["Z", "a", "a b", "b", "c", "ä"], None)


def test_list_omits_fields_that_are_not_documents(server: Server, namespace: str) -> None:
    """A list omits fields without an extension, or without a name before the extension (3-24)."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.documents("a").put("n", "x")
        server.client.hset(f"{namespace}:documents:a", mapping={"n.tmp": "", "n": "", ".md": ""})
        assert cache.documents("a").list().items == ["n"]
    server.client.flushall()


def test_list_continues_behind_cursor(cache: SessionCache) -> None:
    """A cursor is the last name of a page, valid also after that document was deleted, and the last page has none."""
    documents = cache.documents("a")
    for number in range(5):
        documents.put(f"n{number}", "x")
    assert documents.list(2) == (["n0", "n1"], "n1")
    documents.delete("n1")
    assert documents.list(2, "n1") == (["n2", "n3"], "n3")
    assert documents.list(2, "n3") == (["n4"], None)
    assert documents.list(4) == (["n0", "n2", "n3", "n4"], None)


@pytest.mark.parametrize("limit", [0, 100_001, -1, True, 1.5, None])
def test_limit_out_of_bounds_is_refused(cache: SessionCache, limit: Any) -> None:
    """A limit of documents outside 1 to 1,000, or of categories outside 1 to 100,000, is refused."""
    with pytest.raises(InvalidInput, match="limit"):
        cache.documents("a").list(limit)
    with pytest.raises(InvalidInput, match="limit"):
        cache.documents("a").list(1001)
    with pytest.raises(InvalidInput, match="limit"):
        cache.categories(limit)


def test_prefix_of_categories_is_a_plain_text(cache: SessionCache) -> None:
    """Categories are listed by a prefix of any characters, each once, also by pages and when there are thousands."""
    names = ["a*b", "a*b/c", "axb", "a?", "a[x]", "a[^y", "ax", "é/1"]
    cache.put_documents({name: {"k": 1} for name in [*names, *(f"n/{number}" for number in range(1500))]})
    for prefix in ("a*", "a*b", "a?", "a[", "a[^", "a", "é", "n/14", "x"):
        wanted = sorted(name for name in names if name.startswith(prefix))
        if prefix == "n/14":
            wanted = sorted(f"n/{number}" for number in range(1500) if str(number).startswith("14"))
        assert cache.categories(1000, prefix=prefix) == (wanted, None)
    assert cache.categories(2, "a*b", prefix="a") == (["a*b/c", "a?"], "a?")
    assert len(cache.categories(2000).items) == 1508


def test_namespace_without_room_looks_for_empty_categories_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused category is let in where another one is empty. Further refusals within a minute look at no category."""
    looked: list[Any] = []
    holding = DocumentCategories._holding

    def counted(self: DocumentCategories, names: Any) -> list[bool]:
        looked.append(names)
        return holding(self, names)

    monkeypatch.setattr(DocumentCategories, "_holding", counted)
    with SessionCache.from_url("fake://", bounds={"categories": 2}) as cache:
        categories = cache._context.categories
        for name in ("a", "b"):
            cache.documents(name).put("k", "x")
        cache.documents("a").delete("k")
        index = categories._index
        cache._context.executor.run(Call(("ZADD", index.ids, 1, "a"), index, int))  # it was registered long ago
        cache.documents("c").put("k", "x")
        assert looked == [["a", "b"]]
        for name in ("d", "e"):
            with pytest.raises(BoundExceeded):
                cache.documents(name).put("k", "x")
        assert len(looked) == 1
        categories._registered._next_search = 0.0  # a minute later
        with pytest.raises(BoundExceeded):
            cache.documents("d").put("k", "x")
        assert looked[1:] == [["b", "c"]]
        assert cache.categories().items == ["b", "c"]


@pytest.mark.parametrize("cursor", ["a/b", "", 5])
def test_cursor_that_is_not_a_name_is_refused(cache: SessionCache, cursor: Any) -> None:
    """A cursor that is not a valid name is refused."""
    with pytest.raises(InvalidInput, match="cursor"):
        cache.documents("a").list(cursor=cursor)


def test_delete_removes_one_form_at_a_time(cache: SessionCache) -> None:
    """The first deletion removes the JSON, the second one the text, and the third one returns False (3-25)."""
    documents = cache.documents("a")
    documents.put("n", "text")
    documents.put_json("n", 1)
    assert documents.delete("n") is True
    assert (documents.get_json("n"), documents.get("n")) == (None, "text")
    assert documents.delete("n") is True
    assert documents.delete("n") is False
    assert documents.list().items == []


def test_deletion_is_not_idempotent() -> None:
    """A deletion is not retried after an unknown outcome, because a retry could delete the other form."""
    keys = SessionCache.from_url("fake://").documents("a")._keys
    assert core.delete(keys, "n").idempotent is False
    assert core.put(keys, "n", "x", 10, StorageBounds(), None).idempotent is True


def test_document_larger_than_maximum_is_refused(url: str, namespace: str) -> None:
    """A document has at most `max_document_bytes` bytes of UTF-8, and the error says both sizes."""
    with SessionCache.from_url(url, namespace=namespace, max_document_bytes=10) as cache:
        documents = cache.documents("a")
        documents.put("n", "é" * 5)
        documents.put_json("n", "x" * 8)
        with pytest.raises(InvalidInput, match=r"at most 10 bytes .* got 11"):
            documents.put("n", "é" * 5 + "x")
        with pytest.raises(InvalidInput, match=r"at most 10 bytes .* got 11"):
            documents.put_json("n", "x" * 9)
        assert (documents.get("n"), documents.get_json("n")) == ("é" * 5, "x" * 8)
        assert (documents.delete("n"), documents.delete("n")) == (True, True)


@pytest.mark.parametrize("size", [0, 64 * 1024 * 1024 + 1, 1.5, "1"])
def test_maximum_size_outside_bounds_is_refused(size: Any) -> None:
    """The option max_document_bytes is 1 to 64 MiB, and 1 MiB by default."""
    with pytest.raises(InvalidInput, match="max_document_bytes"):
        SessionCache.from_url("fake://", max_document_bytes=size)
    with (
        SessionCache.from_url("fake://") as cache,
        pytest.raises(InvalidInput, match=r"at most 1048576 bytes .* got 1048577"),
    ):
        cache.documents("a").put("n", "x" * (1024 * 1024 + 1))


def test_categories_list_only_categories_with_documents(cache: SessionCache) -> None:
    """Categories are listed in order by page, and a category without documents is not listed."""
    for category in ("b", "a/b", "a", "é", "c"):
        cache.documents(category).put("n", "x")
    assert cache.categories() == (["a", "a/b", "b", "c", "é"], None)
    assert cache.categories(2) == (["a", "a/b"], "a/b")
    cache.documents("b").delete("n")
    assert cache.categories(2) == (["a", "a/b"], "a/b")
    assert cache.categories(2, "a/b") == (["c", "é"], None)
    cache.documents("b").put("n", "x")
    assert cache.categories().items == ["a", "a/b", "b", "c", "é"]


def test_category_registered_lately_is_listed_with_next_document(url: str, cache: SessionCache, namespace: str) -> None:
    """A process need not register a category again although another process found it empty."""
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


def test_empty_category_leaves_index_after_two_hours(server: Server, namespace: str) -> None:
    """An empty category leaves the index two hours after its last registration."""
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


def test_namespaces_do_not_share_documents(url: str, cache: SessionCache) -> None:
    """A namespace has its own documents, and its name cannot form the keys of documents of another one."""
    cache.documents("meta").put("n", "x")
    with SessionCache.from_url(url, namespace=f"{cache.namespace}0") as other:
        assert other.documents("meta").get("n") is None
        assert other.categories().items == []
    for namespace in ("a:documents", "a:documents:b"):
        with pytest.raises(InvalidInput, match="documents"):
            SessionCache.from_url("fake://", namespace=namespace)


def test_documents_do_not_expire(cache: SessionCache) -> None:
    """Documents and their index have no TTL, as `check_lifetimes` verifies after each test."""
    documents: Documents = cache.documents("a")
    documents.put("n", "x")
    assert documents.category == "a"


def test_async_documents_return_the_same(url: str, namespace: str) -> None:
    """The async methods have the same names and return the same values."""

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


def test_many_names_are_deleted_in_short_calls(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion of many names is sent as several scripts, none of which names more than 500 documents."""
    sizes: list[int] = []
    delete = core.delete

    def counted(keys: Any, *names: str) -> Call[int]:
        sizes.append(len(names))
        return delete(keys, *names)

    monkeypatch.setattr(core, "delete", counted)
    documents: Any = cache.documents("notes")
    documents.put_many({f"n{number}": "x" for number in range(0, 1200, 100)})
    assert documents.delete_many(f"n{number}" for number in range(1200)) == 12
    documents.put("n1", "x")
    assert cache.delete_documents({"notes": [f"n{number}" for number in range(501)]}) == 1
    assert sizes == [500, 500, 200, 500, 1]
