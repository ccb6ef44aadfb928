"""`scripts load`: load the scripts for clients whose users may not load any."""

from __future__ import annotations

import json

import typer
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from .._core.protocol.scripts import all_scripts
from .._core.protocol.transport_errors import ConnectionRejected, TransportError
from .._sync.api.cache import SessionCache
from ..errors import AccessDenied, StoreUnavailable
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Url, app, count_of
from .connect import open_cache
from .repeat import Every, pause_of, repeat

scripts = typer.Typer(no_args_is_help=True, help="Load the scripts into a server.")
app.add_typer(scripts, name="scripts")


@scripts.command("load")
def load_scripts(
    every: Every = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Load all scripts that the server does not know, on each master of a cluster.

    A server forgets its scripts when it restarts, and a new master may not know them.
    """
    pause = pause_of(every)
    with open_cache(url, DEFAULT_NAMESPACE, decodes=False, contact=pause is None) as cache:
        repeat(lambda: _report(*_load(cache), as_json, is_quiet=pause is not None), pause)


def _report(loaded: int, nodes: int, as_json: bool, *, is_quiet: bool) -> None:
    if as_json:
        print(json.dumps({"loaded": loaded, "scripts": len(all_scripts()), "nodes": nodes}), flush=True)
    elif loaded or not is_quiet:
        print(f"loaded {loaded} of {count_of(len(all_scripts()), 'script')} on {count_of(nodes, 'node')}", flush=True)


def _load(cache: SessionCache) -> tuple[int, int]:
    """Load the scripts that any node lacks. Return their number, and the number of nodes."""
    router = cache._context.router
    try:
        known = router.send_to_all(("SCRIPT", "EXISTS", *[one.sha for one in all_scripts()]))
        missing = [
            one
            for at, one in enumerate(all_scripts())
            if any(isinstance(has, Exception) or not has[at] for has in known)
        ]
        for one in missing:
            for reply in router.send_to_all(("SCRIPT", "LOAD", one.source)):
                if isinstance(reply, Exception):
                    raise reply
    except (TransportError, RedisError) as problem:
        if isinstance(problem, AuthenticationError | ConnectionRejected | NoPermissionError):
            detail = f"scripts load needs the right to SCRIPT LOAD: {problem}"
            raise AccessDenied(where=cache.where, detail=detail) from None
        detail = f"{problem}; the command can be repeated"
        raise StoreUnavailable(where=cache.where, waited=0.0, detail=detail) from None
    return len(missing), len(known)
