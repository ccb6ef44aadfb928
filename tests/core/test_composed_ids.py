"""IDs that are made of parts: one ID for one sequence of parts, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_sessions import InvalidInput, SessionCache, compose_id, split_id

TEXTS = st.lists(st.text(alphabet=st.characters(), max_size=12), min_size=1, max_size=4)


@given(parts=TEXTS, others=TEXTS)
def test_composed_id_names_its_parts_alone(parts: list[str], others: list[str]) -> None:
    """An ID gives its parts back, and other parts have another ID."""
    assert split_id(compose_id(*parts)) == tuple(parts)
    assert (compose_id(*parts) == compose_id(*others)) == (parts == others)


@pytest.mark.parametrize(
    ("parts", "id"),
    [
        (("app", "user@example.com", "42"), "app/user@example.com/42"),
        (("a/b", "c"), "=YS9i/c"),
        (("a", "b/c"), "a/=Yi9j"),
        (("",), "="),
        (("", ""), "=/="),
        (("ключ",), "=0LrQu9GO0Yc"),
        (("{tag}", "a b"), "=e3RhZ30/=YSBi"),
        (("=YS9i",), "=PVlTOWk"),
        (("\ud800",), "=7aCA"),
    ],
)
def test_composed_id_is_the_same_in_every_version(parts: tuple[str, ...], id: str) -> None:
    """IDs are fixed, because sessions are stored under them."""
    assert compose_id(*parts) == id


@pytest.mark.parametrize("id", ["a b", "=YS9", "=YWI=", "a//b", "", "=!!", "agent:a:main", "=YQ", 5, None, b"a"])
def test_other_id_has_no_parts(id: Any) -> None:
    """An ID that `compose_id` never makes is refused."""
    with pytest.raises(InvalidInput, match="compose_id"):
        split_id(id)


def test_no_parts_too_long_parts_and_wrong_types_are_refused() -> None:
    """An ID needs a part, at most 256 characters, and text."""
    for parts, match in (((), "got none"), (("x" * 128, "y" * 128), "257 characters"), ((1,), "must be text, got 1")):
        with pytest.raises(InvalidInput, match=match):
            compose_id(*parts)


def test_composed_id_is_one_of_a_session() -> None:
    """Every composed ID is accepted by `create`, also one of parts that spell a reserved ID."""
    with SessionCache.from_url("fake://") as cache:
        for parts in (("agent", "a", "main"), ("agent:a:main",), ("x y", "\u2028")):
            assert cache.create(compose_id(*parts)).id == compose_id(*parts)
