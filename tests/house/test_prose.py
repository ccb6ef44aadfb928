"""The rules of CONTRIBUTING.md for prose that a machine can check."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import Any

import pydantic

import redis_sessions
from tests.support.prose import (
    DIALECT,
    QUESTION_OPENINGS,
    ROOT,
    all_prose,
    comments,
    docstrings,
    lua_files,
    python_files,
)

PACKAGE_FILES = [path for path in python_files() if path.is_relative_to(ROOT / "redis_sessions")]
VERBS_WITH_S = ("Pass", "Process", "Access", "Address", "Express", "Compress", "Discuss", "Focus", "Press", "Guess")


def test_no_docstring_opens_like_a_question() -> None:
    """A docstring begins with a verb or a noun."""
    found = [
        prose.place
        for path in python_files()
        for prose in docstrings(path)
        if re.match(rf"({'|'.join(QUESTION_OPENINGS)})\b", prose.text)
    ]
    assert found == []


def test_no_comment_above_lua_code_opens_like_a_question() -> None:
    """A Lua function is described by a verb or a noun, too."""
    found = [
        prose.place
        for path in lua_files()
        for prose in comments(path)
        if re.match(rf"({'|'.join(QUESTION_OPENINGS)})\b", prose.text)
    ]
    assert found == []


def test_docstring_of_function_begins_with_imperative() -> None:
    """ "Return", not "Returns"."""
    found = [
        f"{prose.place}: {prose.text[:30]}"
        for path in PACKAGE_FILES
        for prose in docstrings(path)
        if prose.is_function and re.match(r"[A-Z][a-z]+s\b", prose.text) and not prose.text.startswith(VERBS_WITH_S)
    ]
    assert found == []


def test_no_prose_uses_dialect() -> None:
    """The words that CONTRIBUTING.md excludes are in no docstring, comment, or document."""
    found = [f"{prose.place}: {match[0]}" for prose in all_prose() if (match := DIALECT.search(prose.text))]
    assert found == []


def test_docstrings_have_few_semicolons() -> None:
    """There are at most two semicolons in 1,000 words."""
    texts = [prose.text for path in PACKAGE_FILES for prose in docstrings(path)]
    semicolons, words = sum(text.count(";") for text in texts), sum(len(text.split()) for text in texts)
    assert semicolons * 1000 <= 2 * words


def test_readme_is_short() -> None:
    """The README has at most 150 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def members(owner: type) -> list[tuple[str, Any]]:
    """Return the public functions and properties that a class defines."""
    found = []
    for name, value in vars(owner).items():
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property | classmethod)):
            found.append((f"{owner.__name__}.{name}", value.__func__ if isinstance(value, classmethod) else value))
    return found


def test_public_names_have_docstrings() -> None:
    """Every public class, method and property has a docstring."""
    for name in redis_sessions.__all__:
        value = getattr(redis_sessions, name)
        if inspect.isclass(value):
            assert value.__doc__, name
            for owner in value.__mro__:
                if owner.__module__.startswith("redis_sessions"):
                    for full_name, member in members(owner):
                        assert member.__doc__, full_name


def documented_fields(owner: type) -> set[str]:
    """Return the fields of a class that a string follows."""
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = set()
    for field, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found.add(ast.unparse(field.target))
    return found


def test_fields_of_public_models_are_documented() -> None:
    """Every field of every public model and named tuple has a description of its own."""
    missing = []
    for name in redis_sessions.__all__:
        value = getattr(redis_sessions, name)
        if not inspect.isclass(value):
            continue
        own = [owner for owner in value.__mro__ if owner.__module__.startswith("redis_sessions")]
        fields = {field for owner in own for field in inspect.get_annotations(owner) if field[0] != "_"}
        if issubclass(value, pydantic.BaseModel) or hasattr(value, "_fields") or hasattr(value, "__dataclass_fields__"):
            described = set().union(*(documented_fields(owner) for owner in own))
            missing += [f"{name}.{field}" for field in sorted(fields - described)]
    assert missing == []
