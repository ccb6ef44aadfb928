"""Load the Lua scripts: resolve their includes, and read their contracts from their headers and binding blocks.

A script's binding block names its keys and arguments. `local ttl_ms = tonumber(ARGV[2]) -- …` makes `ttl_ms` the name of the
second argument, so Python passes arguments by name and no position is written twice.

Includes: a file names the library functions that it uses: `--- include: read_clock check_lease`. Each function is defined once
in a script, in the innermost block that contains all its uses. An include inside an `if`, or behind the code that most calls
need, keeps the function there, because a function that is not needed costs the server time. What is sent is minified.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha1
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Literal

from .minify import minify

IndexEffect = Literal["none", "touches", "may_end", "may_relist"]
HINT_SCRIPTS = ("indexes/put_entries", "indexes/raise_entries", "shared/register")
"""The scripts of hints. A client loads them before any other script, so a server that knows a write knows its hints."""
CREATING_SCRIPTS = (
    "messages/append", "messages/append_new", "messages/edit", "inbox/send", "state/patch", "state/add", "leases/acquire",
    "parts/append", "parts/put",
)  # fmt: skip
"""The scripts that a handle of `ensure` sends in a variant that creates the session first."""
_FAST_SCRIPTS = ("messages/append",)
"""Scripts that run for most calls, so that their speed counts more than their size."""
_INCLUDE = re.compile(r"^( *)--- include:(.*)$")
_BINDING = re.compile(r"^local (\w+)\s*= .*?\b(KEYS\[(\d+)\]|KEYS, \d+|ARGV\[(\d+)\]|ARGV, (\d+))", re.MULTILINE)
_ERRORS = re.compile(r"^-- Errors: (.*(?:\n--   .*)*)", re.MULTILINE)
_INDEX = re.compile(r"^-- Index: (\w+)", re.MULTILINE)
_WORD = re.compile(r"[A-Z_]{2,}")


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """One atomic operation: its source as sent, its SHA-1 as the server knows it, and its contract."""

    name: str
    source: str
    sha: str
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    fixed_arguments: tuple[str, ...]
    """The arguments without the one that takes the rest."""
    takes_rest: bool
    """True if the last argument stands for any number of them."""
    rest_keys: str
    """The name of the keys behind the fixed ones, or ''."""
    errors: tuple[str, ...]
    pick_keys: Callable[[Any], tuple[str, ...]]
    """Returns the fixed keys from an object that has them as attributes."""
    pick_arguments: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    """Returns the fixed arguments from a mapping by their names."""
    index: IndexEffect
    """The effect of a call on the indexes of sessions.

    none: nothing. touches: the updated time may move. may_end: the session may end, or live longer. may_relist: the session may
    come to be listed under other values.
    """


@cache
def folder() -> Path:
    """Return the folder of the scripts: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).parent.parent.parent
    inside = package / "lua"
    return inside if inside.is_dir() else package.parent / "lua"


@cache
def load_commands(wanted: Script | None = None) -> tuple[tuple[str, str, str], ...]:
    """Return the commands that load the scripts of hints, and then the wanted script: a hint must run before its write."""
    wanted_last = [wanted] if wanted is not None else []
    return tuple(("SCRIPT", "LOAD", one.source) for one in [*map(script, HINT_SCRIPTS), *wanted_last])


@cache
def script(name: str) -> Script:
    """Return the script with a name such as `messages/append`."""
    body = (folder() / f"{name}.lua").read_text(encoding="utf-8")
    keys: dict[int, str] = {}
    arguments: dict[int, str] = {}
    takes_rest = False
    rest_keys = ""
    for local, bound, key, argument, rest in _BINDING.findall(body):
        if bound.startswith("KEYS, "):
            rest_keys = local
        elif key:
            keys[int(key)] = local
        else:
            arguments[int(argument or rest)] = local
            takes_rest = takes_rest or bool(rest)
    source = minify(_Linker(body).link(), is_fast=name in _FAST_SCRIPTS)
    ordered_keys = tuple(keys[at] for at in sorted(keys))
    ordered = tuple(arguments[at] for at in sorted(arguments))
    fixed = ordered[:-1] if takes_rest else ordered
    errors, index = _ERRORS.search(body), _INDEX.search(body)
    return Script(
        name=name,
        source=source,
        sha=_sha(source),
        keys=ordered_keys,
        arguments=ordered,
        fixed_arguments=fixed,
        pick_keys=_picker(attrgetter, ordered_keys),
        pick_arguments=_picker(itemgetter, fixed),
        takes_rest=takes_rest,
        rest_keys=rest_keys,
        errors=tuple(_WORD.findall(errors[1])) if errors else (),
        index=index[1] if index else "none",  # type: ignore[arg-type]
    )


@cache
def creating(name: str) -> Script:
    """Return the variant of a writing script that creates the session first if it does not exist.

    It takes the arguments of the creation behind its own ones. See lua/lib/session/create_then_write.lua.
    """
    source = minify(linked_creating(name), is_fast=name in _FAST_SCRIPTS)
    return replace(script(name), name=f"{name} or create", source=source, sha=_sha(source))


def linked_creating(name: str) -> str:
    """Return the source of such a variant with its names as they are written."""
    creation = _Linker("--- include: create_then_write\n").link()
    return f"{creation}return create_then_write(function()\n{linked(name)}end)\n"


def linked(name: str) -> str:
    """Return a script's source with its includes in place and its names as they are written, for tools and tests."""
    return _Linker((folder() / f"{name}.lua").read_text(encoding="utf-8")).link()


def all_scripts() -> list[Script]:
    """Return each script that a server can be sent."""
    return [*map(script, names()), *map(creating, CREATING_SCRIPTS)]


def _picker(getter: Callable[..., Any], names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that returns a tuple of the attributes or items with some names."""
    if len(names) > 1:
        picked: Callable[[Any], tuple[Any, ...]] = getter(*names)
        return picked
    return lambda source: tuple(getter(name)(source) for name in names)


def _sha(source: str) -> str:
    return sha1(source.encode(), usedforsecurity=False).hexdigest()


def names() -> list[str]:
    """Return the names of all scripts."""
    found = (path.relative_to(folder()) for path in folder().rglob("*.lua"))
    return sorted(path.with_suffix("").as_posix() for path in found if path.parts[0] != "lib")


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


@dataclass(slots=True)
class _Block:
    """A block of source lines that has include lines: a whole file, a function body, or the body of an `if`."""

    parent: _Block | None
    indent: int
    names: list[str] = field(default_factory=list)
    """The library functions that the block's own include lines name."""


class _File:
    """A source file, split at its include lines. Comments and blank lines are dropped."""

    def __init__(self, text: str) -> None:
        self.top = _Block(None, 0)
        """The includes of the file as a whole."""
        self.body = _Block(None, 0)
        """The function of a library function. A script has none, so its body is its top."""
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

    def __init__(self, body: str) -> None:
        self._script = _File(body)
        self._script.body = self._script.top
        for block in self._script.blocks:
            block.parent = (
                self._script.top if block.parent is not None and block.parent.parent is None else block.parent
            )
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
