"""`recover`: act on runs whose worker died or whose time is over."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from ..errors import StoreUnavailable
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    app,
    describe_error,
    parse_duration,
    print_line,
    print_notice,
)
from .connect import open_cache, place_of


@app.command()
def recover(
    every: Annotated[
        str | None,
        typer.Option(
            "--every",
            help="Duration between two checks, 50ms to 1d, such as 5s, until Ctrl-C.",
            show_default="one check",
        ),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", help="Check only the runs of this agent.", show_default="all agents"),
    ] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Check the runs whose worker died or whose time is over. Workers do so, too, while they wait."""
    pause = None if every is None else parse_duration(every, "--every", minimum="50ms", maximum="1d")
    try:
        with open_cache(url, namespace) as cache:
            place = place_of(cache)
            while True:
                try:
                    checked = cache.recover(agent)
                    if as_json:
                        print(json.dumps({"checked": checked}), flush=True)
                    elif checked or pause is None:
                        print_line(f"checked {checked:,} runs and turns in {place}")
                except StoreUnavailable as problem:
                    if pause is None:
                        raise
                    print_notice(describe_error(problem))
                if pause is None:
                    return
                time.sleep(pause)
    except KeyboardInterrupt:
        return
