# Generated from _async/services/forgotten_values.py by tools/mirror.py; edit that file.
"""Forget the documents and the shared scopes of a user. Their names are noted, so that an error loses no name."""

from __future__ import annotations

from ..._core.commands import forgetting
from ..._core.protocol.found_keys import every_document, every_scope, scope_of
from .context import CacheContext
from .unlisted import scan


def forget_documents(context: CacheContext, user: str, noted: list[str], find_unlisted: bool) -> int:
    """Delete the categories of documents whose path ends with the user's ID. Return how many documents they held."""
    count = 0
    categories = set(context.categories.registered())
    if find_unlisted:
        pattern = every_document(context.namespace)
        prefix = len(pattern) - 1
        categories |= {key.decode(errors="replace")[prefix:] for key in scan(context, pattern, twice=True)}
    for category in sorted(categories):
        if forgetting.is_category_of(category, user):
            count += context.categories.delete(category)
            noted.append(category)
    return count


def forget_scopes(context: CacheContext, user: str, noted: list[str], find_unlisted: bool) -> int:
    """Delete the shared scopes whose path ends with the user's ID. Return how many values they held."""
    count = 0
    scopes = set(context.scopes.of_user(user))
    if find_unlisted:
        names = {scope_of(context.namespace, key) for key in scan(context, every_scope(context.namespace), twice=True)}
        scopes |= {name for name in names if name is not None and name.endswith(f"/{user}")}
    for scope in sorted(scopes):
        count += context.scopes.delete(scope)
        noted.append(scope)
    return count
