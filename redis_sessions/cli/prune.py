"""`prune`: delete old sessions."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Annotated, Any

import typer

from .._durations import whole
from .._sync.api.cache import SessionCache
from ..errors import InvalidInput
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    app,
    count_of,
    log_audit,
    parse_duration,
    print_notice,
    show_progress,
)
from .connect import open_cache, place_of


@app.command()
def prune(
    max_sessions: Annotated[
        int | None,
        typer.Option("--max-sessions", help="Sessions to keep, the newest ones, 1 or more.", show_default="any number"),
    ] = None,
    max_age: Annotated[
        str | None,
        typer.Option(
            "--max-age",
            help="Delete sessions that were updated longer ago than this duration, such as 30m, 12h or 7d.",
            show_default="any age",
        ),
    ] = None,
    cooldown: Annotated[
        str | None,
        typer.Option(
            "--cooldown",
            help="Delete nothing if a process pruned within this duration, such as 30m.",
            show_default="no cooldown",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print how many sessions would be deleted. Default: delete them.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Delete without a question. Needed without a terminal. Default: ask first."),
    ] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Delete old sessions by number or age. A tree is deleted as a whole. Exit 1 if you answer no."""
    if max_sessions is None and max_age is None:
        raise InvalidInput(name="prune", detail="needs --max-sessions, --max-age or both, got neither")
    if not (dry_run or yes or sys.stdin.isatty()):
        raise InvalidInput(
            name="prune",
            detail="cannot ask, because standard input is not a terminal: give --yes, or --dry-run to look first",
        )
    bounds: dict[str, Any] = {
        "max_sessions": 0 if max_sessions is None else whole(max_sessions, "--max-sessions", minimum=1),
        "max_age": 0 if max_age is None else parse_duration(max_age, "--max-age"),
    }
    pause = 0 if cooldown is None else parse_duration(cooldown, "--cooldown", minimum="0s")
    with open_cache(url, namespace, audit=log_audit) as cache:
        run = partial(cache.prune, **bounds)
        if not (dry_run or yes):
            _ask(run, cache)
        with show_progress("sessions") as progress:
            deleted = run(cooldown=0 if dry_run else pause, dry_run=dry_run, progress=progress)
    if as_json:
        print(json.dumps({"would_delete" if dry_run else "deleted": deleted}))
    else:
        print(f"{'would delete' if dry_run else 'deleted'} {count_of(deleted, 'session')}, with all descendants")


def _ask(run: partial[int], cache: SessionCache) -> None:
    """Return if the user agrees to the deletion. Otherwise exit with 1."""
    with show_progress("sessions") as progress:
        found = run(dry_run=True, progress=progress)
    sessions = count_of(found, "session")
    if not found:
        return
    print_notice(f"Delete {sessions}, with all descendants, from {place_of(cache)}?")
    if not typer.confirm("Delete", err=True):
        print_notice("nothing was deleted")
        raise typer.Exit(1)
