"""Load the Lua scripts, and read their contracts from their headers and binding blocks.

A script's binding block names its keys and arguments. `local ttl_ms = tonumber(ARGV[2]) -- …` makes `ttl_ms` the name of the
second argument, so Python passes arguments by name and no position is written twice. What is sent is linked and minified.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha1
from operator import attrgetter, itemgetter
from typing import Any, Literal

from .linker import folder, link
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
    source = minify(link(body), is_fast=name in _FAST_SCRIPTS)
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
    creation = link("--- include: create_then_write\n")
    return f"{creation}return create_then_write(function()\n{linked(name)}end)\n"


def linked(name: str) -> str:
    """Return a script's source with its includes in place and its names as they are written, for tools and tests."""
    return link((folder() / f"{name}.lua").read_text(encoding="utf-8"))


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
