"""Shorten a Lua script before it is sent. Line N of the result is line N of the given source, so error positions hold.

A server keeps the source of every script that it loaded. Comments, indentation and spaces are dropped. Names of locals and
of fields of the script's own tables become short ones. Strings, global names, and fields that the script also names as text stay.
A function such as `string.match` that is called often becomes a local of the script, which is also faster to call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from string import ascii_letters, digits

_KEYWORDS = {"do", "if", "in", "or"}
_LIBRARIES = {"redis", "string", "table", "math"}
_FAST = {"redis.call", "redis.error_reply"}
_GLOBALS = {"ipairs", "tonumber", "unpack"}
_COMMENT = re.compile(r"('(?:\\.|[^'\\\n])*')|--[^\n]*")
_TOKEN = re.compile(
    r"'(?:\\.|[^'\\\n])*'|(?<!\.)\b(?:redis|string|table|math)\.\w+|[A-Za-z_]\w*|\d+(?:\.\d+)?|\.\.\.|\.\.|[=~<>]=|[^\s]|\n"
)
"""A function of a library, such as `string.match`, is one token."""
_DECLARATIONS = (
    re.compile(r"\blocal function (\w+)"),
    re.compile(r"\blocal (?!function\b)(\w+(?:,\s*\w+)*)"),
    re.compile(r"\bfunction *\w*\(([^)]*)\)"),
    re.compile(r"\bfor (\w+(?:,\s*\w+)*) (?:in|=)"),
)


def minify(source: str, *, is_fast: bool = False) -> str:
    """Return a script that does the same. The source declares no name that it also uses as a global.

    Args:
        is_fast: few library functions become locals, because a function that uses a local of the script is defined slower.
    """
    source = _COMMENT.sub(lambda found: found[1] or "", source)
    declared = {name for pattern in _DECLARATIONS for names in pattern.findall(source) for name in _names(names)}
    tokens = _TOKEN.findall(source)
    aliases = _aliases(tokens, _FAST if is_fast else None)
    declared |= {*aliases}
    are_fields = _fields(tokens)
    kept = {token[1:-1] for token in tokens if token[0] == "'"}
    """Names that the script also has as text, so a field may be reached by them."""
    words = [
        ("" if token in kept else f".{token}") if is_field else token if token in declared else ""
        for token, is_field in zip(tokens, are_fields, strict=True)
    ]
    short = _short_names([word for word in words if word])
    parts: list[str] = []
    for token, word in zip(tokens, words, strict=True):
        part = short.get(word, token)
        if parts and _needs_space(parts[-1], part):
            parts.append(" ")
        parts.append(part)
    if aliases:
        parts.insert(0, f"local {','.join(short[alias] for alias in aliases)}={','.join(aliases)} ")
    return "".join(parts)


def _aliases(tokens: list[str], allowed: set[str] | None) -> list[str]:
    """Return the library functions that get a local because that is shorter."""
    counts = Counter(tokens)
    names = [name for name in counts if name in _GLOBALS or name.partition(".")[0] in _LIBRARIES]
    if allowed is not None:
        names = [name for name in names if name in allowed]
    return [name for name in names if counts[name] * (len(name) - 2) > len(name) + len("local a,=")]


def _fields(tokens: list[str]) -> list[bool]:
    """Return for each token whether it names a field of one of the script's own tables."""
    found: list[bool] = []
    brackets: list[str] = []
    before = ""
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        if token in "({[":
            brackets.append(token)
        elif token in ")}]":
            brackets.pop()
        found.append(before == "." or (after == "=" and before in ("{", ",") and brackets[-1:] == ["{"]))
        if token != "\n":
            before = token
    return found


def _short_names(words: list[str]) -> dict[str, str]:
    """Return the shortest names for the most frequent words. Fields and locals are different words."""
    counts = Counter(words)
    short: dict[str, str] = {}
    for prefix in ("", "."):
        ranked = [word for word, _ in counts.most_common() if word.startswith(".") == bool(prefix)]
        short |= dict(zip(ranked, _names_by_length(), strict=False))
    return short


def _names_by_length() -> Iterator[str]:
    yield from ascii_letters
    for first, second in product(ascii_letters, ascii_letters + digits):
        if first + second not in _KEYWORDS:
            yield first + second


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip() not in ("", "...")]


def _needs_space(left: str, right: str) -> bool:
    """Return whether two tokens would become another token without a space between them."""
    if right[0] == ".":
        return left[0].isdigit() or left[-1] == "."
    if right[0] == "-":
        return left[-1] == "-"
    return (left[-1].isalnum() or left[-1] == "_") and (right[0].isalnum() or right[0] == "_")
