"""`top`: the command, and the loop that draws and takes keys."""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import suppress
from typing import Annotated, NoReturn

import typer
from rich.console import Group
from rich.live import Live

from ..._sync.api.fleet_monitor import FleetMonitor
from ...models.audit import AuditRecord
from ..app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    Wide,
    app,
    is_cut,
    log_audit,
    out,
    parse_duration,
    wide_console,
)
from ..connect import open_cache
from .keys import KeyReader, key_reader
from .reader import Reader
from .screen import page_of, printed_lines, rows_of, screen_lines
from .state import State

_POLL_SECONDS = 0.1
"""The time between two checks of the keyboard, the size of the terminal, and the reader."""
_REDRAW_SECONDS = 1.0
"""The time after which the screen is drawn again, because it tells how long something lasts."""
_RETRY_SECONDS = 2.0
"""The time after which a server that does not answer is reported."""


@app.command()
def top(
    every: Annotated[
        str, typer.Option("--every", help="Duration between two reads, 100ms to 1h, such as 500ms or 5s.")
    ] = "1s",
    once: Annotated[
        bool,
        typer.Option("--once", help="Print one screen and end, as without a terminal. Default: go on until q."),
    ] = False,
    stuck_after: Annotated[
        str,
        typer.Option(
            "--stuck-after",
            help="Duration after which a holder that writes nothing, or work that waits, counts as a problem, such as 30s or 5m.",
        ),
    ] = "60s",
    allow_actions: Annotated[
        bool,
        typer.Option(
            "--allow-actions",
            help="Let keys cancel, retry, pause, resume, release and delete, after a question. Default: only look.",
        ),
    ] = False,
    wide: Wide = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Show what is wrong in a fleet, its agents, sessions and workers, on the whole screen. Press ? for the keys, q to end."""
    pause = parse_duration(every, "--every", minimum="100ms", maximum="1h")
    stuck = parse_duration(stuck_after, "--stuck-after")
    orders: list[AuditRecord] = []
    is_live = out.is_terminal and not (once or as_json or wide)
    with open_cache(
        url, namespace, contact=not is_live, retry_for=_RETRY_SECONDS, audit=orders.append if is_live else log_audit
    ) as cache:
        title = f"{cache.where} · namespace {cache.namespace}"
        if not is_live:
            _print(cache.monitor(stuck_after=stuck), title, wide=wide, as_json=as_json)
            return
        cache._executor.on_failure = None  # the screen says it
        signal.signal(signal.SIGTERM, _exit)  # so that the terminal is restored
        with suppress(AttributeError):
            signal.signal(signal.SIGHUP, _exit)
        try:
            with suppress(KeyboardInterrupt), key_reader() as read_keys:
                reader = Reader(cache, cache.monitor(stuck_after=stuck), pause)
                _run(reader, title, read_keys, State(allows_actions=allow_actions))
        finally:
            for order in orders:
                log_audit(order)


def _print(monitor: FleetMonitor, title: str, *, wide: bool, as_json: bool) -> None:
    fleet = monitor.read_all()
    if as_json:
        print(json.dumps(fleet.model_dump(mode="json")))
        return
    size = (out.width, out.height - 1) if is_cut(wide) else (None, None)
    for line in printed_lines(fleet, title, *size):
        wide_console(wide).print(line)


def _run(reader: Reader, title: str, read_keys: KeyReader, state: State) -> None:
    """Draw the screen until the user ends it."""
    shown, drawn_at = None, 0.0
    rows_for, rows = None, []
    try:
        with Live(console=out, screen=True, auto_refresh=False) as live:
            while not state.is_over:
                sight, size = reader.sight, out.size
                if sight.error is not None:
                    raise sight.error
                while not reader.messages.empty():
                    state.message, shown = reader.messages.get(), None
                seen = (sight, size, state.view, state.sort, state.filter)
                if seen != rows_for:
                    rows_for, rows = seen, rows_of(sight, state, *size)
                if (sight, size) != shown or time.monotonic() - drawn_at > _REDRAW_SECONDS:
                    shown, drawn_at = (sight, size), time.monotonic()
                    lines = screen_lines(sight, state, rows, title, size.width, size.height, reader.reading_since)
                    live.update(Group(*lines), refresh=True)
                for key in read_keys(_POLL_SECONDS):
                    action = state.press(key, rows, page_of(size.height))
                    shown = None
                    if action is not None:
                        reader.act(action)
                        state.message = f"doing it: {action.kind}"
                reader.show(state.view)
    finally:
        reader.close()


def _exit(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
