# Generated from _async/services/tree_members.py by tools/mirror.py; edit that file.
"""Read the members of a tree, page by page."""

from __future__ import annotations

from typing import Any

from ..._core.commands import trees
from ..._core.commands.trees import MemberList
from ..._core.protocol.keys import SessionKeys
from ..transport.executor import Executor


def list_members(
    executor: Executor, keys: SessionKeys, incarnation: str, *, recursive: bool = False, **waiting: Any
) -> MemberList:
    """Return a session's children, or all sessions below it. `waiting` registers a join waiter before they are read.

    Cost: one round trip for each 1,000 members of the tree.
    """
    found = executor.run(trees.list_members(keys, incarnation, recursive=recursive, **waiting))
    while found.after is not None:
        page = executor.run(trees.list_members(keys, found.incarnation, recursive=recursive, after=found.after))
        found = found._replace(members=[*found.members, *page.members], after=page.after)
    return found
