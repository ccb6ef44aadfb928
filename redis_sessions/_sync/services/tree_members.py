# Generated from _async/services/tree_members.py by tools/mirror.py; edit that file.
"""Read the members of a tree, page by page."""

from __future__ import annotations

from typing import Any

from ..._core.commands import trees
from ..._core.commands.trees import MemberList
from ..._core.protocol.keys import SessionKeys
from ..transport.executor import Executor
from .registration import try_to_register


def list_members(executor: Executor, keys: SessionKeys, incarnation: str, *, recursive: bool = False) -> MemberList:
    """Return a session's children, or all sessions below it.

    Cost: one round trip for each 1,000 members of the tree.
    """
    found = executor.run(trees.list_members(keys, incarnation, recursive=recursive))
    return _read_rest(executor, keys, found, recursive=recursive)


def register_join(executor: Executor, keys: SessionKeys, incarnation: str, **waiting: Any) -> tuple[MemberList, bool]:
    """Register a join waiter, and return a session's children. The second value is False if the server refused the waiter.

    Cost: as for `list_members`.
    """
    found = try_to_register(executor, trees.list_members(keys, incarnation, recursive=False, **waiting))
    if found is None:
        return list_members(executor, keys, incarnation), False
    return _read_rest(executor, keys, found, recursive=False), True


def _read_rest(executor: Executor, keys: SessionKeys, found: MemberList, *, recursive: bool) -> MemberList:
    while found.after is not None:
        page = executor.run(trees.list_members(keys, found.incarnation, recursive=recursive, after=found.after))
        found = found._replace(members=[*found.members, *page.members], after=page.after)
    return found
