"""Read the lines of an open file, also of one that gzip wrote, in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, NoReturn

from ...errors import InvalidInput
from .import_reader import MAX_FILE_BYTES, MAX_LINE_BYTES

CHUNK_BYTES = 64 * 1024
MAX_RATIO = 500
"""The most times by which a compressed file may grow, after its first 64 MiB. Real sessions grow 5 to 30 times."""
FREE_BYTES = 64 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31


def is_file(lines: object) -> bool:
    """Return whether lines come from a file that is read by calls, and not by a loop of asyncio."""
    return callable(getattr(lines, "read", None)) and not hasattr(lines, "__aiter__")


def file_lines(file: Any) -> Iterator[bytes]:
    """Yield the lines of a file, each without its newline. Raises InvalidInput that names a line that is too long or damaged."""
    rest: list[bytes] = []
    size = number = 0
    try:
        for chunk in _chunks(file):
            first, *others = chunk.split(b"\n")
            rest.append(first)
            size += len(first)
            for following in others:
                number += 1
                yield b"".join(rest)
                rest, size = [following], len(following)
            if size > MAX_LINE_BYTES:
                raise _refusal(number + 1, f"is longer than {MAX_LINE_BYTES} bytes")
    except _BadFile as problem:
        raise _refusal(number + 1, str(problem)) from None
    if size:
        yield b"".join(rest)


class _BadFile(Exception):
    """A file that cannot be read as lines. Its text says why."""


def _chunks(file: Any) -> Iterator[bytes]:
    start = _read(file)
    if start.startswith(_GZIP_MAGIC):
        yield from _decompressed(file, start)
        return
    while start:
        yield start
        start = _read(file)


def _read(file: Any) -> bytes:
    try:
        data = file.read(CHUNK_BYTES)
    except UnicodeDecodeError:
        raise _BadFile("is not UTF-8: open the file with mode 'rb'") from None
    return data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data or b"")


def _decompressed(file: Any, data: bytes) -> Iterator[bytes]:
    """Yield the parts of a gzip file, each of at most 1 MiB."""
    unpack, taken, given, is_begun = zlib.decompressobj(_GZIP_WINDOW), 0, 0, False
    while data:
        taken += len(data)
        while data:
            try:
                part = unpack.decompress(data, 16 * CHUNK_BYTES)
            except zlib.error:
                _refuse_gzip("is damaged, or followed by something else")
            given, is_begun = given + len(part), True
            if given > MAX_FILE_BYTES or given > max(FREE_BYTES, taken * MAX_RATIO):
                _refuse_gzip(
                    f"grows more than {MAX_RATIO} times, or beyond {MAX_FILE_BYTES} bytes: unpack it first, if you trust it"
                )
            if part:
                yield part
            data = unpack.unconsumed_tail
            if unpack.eof:
                data, unpack, is_begun = unpack.unused_data, zlib.decompressobj(_GZIP_WINDOW), False
        data = _read(file)
    if is_begun:
        _refuse_gzip("was cut")


def _refuse_gzip(problem: str) -> NoReturn:
    raise _BadFile(f"cannot be read: the gzip file {problem}")


def _refusal(number: int, detail: str) -> InvalidInput:
    return InvalidInput(name="lines", detail=f"line {number} {detail}")
