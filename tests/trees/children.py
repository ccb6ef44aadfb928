"""Spawn children in tests: one child, or a tree of four."""

from __future__ import annotations

from typing import Any

from redis_sessions import Session, SessionCache, SpawnResult

X = {"role": "user", "content": "x"}


def key_of(result: SpawnResult) -> str:
    """Return the session key of an accepted spawn. Fail the test when the spawn was refused."""
    assert result.session_key is not None, result.message
    return result.session_key


def spawn_child(parent: Session, **options: Any) -> Session:
    """Spawn a child, and return a handle that knows its ancestors."""
    context = parent._context
    names = [key_of(parent.spawn("a", **options)), parent.id, *parent._keys.ancestors]
    return Session(context, context.run_queues.keys_of(" ".join(names)), "")


def create_tree(cache: SessionCache, **limits: Any) -> tuple[Session, list[Session]]:
    """Create a root with two children, the first of which has two children. Return the root and its four descendants."""
    root = cache.create("root", **limits)
    children = [spawn_child(root), spawn_child(root)]
    grandchildren = [cache.session(spawn_child(children[0]).id) for _ in range(2)]
    return root, [*children, *grandchildren]
