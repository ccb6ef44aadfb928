"""Exports hold the files of a blob store, and imports store them again."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import Any

import pytest

from redis_sessions import (
    BlobStoreUnavailable,
    CodecMissing,
    InvalidInput,
    SessionCache,
    SessionDamaged,
    SessionNotFound,
)
from redis_sessions._core.transfer import export_format
from redis_sessions.codecs import EVERYTHING, AesGcm, KeyRing, Zstd
from tests.support.blob_store import Store, broken, large, offload


@pytest.fixture
def store() -> Store:
    """Return a store."""
    return Store()


def codecs(store: Store, *, is_encrypted: bool = True) -> list[Any]:
    """Return codecs that encrypt and offload."""
    cipher = AesGcm(KeyRing({"k": b"1" * 32}, current="k"))
    return [Zstd(), cipher, offload(store)] if is_encrypted else [offload(store)]


def user(text: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


@pytest.fixture
def opened(cache: SessionCache, store: Store) -> Any:
    """Return a cache that offloads."""
    found = SessionCache(cache, codecs=codecs(store), encode=EVERYTHING)
    yield found
    found._context.hub.close()


def filled(cache: SessionCache) -> tuple[str, list[str]]:
    """Return the large text of a session that has it at each place, and the lines of its export."""
    session, text = cache.create("a", max_messages=3), large(size=5000)
    session.append(user(text), user("hi"))
    session.pin(1)
    session.append(user(text), user(text))
    session.state.put("s", text)
    session.part("p").append(user(text))
    with session.lease():
        cache.session("a").send(text)
        lines = list(session.export(key=b"k" * 16))
    return text, lines


def check(cache: SessionCache, text: str) -> None:
    """Check that all places of the session have the text."""
    session = cache.session("a")
    contents = [one.content for one in session.history()]
    assert (set(contents) - {"hi"}, session.state.get("s")) == ({text}, text)
    assert [one.content for one in session.part("p").history()] == [text]


def test_export_has_the_files(opened: SessionCache, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export is whole without the store, and its import stores the files under new names."""
    monkeypatch.setattr(export_format, "_BLOB_PART_BYTES", 1000)
    text, lines = filled(opened)
    before = store.files()
    opened.session("a").delete()
    store.rm("/blobs", recursive=True)
    assert opened.import_sessions(lines, key=b"k" * 16).imported == 1
    assert set(before).isdisjoint(store.files())
    assert len(store.files()) == sum(json.loads(line).get("blob", "") != "" for line in lines) / 3
    check(opened, text)
    assert opened._context.chain is not None
    assert opened._context.chain.blobs is not None
    assert opened._context.chain.blobs.pending.size == 0


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_import_into_another_namespace(opened: SessionCache, store: Store, is_encrypted: bool) -> None:
    """Files of an import belong to the importing namespace."""
    source = SessionCache(opened, codecs=codecs(store, is_encrypted=is_encrypted), encode=EVERYTHING)
    text, lines = filled(source)
    other = Store()
    chain = codecs(other, is_encrypted=is_encrypted)
    with SessionCache.from_url("fake://", namespace="other", codecs=chain, encode=EVERYTHING) as target:
        target.import_sessions(lines, key=b"k" * 16)
        store.rm("/blobs", recursive=True)
        check(target, text)
        assert target.sweep_blobs().files == len(other.files())
    source._context.hub.close()


@pytest.mark.parametrize("chain", [[], [Zstd()]])
def test_cache_without_offload_is_refused(opened: SessionCache, chain: list[Any]) -> None:
    """An export, and an import of files, need Offload. Nothing is imported."""
    _, lines = filled(opened)
    with SessionCache.from_url("fake://", codecs=chain) as target:
        with pytest.raises(CodecMissing, match="o"):
            target.import_sessions(lines, key=b"k" * 16)
        assert target.count() == 0
    plain = SessionCache(opened, codecs=chain)
    with pytest.raises(CodecMissing, match="o"):
        list(plain.session("a").export())
    plain._context.hub.close()


def test_store_that_is_down(opened: SessionCache, store: Store) -> None:
    """An export without its files ends with an error that names one, and an import that cannot store them leaves nothing."""
    _, lines = filled(opened)
    store.on_read = broken(PermissionError("gone"))
    with pytest.raises(BlobStoreUnavailable, match=r"file \w+/\w+ of session 'a': PermissionError: gone"):
        list(opened.session("a").export())
    opened.session("a").delete()
    store.on_write = broken(PermissionError("gone"))
    with pytest.raises(BlobStoreUnavailable, match="gone"):
        opened.import_sessions(lines, key=b"k" * 16)
    with pytest.raises(SessionNotFound):
        opened.session("a").info()
    store.on_read = store.on_write = lambda path: None
    opened.import_sessions(lines, key=b"k" * 16)
    store.rm("/blobs", recursive=True)
    with pytest.raises(SessionDamaged, match="is missing"):
        list(opened.session("a").export())


def changed(lines: list[str], change: Any) -> list[str]:
    """Return an export whose parsed lines were changed, with the checksum that it needs."""
    given = [line for line in lines if "hmac" not in json.loads(line)]
    texts = [json.dumps(one, ensure_ascii=False) for one in change([json.loads(line) for line in given])]
    digest = sha256(b"".join(text.encode() + b"\n" for text in texts[:-1])).hexdigest()
    end = json.loads(texts[-1])
    end["end"]["sha256"] = digest
    return [*texts[:-1], json.dumps(end)]


def _first_blob(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return next(line for line in lines if "blob" in line)


def _without(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line is not _first_blob(lines)]


def _twice(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    at = lines.index(_first_blob(lines))
    return [*lines[: at + 1], *lines[at:]]


def _with(**given: Any) -> Any:
    def change(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        _first_blob(lines).update(given)
        return lines

    return change


def _cut(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    line = _first_blob(lines)
    line["data"] = base64.b64encode(base64.b64decode(line["data"])[:-1]).decode()
    return lines


def _other_bytes(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    line = _first_blob(lines)
    line["data"] = base64.b64encode(bytes(len(base64.b64decode(line["data"])))).decode()
    return lines


def _longer(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    line = _first_blob(lines)
    line["data"] = base64.b64encode(base64.b64decode(line["data"]) + b"x").decode()
    return lines


def _first(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    line = _first_blob(lines)
    rest = [one for one in lines if one is not line]
    return [rest[0], rest[1], line, *rest[2:]]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_without, "refers to file .*, which the export does not have"),
        (_twice, "does not refer, or that it has twice"),
        (_with(blob="../../etc/passwd"), "does not refer, or that it has twice"),
        (_with(blob=f"{'a' * 32}/{'b' * 44}"), "does not refer, or that it has twice"),
        (_with(blob=5), "without a name or data"),
        (_with(data=None), "without a name or data"),
        (_with(data="\x1b[31m"), "is not base64"),
        (_with(data=""), "another size"),
        (_with(session="b"), "has a file of another session"),
        (_with(more=1), "misses 'more', or has it besides"),
        (_cut, "is cut"),
        (_longer, "another size"),
        (_other_bytes, "has other bytes"),
        (_first, "has messages behind|behind the files|does not refer"),
    ],
)
def test_changed_files_are_refused(change: Any, text: str) -> None:
    """Each change of the lines with files is refused by its line, and nothing is stored."""
    store = Store()
    with SessionCache.from_url("fake://", codecs=codecs(store), encode=EVERYTHING) as cache:
        _, lines = filled(cache)
        cache.session("a").delete()
        count = len(store.files())
        with pytest.raises(InvalidInput, match=rf"line \d+ .*({text})"):
            cache.import_sessions(changed(lines, change))
        with pytest.raises(SessionNotFound):
            cache.session("a").info()
        assert len(store.files()) == count
        assert cache.import_sessions(changed(lines, lambda given: given)).imported == 1
