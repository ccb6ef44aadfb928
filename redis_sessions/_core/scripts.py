"""Loads the Lua scripts: their text with includes in place, and the names of their keys and arguments.

A script's binding block is its contract. `local ttl = tonumber(ARGV[2]) -- ms` makes `ttl` the name of the second argument,
so Python passes arguments by name and no position is written twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path

_INCLUDE = re.compile(r"^ *--- include:(.*)$", re.MULTILINE)
_BINDING = re.compile(r"^local (\w+)\s*= .*?\b(KEYS\[(\d+)\]|KEYS, \d+|ARGV\[(\d+)\]|ARGV, (\d+))", re.MULTILINE)
_ERRORS = re.compile(r"^-- Errors: (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One atomic operation: its source, its SHA-1 as the server knows it, and what it wants."""

    name: str
    source: str
    sha: str
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    takes_rest: bool
    rest_keys: str
    errors: tuple[str, ...]
    writes_session: bool
    """Whether it may move a session's updated time."""


@cache
def folder() -> Path:
    """Where the scripts are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "lua"
    return inside if inside.is_dir() else package.parent / "lua"


@cache
def script(name: str) -> Script:
    """The script of a name such as `messages/append`."""
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
    source = _included(body)
    errors = _ERRORS.search(body)
    return Script(
        name=name,
        source=source,
        sha=sha1(source.encode(), usedforsecurity=False).hexdigest(),
        keys=tuple(keys[at] for at in sorted(keys)),
        arguments=tuple(arguments[at] for at in sorted(arguments)),
        takes_rest=takes_rest,
        rest_keys=rest_keys,
        errors=tuple(errors[1].split()) if errors else (),
        writes_session="batch" in arguments.values() or name in ("sessions/delete", "sessions/touch"),
    )


@cache
def _library(name: str) -> str:
    return _included((folder() / "lib" / f"{name}.lua").read_text(encoding="utf-8"))


def _included(text: str) -> str:
    return _INCLUDE.sub(lambda found: "".join(_library(part) for part in found[1].split()), text)


def names() -> list[str]:
    """All scripts, by name."""
    found = (path.relative_to(folder()) for path in folder().rglob("*.lua"))
    return sorted(str(path.with_suffix("")) for path in found if path.parts[0] != "lib")
