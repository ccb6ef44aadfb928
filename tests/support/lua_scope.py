"""Find the globals that a Lua script reads and writes, in the bytecode that Lua 5.1 compiles it to."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import lupa.lua51

GETGLOBAL, SETGLOBAL = 5, 7
ALLOWED_GLOBALS = frozenset(
    [
        "ARGV",
        "KEYS",
        "ipairs",
        "math",
        "next",
        "pairs",
        "redis",
        "string",
        "table",
        "tonumber",
        "tostring",
        "type",
        "unpack",
    ]
)
"""The globals that a script may use: present and equal on every engine."""


@dataclass
class Globals:
    """The global names of a script."""

    read: set[str]
    written: set[str]


class _Reader:
    """Read the parts of a Lua 5.1 chunk. The header says how large numbers are."""

    def __init__(self, chunk: bytes) -> None:
        self._data = chunk
        self._at = 12
        self._int, self._size, _, self._number = chunk[7:11]
        self.found = Globals(set(), set())

    def _take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        self._at += count
        return part

    def _integer(self) -> int:
        return int.from_bytes(self._take(self._int), "little")

    def _string(self) -> str:
        return self._take(int.from_bytes(self._take(self._size), "little"))[:-1].decode("latin-1")

    def function(self) -> None:
        """Read one function and the functions in it."""
        self._string()
        self._take(2 * self._int + 4)
        code = [struct.unpack("<I", self._take(4))[0] for _ in range(self._integer())]
        constants = [self._constant() for _ in range(self._integer())]
        for instruction in code:
            name = constants[instruction >> 14] if instruction & 63 in (GETGLOBAL, SETGLOBAL) else None
            if name is not None:
                (self.found.read if instruction & 63 == GETGLOBAL else self.found.written).add(str(name))
        for _ in range(self._integer()):
            self.function()
        self._take(self._integer() * self._int)  # lines
        for _ in range(self._integer()):  # local names
            self._string()
            self._take(2 * self._int)
        for _ in range(self._integer()):  # upvalue names
            self._string()

    def _constant(self) -> str | None:
        kind = self._take(1)[0]
        if kind == 4:
            return self._string()
        self._take({0: 0, 1: 1, 3: self._number}[kind])
        return None


def globals_of(source: str) -> Globals:
    """Return the globals of a script. Raises ValueError when it does not compile."""
    lua = lupa.lua51.LuaRuntime(encoding=None)
    compiled = lua.eval("loadstring")(source.encode())
    if isinstance(compiled, tuple):
        raise ValueError(compiled[1].decode())
    reader = _Reader(lua.eval("string.dump")(compiled))
    reader.function()
    return reader.found
