"""Keep lists of bytes in a file, each as its lengths and then its parts."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import IO

_COUNT = struct.Struct(">I")


def write_parts(spool: IO[bytes], parts: Sequence[bytes]) -> None:
    """Write a list of bytes."""
    sizes = struct.pack(f">{len(parts)}Q", *map(len, parts))
    spool.write(b"".join([_COUNT.pack(len(parts)), sizes, *parts]))


def read_parts(spool: IO[bytes]) -> list[bytes]:
    """Read the next list of bytes."""
    (count,) = _COUNT.unpack(spool.read(_COUNT.size))
    sizes = struct.unpack(f">{count}Q", spool.read(8 * count))
    return [spool.read(size) for size in sizes]
