"""`prune`: old sessions are removed."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Annotated, Any

import typer

from .._core.units import whole
from .._sync.cache import SessionCache
from ..errors import InvalidInput
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Namespace, Url, app, counting, other_processes, seconds, tell

_LONGEST = 100 * 365 * 86_400


@app.command()
def prune(
    max_sessions: Annotated[int | None, typer.Option("--max-sessions", help="Keep so many, the newest ones.")] = None,
    max_age: Annotated[str | None, typer.Option("--max-age", help="Remove what is older: 3600, 30m, 12h, 7d.")] = None,
    cooldown: Annotated[
        str | None, typer.Option("--cooldown", help="Do nothing if somebody pruned in this time.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Remove old sessions, trees as one, by their number or their age. It asks first. Exit 1 when the answer is no."""
    if max_sessions is None and max_age is None:
        raise InvalidInput(name="prune", detail="give --max-sessions, --max-age or both")
    if not (dry_run or yes or sys.stdin.isatty()):
        raise InvalidInput(
            name="prune", detail="there is no terminal to ask on: give --yes, or --dry-run to look first"
        )
    bounds: dict[str, Any] = {
        "max_sessions": 0 if max_sessions is None else whole(max_sessions, "--max-sessions", least=1),
        "max_age": 0 if max_age is None else seconds(max_age, "--max-age", 0.001, _LONGEST),
    }
    pause = 0 if cooldown is None else seconds(cooldown, "--cooldown", 0, _LONGEST)
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        run = partial(cache.prune, **bounds)
        if not (dry_run or yes):
            _ask(run, cache)
        with counting("sessions") as progress:
            removed = run(cooldown=0 if dry_run else pause, dry_run=dry_run, progress=progress)
    if as_json:
        print(json.dumps({"would_remove" if dry_run else "removed": removed}))
    else:
        print(f"{'would remove' if dry_run else 'removed'} {removed} sessions, with all below them")


def _ask(run: partial[int], cache: SessionCache) -> None:
    """Goes on when the user agrees to what would be removed."""
    with counting("sessions") as progress:
        found = run(dry_run=True, progress=progress)
    question = f"remove {found} sessions, with all below them, of namespace {cache.namespace} on {cache.where}?"
    if found and not typer.confirm(question, err=True):
        tell("nothing was removed")
        raise typer.Exit(1)
