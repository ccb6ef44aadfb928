"""Imports take what the importing cache itself could store, and no more."""

from __future__ import annotations

import io

import pytest

from redis_sessions import SessionCache, StorageBounds
from redis_sessions._core.protocol.blobs import BlobRef
from redis_sessions._core.transfer import import_blobs
from redis_sessions._core.transfer.import_bounds import Bounds
from redis_sessions._core.transfer.import_ledger import LedgerCheck
from redis_sessions._core.transfer.import_parts import PartsCheck
from redis_sessions._core.transfer.import_schema import Damaged
from redis_sessions.codecs import EVERYTHING, AesGcm, KeyRing
from redis_sessions.settings import SessionSettings


def test_encoded_values_at_their_bounds_are_imported() -> None:
    """A cache imports what it exported, although encoded values are larger than the bounds of plain ones."""
    codecs = [AesGcm(KeyRing({"k1": b"x" * 32}, current="k1"))]
    with SessionCache.from_url("fake://", codecs=codecs, encode=EVERYTHING) as cache:
        lines: list[str] = []
        cache.create("n", name="n" * 1024, metadata={"a": "x" * (64 * 1024 - 3)}, system_prompt="p" * 256 * 1024)
        cache.session("n").complete("r" * (256 * 1024 - 2))
        cache.create("r").fail(reason="r" * 4096)
        for id in ("n", "r"):
            lines = list(cache.session(id).export())
            cache.delete(id)
            assert cache.import_sessions(lines).imported == 1
        assert cache.session("r").info().reason == "r" * 4096


def test_cache_with_larger_bounds_imports_what_it_exported() -> None:
    """Pages of large turns, and more than 50,000 values, are imported by a cache whose bounds allow them."""
    bounds = {"loop_turn_bytes": 1024 * 1024, "values": 100_000, "state_bytes": 8 * 1024 * 1024}
    with SessionCache.from_url("fake://", bounds=bounds) as cache:
        session = cache.create("a")
        loop = session.start_loop("l")
        for _ in range(10):
            loop.add_turn("x", output="y" * 900_000)
        for first in range(0, 51_000, 3000):
            session.state.patch({f"n{first + at}": 1 for at in range(3000)})
        lines = list(session.export())
        session.delete()
        assert cache.import_sessions(lines).imported == 1


def test_steps_without_usage_are_refused_before_they_fill_the_memory() -> None:
    """A ledger that names more than 4,096 steps before it has their usage is refused."""
    record = b"running 1 1 - 0 0 %d 0 0 0 0 0 0 0" % 10_000
    check = LedgerCheck("s", {b"loops": b"l", b"loop.l": record}, Bounds.of(SessionSettings()))

    def name_page(page: int) -> None:
        check.add({f"steps.l {page}": "".join(f"{page * 16 + at}\n" for at in range(16))})

    for page in range(256):
        name_page(page)
    with pytest.raises(Damaged, match="at most 4096 steps"):
        name_page(256)


def test_parts_and_files_are_refused_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that names more parts than the cache may store, or very many files, is refused at the first one too many."""
    bounds = Bounds.of(SessionSettings(), StorageBounds(parts=10))
    check = PartsCheck("s", {b"has_parts": b"1"}, bounds, b"~~~~~~~")
    for number in range(1, 11):
        check.add({f"part.p{number}": f"{number} 1 0 0 0 0"})
    with pytest.raises(Damaged, match=r"at most 10 \(parts\)"):
        check.add({"part.p11": "11 1 0 0 0 0"})
    monkeypatch.setattr(import_blobs, "MAX_FILES", 10)
    files = import_blobs.BlobsCheck("s", io.BytesIO())
    files.need(BlobRef.of("a" * 32, b"x") for _ in range(10))
    with pytest.raises(Damaged, match="more than 10 files"):
        files.need([BlobRef.of("a" * 32, b"x")])
