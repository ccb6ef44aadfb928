"""`forget`: remove all sessions of a user, and everything that other keys say of them."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from .._core.commands.forgetting import is_category_of
from .._sync.api.cache import SessionCache
from ..errors import InvalidInput
from ..models.forgetting import ForgetResult
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    app,
    count_of,
    escape_controls,
    log_audit,
    print_line,
    print_notice,
)
from .connect import open_cache, place_of


@app.command()
def forget(
    user: Annotated[str, typer.Argument(help="ID of the user.", show_default=False)],
    find_unlisted: Annotated[
        bool,
        typer.Option(
            "--find-unlisted",
            help="Also read the names of all keys, and so find sessions whose index entries were lost. Needs the right to"
            " SCAN. Default: read the indexes only.",
        ),
    ] = False,
    keep_documents: Annotated[
        bool,
        typer.Option(
            "--keep-documents",
            help="Keep the categories of documents whose path ends with the user's ID, such as users/mia. Default: delete them.",
        ),
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Forget without a question. Needed without a terminal. Default: ask first."),
    ] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Remove all sessions of a user, and everything that other keys say of them. Can be repeated.

    Exit 1 if you answer no, or if sessions were created since.
    """
    if not (yes or sys.stdin.isatty()):
        raise InvalidInput(name="forget", detail="cannot ask, because standard input is not a terminal: give --yes")
    with open_cache(url, namespace, audit=log_audit) as cache:
        if not yes:
            _ask(cache, user, keep_documents)
        result = cache.forget(user, find_unlisted=find_unlisted, documents=not keep_documents)
    if as_json:
        print(json.dumps(result._asdict()))
    else:
        print_line(_describe(result))
    raise typer.Exit(1 if result.remaining else 0)


def _describe(result: ForgetResult) -> str:
    parts = [
        count_of(result.sessions, "session"),
        count_of(result.messages, "message"),
        f"{count_of(result.results, 'result')} in sessions of others",
        f"{result.index_entries + result.queue_entries:,} places in indexes and queues",
        count_of(result.channels, "channel"),
        *([count_of(result.files, "file") + " of the blob store"] if result.files else []),
        count_of(result.documents, "document"),
    ]
    left = f"; {count_of(result.remaining, 'session')} created since: repeat the command" if result.remaining else ""
    return f"forgot {escape_controls(result.user_id)}: {', '.join(parts)}{left}"


def _ask(cache: SessionCache, user: str, keep_documents: bool) -> None:
    """Return if the caller agrees. Otherwise exit with 1."""
    listed = [] if keep_documents else cache._context.categories.registered()
    categories = sum(is_category_of(one, user) for one in listed)
    found = f"{count_of(cache.count(user_id=user), 'listed session')}, categories of documents: {categories:,}"
    what = f"all data of user {escape_controls(user)} ({found})"
    print_notice(f"Remove {what} from {place_of(cache)}?")
    if not typer.confirm("Remove", err=True):
        print_notice("nothing was removed")
        raise typer.Exit(1)
