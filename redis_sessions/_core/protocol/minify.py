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
_TOKEN = re.compile(r"'(?:\\.|[^'\\\n])*'|[A-Za-z_]\w*|\d+(?:\.\d+)?|\.\.\.|\.\.|[=~<>]=|[^\s]|\n")
_DECLARATIONS = (
    re.compile(r"\blocal function (\w+)"),
    re.compile(r"\blocal (?!function\b)(\w+(?:, *\w+)*)"),
    re.compile(r"\bfunction *\w*\(([^)]*)\)"),
    re.compile(r"\bfor (\w+(?:, *\w+)*) (?:in|=)"),
)


def minify(source: str, *, is_fast: bool = False) -> str:
    """Return a script that does the same. The source declares no name that it also uses as a global.

    Args:
        is_fast: few library functions become locals, because a function that uses a local of the script is defined slower.
    """
    source = _COMMENT.sub(lambda found: found[1] or "", source)
    declared = {name for pattern in _DECLARATIONS for names in pattern.findall(source) for name in _names(names)}
    tokens = _TOKEN.findall(source)
    tokens, aliases = _aliased(tokens, _FAST if is_fast else None)
    declared |= {*aliases}
    roles = _roles(tokens)
    kept = {token[1:-1] for token in tokens if token[0] == "'"}
    """Names that the script also has as text, so a field may be reached by them."""
    words = [
        f".{token}" if role == "field" and token not in kept else token if role == "" and token in declared else ""
        for token, role in zip(tokens, roles, strict=True)
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


def _aliased(tokens: list[str], allowed: set[str] | None) -> tuple[list[str], list[str]]:
    """Return the tokens, and the library functions that get a local because that is shorter. Each of them is one token."""
    found: list[str] = []
    for token in tokens:
        if len(found) > 1 and found[-1] == "." and found[-2] in _LIBRARIES and found[-3:-2] != ["."]:
            found[-2:] = [f"{found[-2]}.{token}"]
        else:
            found.append(token)
    counts = Counter(
        token for token in found if token in _GLOBALS or ("." in token and token.partition(".")[0] in _LIBRARIES)
    )
    aliases = [name for name, count in counts.items() if count * (len(name) - 2) > len(name) + len("local a,=")]
    if allowed is not None:
        aliases = [name for name in aliases if name in allowed]
    split = (part for token in found for part in _parts(token, aliases))
    return list(split), aliases


def _parts(token: str, aliases: list[str]) -> list[str]:
    library, dot, name = token.partition(".")
    return [token] if token in aliases or library not in _LIBRARIES or not dot else [library, dot, name]


def _roles(tokens: list[str]) -> list[str]:
    """Return for each token: field, for a name of the script's own tables; library, for one of Lua's or the server's; or ''."""
    found: list[str] = []
    brackets: list[str] = []
    before = owner = ""
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        if token in ("(", "{", "["):
            brackets.append(token)
        elif token in (")", "}", "]"):
            brackets.pop()
        is_key = after == "=" and before in ("{", ",") and brackets[-1:] == ["{"]
        if before == ".":
            found.append("library" if owner in _LIBRARIES else "field")
        else:
            found.append("field" if is_key else "")
        if token != "\n":
            before, owner = token, before
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
