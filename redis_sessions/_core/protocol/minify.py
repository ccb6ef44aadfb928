"""Shorten a Lua script before it is sent. Line N of the result is line N of the given source, so error positions hold.

A server keeps the source of every script that it loaded. Comments, indentation and spaces are dropped, and local names become
short ones. Fields, strings and global names stay.
"""

from __future__ import annotations

import re

_COMMENT = re.compile(r"('(?:\\.|[^'\\\n])*')|--[^\n]*")
_TOKEN = re.compile(r"'(?:\\.|[^'\\\n])*'|[A-Za-z_]\w*|\d+(?:\.\d+)?|\.\.\.|\.\.|[=~<>]=|[^\s]|\n")
_DECLARATIONS = (
    re.compile(r"\blocal function (\w+)"),
    re.compile(r"\blocal (?!function\b)(\w+(?:, *\w+)*)"),
    re.compile(r"\bfunction *\w*\(([^)]*)\)"),
    re.compile(r"\bfor (\w+(?:, *\w+)*) (?:in|=)"),
)


def minify(source: str) -> str:
    """Return a script that does the same. The source declares no name that it also uses as a global."""
    source = _COMMENT.sub(lambda found: found[1] or "", source)
    declared = {name for pattern in _DECLARATIONS for names in pattern.findall(source) for name in _names(names)}
    short: dict[str, str] = {}
    parts: list[str] = []
    brackets: list[str] = []
    tokens = _TOKEN.findall(source)
    before = ""
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        if token in ("(", "{", "["):
            brackets.append(token)
        elif token in (")", "}", "]"):
            brackets.pop()
        is_table_key = after == "=" and before in ("{", ",") and brackets[-1:] == ["{"]
        part = token
        if token in declared and before not in (".", ":") and not is_table_key:
            part = short.setdefault(token, f"v{len(short)}")
        if parts and _needs_space(parts[-1], part):
            parts.append(" ")
        parts.append(part)
        before = before if token == "\n" else token
    return "".join(parts)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip() not in ("", "...")]


def _needs_space(left: str, right: str) -> bool:
    """Return whether two tokens would become another token without a space between them."""
    if right[0] == ".":
        return left[0].isdigit() or left[-1] == "."
    if right[0] == "-":
        return left[-1] == "-"
    return (left[-1].isalnum() or left[-1] == "_") and (right[0].isalnum() or right[0] == "_")
