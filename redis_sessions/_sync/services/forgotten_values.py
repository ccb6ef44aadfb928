# Generated from _async/services/forgotten_values.py by tools/mirror.py; edit that file.
"""Forget the documents and the shared scopes of a user. Their names are noted, so that an error loses no name."""

from __future__ import annotations

from ..._core.commands import forgetting
from .context import CacheContext


def forget_documents(context: CacheContext, user: str, noted: list[str]) -> int:
    """Delete the categories of documents whose path ends with the user's ID. Return how many documents they held."""
    count = 0
    for category in context.categories.registered():
        if forgetting.is_category_of(category, user):
            count += context.categories.delete(category)
            noted.append(category)
    return count


def forget_scopes(context: CacheContext, user: str, noted: list[str]) -> int:
    """Delete the shared scopes whose path ends with the user's ID. Return how many values they held."""
    count = 0
    for scope in context.scopes.of_user(user):
        count += context.scopes.delete(scope)
        noted.append(scope)
    return count
