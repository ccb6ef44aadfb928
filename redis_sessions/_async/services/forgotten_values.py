"""Forget the documents and the shared scopes of a user. Their names are noted, so that an error loses no name."""

from __future__ import annotations

from ..._core.commands import forgetting
from .context import CacheContext


async def forget_documents(context: CacheContext, user: str, noted: list[str]) -> int:
    """Delete the categories of documents whose path ends with the user's ID. Return how many documents they held."""
    count = 0
    for category in await context.categories.registered():
        if forgetting.is_category_of(category, user):
            count += await context.categories.delete(category)
            noted.append(category)
    return count


async def forget_scopes(context: CacheContext, user: str, noted: list[str]) -> int:
    """Delete the shared scopes whose path ends with the user's ID. Return how many values they held."""
    count = 0
    for scope in await context.scopes.of_user(user):
        count += await context.scopes.delete(scope)
        noted.append(scope)
    return count
