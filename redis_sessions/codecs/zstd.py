"""Compression by zstd, with a dictionary that is trained from real sessions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import local
from typing import Any

from .._core.protocol.chain import Binding
from .._durations import whole
from .._extras import import_extra
from ..bounds import MAX_WIRE_BYTES
from ..errors import CodecMissing, InvalidInput

MIN_BYTES = 32
"""Data below this size is left as it is."""
MAX_DICTIONARY_BYTES = 16 * 1024 * 1024


class Zstd:
    """Compress with zstd. Data that does not become smaller is left as it is.

    With a dictionary short messages become much smaller. Each value names its dictionary, so that a cache can read values of
    several dictionaries.
    """

    letter = "z"

    def __init__(self, dictionary: bytes | None = None, *, older: Sequence[bytes] = (), level: int = 3) -> None:
        """Take the dictionary.

        Args:
            dictionary: what `train_dictionary` or `redis-sessions codec train` made. Default: none.
            older: dictionaries of values that were stored before.
            level: 1 (fast) to 19 (small).

        Raises:
            InvalidInput: an argument is not valid.
            ModuleNotFoundError: the extra `zstd` is not installed.
        """
        self._zstandard = import_extra("zstandard", "Zstd", "zstd")
        self._level = whole(level, "level", minimum=1, maximum=19)
        self._given = dictionary, tuple(older)
        listed = [*([] if dictionary is None else [dictionary]), *older]
        by_id = {one.dict_id(): one for one in map(self._dictionary, listed)}
        if len(by_id) != len(listed):
            raise InvalidInput(name="older", detail="must hold dictionaries with different IDs: train another one")
        self._dictionaries = by_id
        self._current = None if dictionary is None else next(iter(by_id.values()))
        self._threads = local()

    def encode(self, data: bytes, binding: Binding) -> bytes | None:
        """Return the compressed data, or None if that is not smaller."""
        if len(data) < MIN_BYTES:
            return None
        found: bytes = self._compressor().compress(data)
        return found if len(found) < len(data) else None

    def decode(self, data: bytes, binding: Binding) -> bytes:
        """Return the plain data. Raises CodecMissing for a dictionary that is not here, and ValueError for damaged data."""
        zstandard = self._zstandard
        try:
            facts = zstandard.get_frame_parameters(data, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
            if facts.content_size > MAX_WIRE_BYTES:
                raise ValueError(f"its text has {facts.content_size} bytes, more than {MAX_WIRE_BYTES}")
            if facts.dict_id and facts.dict_id not in self._dictionaries:
                raise CodecMissing(session_id=binding.session_id, codec=f"z with dictionary {facts.dict_id}")
            found: bytes = self._decompressor(facts.dict_id).decompress(data)
        except zstandard.ZstdError as problem:
            raise ValueError(f"it cannot be decompressed: {problem}") from None
        return found

    def is_current(self, data: bytes) -> bool:
        """Return whether a value was compressed with the dictionary of new values."""
        zstandard = self._zstandard
        try:
            facts = zstandard.get_frame_parameters(data, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
        except zstandard.ZstdError:
            return False
        return bool(facts.dict_id == (self._current.dict_id() if self._current else 0))

    def _dictionary(self, data: bytes) -> Any:
        if not isinstance(data, bytes) or not 0 < len(data) <= MAX_DICTIONARY_BYTES:
            found = f"{len(data)} bytes" if isinstance(data, bytes) else f"a {type(data).__name__}"
            raise InvalidInput(name="dictionary", detail=f"must be 1 byte to {MAX_DICTIONARY_BYTES} bytes, got {found}")
        try:
            found = self._zstandard.ZstdCompressionDict(data, dict_type=self._zstandard.DICT_TYPE_FULLDICT)
            found.precompute_compress(level=self._level)
        except self._zstandard.ZstdError as problem:
            raise InvalidInput(name="dictionary", detail=f"must be a zstd dictionary: {problem}") from None
        return found

    def _compressor(self) -> Any:
        """Return the compressor of this thread: it must not be used by two at once."""
        found = getattr(self._threads, "compressor", None)
        if found is None:
            zstandard = self._zstandard
            parameters = zstandard.ZstdCompressionParameters.from_level(
                self._level, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=True, write_checksum=False,
                write_dict_id=True,
            )  # fmt: skip
            found = zstandard.ZstdCompressor(dict_data=self._current, compression_params=parameters)
            self._threads.compressor = found
        return found

    def _decompressor(self, dictionary_id: int) -> Any:
        """Return the decompressor of this thread for a dictionary, 0 for none."""
        by_id = self._threads.__dict__.setdefault("decompressors", {})
        if dictionary_id not in by_id:
            zstandard = self._zstandard
            by_id[dictionary_id] = zstandard.ZstdDecompressor(
                dict_data=self._dictionaries.get(dictionary_id), format=zstandard.FORMAT_ZSTD1_MAGICLESS
            )
        return by_id[dictionary_id]

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_again, (*self._given, self._level)

    def __repr__(self) -> str:
        return f"Zstd(dictionaries={list(self._dictionaries)}, level={self._level})"


def _make_again(dictionary: bytes | None, older: tuple[bytes, ...], level: int) -> Zstd:
    return Zstd(dictionary, older=older, level=level)


def train_dictionary(samples: Iterable[bytes], size: int = 64 * 1024, *, level: int = 3) -> bytes:
    """Return a zstd dictionary for data that resembles the samples.

    Args:
        samples: payloads as JSON. A thousand or more give a good dictionary.
        size: the maximum size of the dictionary in bytes, 1 KiB to 1 MiB.
        level: the level with which the dictionary is used.

    Raises:
        InvalidInput: the samples are too few, or too much alike, for a dictionary.
        ModuleNotFoundError: the extra `zstd` is not installed.
    """
    zstandard = import_extra("zstandard", "train_dictionary", "zstd")
    whole(size, "size", minimum=1024, maximum=1024 * 1024)
    given = [bytes(one) for one in samples]
    try:
        found: bytes = zstandard.train_dictionary(size, given, level=level).as_bytes()
    except (zstandard.ZstdError, ValueError) as problem:
        detail = f"must be enough for a dictionary of {size} bytes, got {len(given)}: {problem}"
        raise InvalidInput(name="samples", detail=detail) from None
    return found
