"""Session IDs, hash tags and keys, without a server."""

from __future__ import annotations

import multiprocessing
import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions import InvalidInput
from redis_sessions._core.protocol.hash_tag import hash_tag
from redis_sessions._core.protocol.ids import check_id, check_namespace, new_id, new_operation_id
from redis_sessions._core.protocol.keys import session_keys


@pytest.mark.parametrize(
    "id", ["", " ", "a b", "a\tb", "a\nb", "{x}", "a}", "{", "\x00", "\x7f", "a\u00a0b", "x" * 257, "\ud800"]
)
def test_invalid_id_is_refused(id: str) -> None:
    """An ID raises InvalidInput when it is empty, exceeds 256 characters, or has white space, braces or control characters."""
    with pytest.raises(InvalidInput):
        check_id(id)


@pytest.mark.parametrize("id", ["a", "x" * 256, "agent:main:main", "ünï-ço∂é", "a*b?[c]", "../../etc"])
def test_printable_id_is_accepted(id: str) -> None:
    """Any other printable text is an ID, even with glob characters, because keys are never looked up by pattern."""
    assert check_id(id) == id


@pytest.mark.parametrize("namespace", ["a*", "a?", "[a]", "a\\", "", "a b"])
def test_namespace_with_glob_characters_is_refused(namespace: str) -> None:
    """A namespace follows the rules of an ID and must not have glob characters."""
    with pytest.raises(InvalidInput):
        check_namespace(namespace)


def test_error_about_huge_id_stays_short() -> None:
    """An error about an ID of 100,000 characters has less than 300 characters."""
    with pytest.raises(InvalidInput) as refused:
        check_id("x" * 100_000)
    assert len(str(refused.value)) < 300


def test_new_id_is_uuid_whose_first_group_is_its_tag() -> None:
    """A new ID is a version 8 UUID, and its first group is its hash tag."""
    id = new_id()
    assert UUID(id).version == 8
    assert hash_tag(id) == id[:8] == hash_tag(f"agent:researcher:subagent:{id}")


def test_new_id_with_given_tag_has_this_tag() -> None:
    """A new ID can have the hash tag of another session, such as that of a root."""
    assert hash_tag(new_id("1f3a9c02")) == "1f3a9c02"


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="{}"), min_size=1, max_size=60))
def test_keys_of_session_share_one_hash_tag(id: str) -> None:
    """The keys of a session share one hash tag, whose braces are the only ones."""
    keys = session_keys("ns", check_id(id))
    for key in (keys.session, keys.messages):
        assert re.fullmatch(r"ns:\{[0-9a-f]{8}\}:(session|messages):[^{}]+", key)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_different_ids_have_different_keys(one: str, other: str) -> None:
    """Different IDs have different keys, and the keys of one kind never equal those of another kind."""
    try:
        first, second = session_keys("ns", one), session_keys("ns", other)
    except InvalidInput:
        return
    assert (one == other) == (first.session == second.session)
    assert first.messages != second.session


def _send_operation_ids(pipe: object) -> None:
    """Send 100 operation IDs through a pipe."""
    pipe.send([new_operation_id() for _ in range(100)])  # type: ignore[attr-defined]


def test_operation_ids_differ_after_fork() -> None:
    """A forked process does not repeat the operation IDs of its parent."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=_send_operation_ids, args=(theirs,))
    child.start()
    found = mine.recv()
    child.join()
    assert not set(found) & {new_operation_id() for _ in range(200)}
