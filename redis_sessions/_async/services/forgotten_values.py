"""Forget the documents and the shared scopes of a user. Their names are noted, so that an error loses no name."""

from __future__ import annotations

from contextlib import suppress

from ..._core.commands import forgetting, outbox, stored_values
from ..._core.protocol.found_keys import every_document, every_scope, every_session, scope_of, session_id_of
from ..._core.protocol.keys import session_keys
from ...errors import BoundExceeded, SessionDamaged, SessionNotFound, SessionReplaced, SessionsError
from .context import CacheContext
from .unlisted import scan, scan_batches

_UNREADABLE = (SessionNotFound, SessionReplaced, SessionDamaged)


async def forget_documents(context: CacheContext, user: str, noted: list[str], find_unlisted: bool) -> int:
    """Delete the categories of documents whose path ends with the user's ID. Return how many documents they held."""
    count = 0
    categories = set(await context.categories.registered())
    if find_unlisted:
        pattern = every_document(context.namespace)
        prefix = len(pattern) - 1
        categories |= {key.decode(errors="replace")[prefix:] async for key in scan(context, pattern, twice=True)}
    for category in sorted(categories):
        if forgetting.is_category_of(category, user):
            count += await context.categories.delete(category)
            noted.append(category)
    return count


async def forget_scopes(context: CacheContext, user: str, noted: list[str], find_unlisted: bool) -> int:
    """Delete the shared scopes whose path ends with the user's ID. Return how many values they held."""
    count = 0
    if find_unlisted:
        await _apply_outboxes(context, user)
    scopes = set(await context.scopes.of_user(user))
    if find_unlisted:
        names = {
            scope_of(context.namespace, key) async for key in scan(context, every_scope(context.namespace), twice=True)
        }
        scopes |= {name for name in names if name is not None and name.endswith(f"/{user}")}
    for scope in sorted(scopes):
        count += await context.scopes.delete(scope)
        noted.append(scope)
    return count


async def _apply_outboxes(context: CacheContext, user: str) -> None:
    """Apply the writes that wait in sessions for scopes of a user, else a scope comes back when its session is loaded."""
    async for batch in scan_batches(context, every_session(context.namespace)):
        ids = [id for id in (session_id_of(context.namespace, key) for key in batch) if id is not None]
        sessions = [session_keys(context.namespace, id) for id in ids]
        found = await context.executor.run_many([outbox.read(one, "") for one in sessions])
        for keys, waiting in zip(sessions, found, strict=True):
            if isinstance(waiting, SessionsError):
                if not isinstance(waiting, _UNREADABLE) and not stored_values.is_wrong_type(waiting):
                    raise waiting
            elif any(change.scope.endswith(f"/{user}") for one in waiting for change in one.changes):
                with suppress(BoundExceeded, *_UNREADABLE):
                    await context.scopes.apply_waiting(keys, waiting[0].incarnation)
