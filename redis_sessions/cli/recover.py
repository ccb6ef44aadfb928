"""`recover`: act on runs whose worker died or whose time is over."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from .._sync.api.cache import SessionCache
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Namespace, Url, app, out, parse_duration, shared_url
from .codec_options import codec_options


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
        with SessionCache.from_url(shared_url(url), namespace=namespace, **codec_options()) as cache:
            while True:
                checked = cache.recover(agent)
                if as_json:
                    print(json.dumps({"checked": checked}), flush=True)
                elif checked or pause is None:
                    out.print(f"checked {checked:,} runs and turns")
                if pause is None:
                    return
                time.sleep(pause)
    except KeyboardInterrupt:
        return
