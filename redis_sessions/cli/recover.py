"""`recover`: act on runs whose worker died or whose time is over."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Namespace, Url, app, print_line
from .connect import open_cache, place_of
from .repeat import Every, pause_of, repeat


@app.command()
def recover(
    every: Every = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", help="Check only the runs of this agent.", show_default="all agents"),
    ] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Check the runs whose worker died or whose time is over. Workers do so, too, while they wait."""
    pause = pause_of(every)
    with open_cache(url, namespace, contact=pause is None) as cache:
        place = place_of(cache)
        if pause is not None:
            cache._executor.on_failure = None  # `repeat` prints one line for an outage

        def check() -> None:
            checked = cache.recover(agent)
            if as_json:
                print(json.dumps({"checked": checked}), flush=True)
            elif checked or pause is None:
                print_line(f"checked {checked:,} runs and turns in {place}")

        repeat(check, pause)
