"""Tests that the compatibility notes are whole: each note names what exists, and tests of its section use it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import redis_sessions
from redis_sessions import SessionCache
from redis_sessions.settings import CacheOptions, NewSession, SessionOptions

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
LEAST_NOTES = {
    "Session records": 11,
    "Conversations": 16,
    "Agent loops": 11,
    "User sessions and documents": 15,
    "Multi-agent sessions": 10,
}
UNIT_TESTS = {
    "Session records": 13,
    "Conversations": 14,
    "Agent loops": 0,
    "User sessions and documents": 7,
    "Multi-agent sessions": 4,
}
"""The number of unit tests that each kind of store had. The acceptance file of a section has at least as many tests."""
VALUES = {"False", "agent:", "main", "total", "role", "type", "metadata"}
"""Names in notes that are parts of values, not of the API."""


def files_of(section: str) -> list[Path]:
    """Return the test files that a section names."""
    return [ROOT / name for name in re.findall(r"`(tests/[\w/]+\.py)`", SECTIONS[section])]


def notes_of(section: str) -> list[str]:
    """Return the rows of a section's table."""
    lines = SECTIONS[section].splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith(("| subject", "| ---"))]


def api_names(text: str) -> set[str]:
    """Return the names of the API in the inline code of a text."""
    codes = [code for code in re.findall(r"`([^`]+)`", text) if not re.search(r"[<:/\\]", code)]
    return {name for code in codes for name in re.findall(r"(?<![\"\w])[A-Za-z_]{3,}(?![\"\w])", code)} - VALUES


def public_names() -> set[str]:
    """Return the names of everything public: classes, attributes, options and arguments."""
    found = set(redis_sessions.__all__)
    for name in redis_sessions.__all__:
        value = getattr(redis_sessions, name)
        found |= {one for one in dir(value) if not one.startswith("_")} | set(
            getattr(value, "model_fields", None) or {}
        )
        found |= set(getattr(value, "__slots__", None) or ()) | set(getattr(value, "__annotations__", None) or {})
    for options in (CacheOptions, NewSession, SessionOptions):
        found |= set(options.__annotations__)
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "redis_sessions" / "_async" / "api").glob("*.py")
    )
    models = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "redis_sessions" / "models").glob("*.py"))
    return (
        found | set(re.findall(r"\b(\w+)(?:: | = )", source + models)) | set(re.findall(r"\"(\w+)\"", source + models))
    )


def test_each_kind_of_store_has_a_section() -> None:
    """The page has one section for each kind of store, in a fixed order."""
    assert list(SECTIONS) == list(LEAST_NOTES)


@pytest.mark.parametrize("section", LEAST_NOTES)
def test_section_has_each_subject_once(section: str) -> None:
    """A section has a note for each of its subjects, and no subject twice."""
    subjects = [note.split("|")[1].strip() for note in notes_of(section)]
    assert len(subjects) >= LEAST_NOTES[section]
    assert len(set(subjects)) == len(subjects)


@pytest.mark.parametrize("section", LEAST_NOTES)
def test_note_names_what_exists(section: str) -> None:
    """Each name in the inline code of a note is public."""
    known = public_names()
    for note in notes_of(section):
        assert api_names(note) - known == set(), note


@pytest.mark.parametrize("section", LEAST_NOTES)
def test_section_is_shown_by_its_tests(section: str) -> None:
    """The tests that a section names exist, and use each name of its notes."""
    files = files_of(section)
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    used = set(re.findall(r"\w+", text))
    for note in notes_of(section):
        assert api_names(note) - used == set(), note
    acceptance = [path for path in files if path.parent.name == "acceptance"]
    assert len(acceptance) == 1
    assert (
        len(re.findall(r"^def test_", acceptance[0].read_text(encoding="utf-8"), re.MULTILINE)) >= UNIT_TESTS[section]
    )


def test_each_acceptance_file_belongs_to_a_section() -> None:
    """Each file in `tests/acceptance` is named by exactly one section."""
    named = sorted(path for section in SECTIONS for path in files_of(section) if path.parent.name == "acceptance")
    assert named == sorted((ROOT / "tests" / "acceptance").glob("test_*.py"))


def test_given_token_counter_replaces_the_estimate() -> None:
    """A cache counts the tokens of each message with the given function."""
    with SessionCache.from_url("fake://", token_counter=lambda payload: len(payload)) as cache:
        session = cache.create()
        session.append({"role": "user", "content": "a text of more than two words"})
        assert session.info().tokens == 2
