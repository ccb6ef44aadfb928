"""Ids, tags and keys: pure rules."""

from __future__ import annotations

import multiprocessing
import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions import InvalidInput
from redis_sessions._core.ids import check_id, check_namespace, new_id, new_operation_id
from redis_sessions._core.keys import session_keys
from redis_sessions._core.routing import tag


@pytest.mark.parametrize(
    "id", ["", " ", "a b", "a\tb", "a\nb", "{x}", "a}", "{", "\x00", "\x7f", "a\u00a0b", "x" * 257, "\ud800"]
)
def test_bad_ids_are_refused(id: str) -> None:
    """Empty, over 256 characters, whitespace, braces, control characters: refused before anything is sent."""
    with pytest.raises(InvalidInput):
        check_id(id)


@pytest.mark.parametrize("id", ["a", "x" * 256, "agent:main:main", "ünï-ço∂é", "a*b?[c]", "../../etc"])
def test_other_printable_ids_are_taken(id: str) -> None:
    """Anything else printable is an id, glob characters included: no key is ever looked up by pattern."""
    assert check_id(id) == id


@pytest.mark.parametrize("namespace", ["a*", "a?", "[a]", "a\\", "", "a b"])
def test_bad_namespaces_are_refused(namespace: str) -> None:
    """A namespace is like an id, without glob characters."""
    with pytest.raises(InvalidInput):
        check_namespace(namespace)


def test_an_error_about_an_id_does_not_show_all_of_a_huge_one() -> None:
    """A message stays readable whatever was given."""
    with pytest.raises(InvalidInput) as refused:
        check_id("x" * 100_000)
    assert len(str(refused.value)) < 300


def test_a_new_id_is_a_version_8_uuid_and_its_tag_is_its_first_group() -> None:
    """The tag of a generated id can be read from its text."""
    id = new_id()
    assert UUID(id).version == 8
    assert tag(id) == id[:8] == tag(f"agent:researcher:subagent:{id}")


def test_an_id_can_be_made_to_live_beside_another() -> None:
    """A child's id carries its root's tag."""
    assert tag(new_id("1f3a9c02")) == "1f3a9c02"


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="{}"), min_size=1, max_size=60))
def test_keys_of_a_session_share_one_tag_and_no_other_braces(id: str) -> None:
    """The only braces in a key are those of its hash tag."""
    keys = session_keys("ns", check_id(id))
    for key in (keys.session, keys.messages):
        assert re.fullmatch(r"ns:\{[0-9a-f]{8}\}:(session|messages):[^{}]+", key)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_no_two_ids_share_a_key(one: str, other: str) -> None:
    """Different ids have different keys, and no id forms a key of another kind."""
    try:
        first, second = session_keys("ns", one), session_keys("ns", other)
    except InvalidInput:
        return
    assert (one == other) == (first.session == second.session)
    assert first.messages != second.session


def _ids(pipe: object) -> None:
    pipe.send([new_operation_id() for _ in range(100)])  # type: ignore[attr-defined]


def test_operation_ids_differ_after_a_fork() -> None:
    """A forked process does not repeat its parent's ids."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=_ids, args=(theirs,))
    child.start()
    found = mine.recv()
    child.join()
    assert not set(found) & {new_operation_id() for _ in range(200)}
