"""Results that outlive their sessions, results that wait for a parent, and reasons that are too long or no Unicode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from redis_sessions import InvalidInput, Session, SessionCache
from redis_sessions._core.commands.session_fields import reason_text
from tests.support.lease_waiters import elsewhere
from tests.trees.children import spawn_child


def test_join_has_results_of_deleted_children(cache: SessionCache) -> None:
    """The status, reason and result of a child with cleanup stay with its tree, also of a grandchild."""
    root = cache.create("root")
    middle = spawn_child(root)
    ends: list[Callable[[Session], Any]] = [
        lambda one: one.complete({"at": [1, "x"]}), lambda one: one.fail(reason='no "bag"\n'), lambda one: one.cancel(),
    ]  # fmt: skip
    for end in ends:
        end(spawn_child(middle, cleanup="delete"))
    found = [(one.status, one.reason, one.result, one.is_stored) for one in middle.join(timeout=0)]
    assert found == [
        ("completed", None, {"at": [1, "x"]}, False), ("failed", 'no "bag"\n', None, False), ("cancelled", None, None, False),
    ]  # fmt: skip
    assert [one.result for one in root.children(recursive=True)][1:] == [{"at": [1, "x"]}, None, None]


def test_cancelled_tree_keeps_reasons_of_cleaned_children(cache: SessionCache) -> None:
    """A child with cleanup that a cancellation of its tree deletes keeps the reason of the cancellation."""
    root = cache.create()
    spawn_child(root, cleanup="delete")
    root.cancel(reason="enough")
    (child,) = root.children()
    assert (child.status, child.reason, child.is_stored) == ("cancelled", "enough", False)


def test_large_result_of_deleted_child_is_not_kept(cache: SessionCache) -> None:
    """A result above 64 KiB reaches the parent as a message, and the tree keeps the status and the reason only."""
    root = cache.create()
    spawn_child(root, cleanup="delete").complete("x" * 60_000, reason="first")
    spawn_child(root, cleanup="delete").complete("x" * 70_000, reason="second")
    found = [(len(child.result or ""), child.reason) for child in root.join(timeout=0)]
    assert found == [(60_000, "first"), (0, "second")]
    assert len(root.history()[1].content or "") > 70_000


def test_results_take_no_places_of_sent_messages(cache: SessionCache) -> None:
    """A message can be sent while results of children fill the inbox, and `max_inbox` counts sent messages."""
    root = cache.create(max_inbox=2, max_children=None, max_active=None)
    children = [spawn_child(root) for _ in range(5)]
    with root.lease() as lease:
        for child in children:
            elsewhere(child.complete)
        for text in ("Stop!", "Now!"):
            elsewhere(partial(root.send, text))
        with pytest.raises(Exception, match=r"inbox.* 3.* 2"):
            elsewhere(partial(root.send, "one too many"))
        assert root.info().inbox_size == 7
        assert len(lease.receive()) == 7
        for text in ("a", "b"):
            elsewhere(partial(root.send, text))
    assert [message.content for message in root.history()[-4:]] == ["Stop!", "Now!", "a", "b"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, ""), ("", ""), ("no bag", "no bag"), ("a\ud800b", "a\ufffdb"),
        ("\udcff", "\ufffd"), ("\ud83d\ude00", "\U0001f600"),
        ("x" * 4096, "x" * 4096), ("x" * 5_000_000, "x" * 4064 + " … (cut, 5,000,000 characters)"),
        ("é" * 4096, "é" * 2034 + " … (cut, 4,096 characters)"),
    ],
)  # fmt: skip
def test_reason_is_cut_and_made_unicode(given: str | None, stored: str) -> None:
    """A reason has at most 4 KiB, says where it was cut, and has no half characters."""
    assert reason_text(given) == stored
    assert len(stored.encode()) <= 4096


def test_reason_that_is_no_text_is_refused() -> None:
    """A reason must be text."""
    with pytest.raises(InvalidInput, match="reason"):
        reason_text(b"x")  # type: ignore[arg-type]


def test_huge_reason_reaches_parent_in_short(cache: SessionCache) -> None:
    """A child that fails with megabytes of text gives its parent a message of a few KiB."""
    root = cache.create()
    child, other = spawn_child(root, on_parent_end="detach"), spawn_child(root)
    child.fail(reason="\ud800 no " + "x" * 5_000_000)
    other.request_cancel(reason="y" * 5_000_000)
    other.cancel(reason="y" * 5_000_000)
    failed, cancelled = root.history()
    assert str(failed.content).startswith("[a failed] \ufffd no x")
    assert str(cancelled.content).endswith("(cut, 5,000,000 characters)")
    assert max(len(str(message.payload)) for message in (failed, cancelled)) < 20_000
    assert [len(str(one.reason).encode()) for one in root.children()] == [4096, 4096]
