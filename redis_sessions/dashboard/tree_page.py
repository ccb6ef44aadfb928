"""The page of a tree: a root with all sessions below it, each with its state and its spend."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._core.commands import sessions
from .._core.protocol.keys import session_keys
from ..models.sessions import SessionInfo
from ..models.trees import ChildInfo
from .board import Board, Page, Query
from .session_page import session_of

_NODES = 250
"""Nodes that a page shows, those that were spawned first."""


class Node(NamedTuple):
    """One session of a tree."""

    id: str
    name: str
    status: str
    work: str | None
    task: str
    holder: str
    held_for: float | None
    attempt: int
    tokens: int
    cost: float
    seconds: float | None
    reason: str
    is_stored: bool
    children: list[Node]


async def load_tree(board: Board, query: Query) -> dict[str, Any]:
    """Return the tree that a session belongs to. Three round trips, and one more for a session below its root."""
    info = await session_of(board, query).info()
    if info.root_id and info.root_id != info.id:
        info = await board.cache.session(info.root_id).info()
    members = await board.cache.session(info.id).children(recursive=True)
    shown = members[:_NODES]
    found = await _infos(board, [one.id for one in shown if one.is_stored])
    return {
        "tree": _build(info, shown, found),
        "info": info,
        "count": len(members),
        "hidden": len(members) - len(shown),
        "asked": query.get("id"),
    }


async def _infos(board: Board, ids: list[str]) -> dict[str, SessionInfo]:
    """Return what is known of sessions, by ID. Those that are gone are left out."""
    calls = [sessions.info(session_keys(board.cache.namespace, id), "") for id in ids]
    found = await board.cache._executor.run_many(calls)
    return {one.id: one for one in found if isinstance(one, SessionInfo)}


def _build(root: SessionInfo, members: list[ChildInfo], infos: dict[str, SessionInfo]) -> Node:
    top = Node(
        root.id, root.name or root.agent_id or "", root.status, root.work, root.task or "",
        root.lease.owner if root.lease else "", _held_for(root, root), root.attempt, root.spent_tokens, root.spent_cost,
        ((root.finished_at or root.read_at) - root.created_at).total_seconds(), root.reason or "", True, [],
    )  # fmt: skip
    nodes: dict[int, Node] = {}
    for one in members:
        info = infos.get(one.id)
        node = Node(
            one.id, one.label or one.agent_id or "", one.status, one.work, one.task or "",
            one.lease.owner if one.lease and one.is_active else "", _held_for(one, root), one.attempt,
            info.spent_tokens if info else 0, info.spent_cost if info else 0.0,
            one.runtime.total_seconds() if one.runtime is not None else None, one.reason or "", one.is_stored, [],
        )  # fmt: skip
        nodes[one.number] = node
        nodes.get(one.parent, top).children.append(node)
    return top


def _held_for(one: SessionInfo | ChildInfo, root: SessionInfo) -> float | None:
    return (root.read_at - one.lease.held_since).total_seconds() if one.lease else None


TREE = Page("tree", lambda query: f"Tree of {query.get('id', '')}", ("tree",), load_tree, "sessions")
