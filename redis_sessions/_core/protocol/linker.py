"""Link the Lua scripts: put each library function that a script uses where it belongs.

A file names the library functions that it uses: `--- include: read_clock check_lease`. Each function is defined once in a script,
in the innermost block that contains all its uses. An include inside an `if`, or behind the code that most calls need, keeps the
function there, because a function that is not needed costs the server time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_INCLUDE = re.compile(r"^( *)--- include:(.*)$")


@cache
def folder() -> Path:
    """Return the folder of the scripts: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).parent.parent.parent
    inside = package / "lua"
    return inside if inside.is_dir() else package.parent / "lua"


@cache
def library() -> dict[str, str]:
    """Return the source of each library function by its name. A file's own include lines precede each of its functions."""
    found: dict[str, str] = {}
    for path in sorted((folder() / "lib").rglob("*.lua")):
        head, *functions = re.split(r"^(?=local function )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        includes = "".join(line for line in head.splitlines(keepends=True) if _INCLUDE.match(line))
        for function in functions:
            name = function.removeprefix("local function ").partition("(")[0]
            found[name] = includes + function
    return found


def link(text: str) -> str:
    """Return the source of a script with its includes in place, and the names as they are written."""
    return _Linker(text).link()


@dataclass(slots=True)
class _Block:
    """A block of source lines that has include lines: a whole file, a function body, or the body of an `if`."""

    parent: _Block | None
    indent: int
    names: list[str] = field(default_factory=list)
    """The library functions that the block's own include lines name."""


class _File:
    """A source file, split at its include lines. Comments and blank lines are dropped."""

    def __init__(self, text: str, *, is_script: bool = False) -> None:
        self.top = _Block(None, 0)
        """The includes of the file as a whole."""
        self.body = self.top if is_script else _Block(None, 0)
        """The block of the code: the function of a library file, a script as a whole."""
        self.blocks: list[_Block] = []
        self.lines: list[str | _Block] = []
        open_blocks: list[_Block] = []
        for line in text.splitlines():
            found = _INCLUDE.match(line)
            if found is None and (not line.strip() or line.lstrip().startswith("--")):
                continue
            indent = len(line) - len(line.lstrip())
            while open_blocks and indent < open_blocks[-1].indent:
                open_blocks.pop()
            if found is None:
                self.lines.append(line)
            elif not self.lines:
                self.top.names += found[2].split()
            else:
                if not open_blocks or indent > open_blocks[-1].indent:
                    block = _Block(open_blocks[-1] if open_blocks else self.body, indent)
                    open_blocks.append(block)
                    self.blocks.append(block)
                    self.lines.append(block)
                open_blocks[-1].names += found[2].split()

    @property
    def included(self) -> list[str]:
        """Every library function that this one names, in order."""
        return [*self.top.names, *(name for block in self.blocks for name in block.names)]


class _Linker:
    """Put each library function that a script uses where it belongs."""

    def __init__(self, text: str) -> None:
        self._script = _File(text, is_script=True)
        self._files: dict[str, _File] = {}
        self._order: list[str] = []
        for name in self._script.included:
            self._load(name)

    def link(self) -> str:
        """Return the source as it is sent."""
        self._place()
        lines = [*self._emitted(self._script.top), *self._body(self._script)]
        return "".join(f"{line.lstrip()}\n" for line in lines)

    def _load(self, name: str) -> None:
        """Load a library function and the files that it includes. `_order` has each after those."""
        if name in self._files:
            return
        file = self._files[name] = _File(library()[name])
        for other in file.included:
            self._load(other)
        self._order.append(name)

    def _place(self) -> None:
        """Find the block of each library function: the innermost that contains all its uses. Blocks only move outwards."""
        root = self._script.top
        self._placed: dict[str, _Block] = {}
        is_stable = False
        while not is_stable:
            is_stable = True
            uses: dict[str, list[_Block]] = {name: [] for name in self._order}
            for block in [root, *self._script.blocks]:
                for name in block.names:
                    uses[name].append(block)
            for name in reversed(self._order):  # a file comes before the files that it includes
                file, block = self._files[name], _common(uses[name])
                if self._placed.get(name) is not block:
                    self._placed[name] = file.body.parent = block
                    is_stable = False
                for other in file.top.names:
                    uses[other].append(block)
                for inner in file.blocks:
                    for other in inner.names:
                        uses[other].append(inner)

    def _emitted(self, block: _Block) -> list[str]:
        """Return the functions that are placed in a block, each after the functions that it uses."""
        lines: list[str] = []
        for name in self._order:
            if self._placed[name] is block:
                lines += self._body(self._files[name])
        return lines

    def _body(self, file: _File) -> list[str]:
        lines: list[str] = []
        for line in file.lines:
            if isinstance(line, _Block):
                lines += self._emitted(line)
                continue
            lines.append(line)
            if file is not self._script and line.startswith("local function "):
                lines += self._emitted(file.body)
        return lines


def _common(blocks: list[_Block]) -> _Block:
    """Return the innermost block that contains all of some blocks."""
    shared = _chain(blocks[0])
    for block in blocks[1:]:
        chain = _chain(block)
        shared = [outer for outer in shared if any(outer is other for other in chain)]
    return shared[0]


def _chain(block: _Block | None) -> list[_Block]:
    """Return a block and the blocks around it, from the inside out."""
    chain = []
    while block is not None:
        chain.append(block)
        block = block.parent
    return chain
