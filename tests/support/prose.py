"""Collect the prose of the repository: docstrings, comments, and documents."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DIALECT = re.compile(
    r"\b(somebody|nobody|whoever|anew|befalls?|meanwhile|beside|likewise|so many|for so long|(is|are) told"
    r"|looks? after|be had|(?<!there )(is|are) no (?!longer|more)\w+)\b",
    re.IGNORECASE,
)
"""Words that a reader whose first language is not English has to decode."""
QUESTION_OPENINGS = ("What", "Who", "Where", "Whether", "How", "Those")


@dataclass(frozen=True)
class Prose:
    """A piece of prose and its place."""

    place: str
    text: str
    is_function: bool = False


def python_files() -> list[Path]:
    """Return every Python file of the repository that a person writes or reads."""
    folders = ("redis_sessions", "tests", "tools", "benchmarks", "examples")
    return [
        path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in path.parts
    ]


def lua_files() -> list[Path]:
    """Return every Lua file."""
    return sorted((ROOT / "lua").rglob("*.lua"))


def documents() -> list[Path]:
    """Return every document in Markdown."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "lua").rglob("*.md"))]


def docstrings(path: Path) -> Iterator[Prose]:
    """Yield the docstrings of a file's modules, classes and functions, and the strings below its attributes."""
    place = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for child in getattr(node, "body", []) if isinstance(getattr(node, "body", []), list) else []:
            if (
                isinstance(child, ast.Expr)
                and isinstance(child.value, ast.Constant)
                and isinstance(child.value.value, str)
            ):
                is_function = (
                    isinstance(node, FUNCTIONS)
                    and child is node.body[0]
                    and not any("property" in ast.unparse(d) for d in node.decorator_list)
                )
                yield Prose(f"{place}:{child.lineno}", child.value.value.strip(), is_function)


def comments(path: Path) -> Iterator[Prose]:
    """Yield the comments of a Python or Lua file."""
    place, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    if path.suffix == ".lua":
        for number, line in enumerate(text.splitlines(), 1):
            _, dashes, comment = line.partition("--")
            if dashes and not comment.startswith("- include:"):
                yield Prose(f"{place}:{number}", comment.strip())
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield Prose(f"{place}:{token.start[0]}", token.string.lstrip("# "))


def paragraphs(path: Path) -> Iterator[Prose]:
    """Yield the lines of a document outside its code blocks."""
    place, in_code = path.relative_to(ROOT).as_posix(), False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield Prose(f"{place}:{number}", re.sub(r"`[^`]*`", "", line))


def all_prose() -> Iterator[Prose]:
    """Yield the prose of the whole repository."""
    for path in python_files():
        yield from docstrings(path)
        yield from comments(path)
    for path in lua_files():
        yield from comments(path)
    for path in documents():
        yield from paragraphs(path)
