"""Repeat the work of a command until Ctrl-C, past the times in which the server does not serve."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer

from ..errors import NotReplicated, OutcomeUnknown, StoreError, StoreFull, StoreUnavailable
from .app import describe_error, format_span, parse_duration, print_notice

_PASSING = (NotReplicated, OutcomeUnknown, StoreError, StoreFull, StoreUnavailable)
"""Errors after which the same work can succeed later. Wrong credentials and another schema end a command."""
Every = Annotated[
    str | None,
    typer.Option(
        "--every",
        help="Duration between two checks, 50ms to 1d, such as 5s, until Ctrl-C. Failures of the server are printed, and the"
        " checks go on.",
        show_default="one check",
    ),
]


def pause_of(every: str | None) -> float | None:
    """Return the seconds between two checks, None for one check. Raises InvalidInput."""
    return None if every is None else parse_duration(every, "--every", minimum="50ms", maximum="1d")


def repeat(work: Callable[[], None], pause: float | None) -> None:
    """Call a function once, or again after each pause until Ctrl-C.

    With a pause a failure of the server is printed once when it begins, and once when it is over.
    """
    failing_since: float | None = None
    try:
        while True:
            try:
                work()
            except _PASSING as problem:
                if pause is None:
                    raise
                if failing_since is None:
                    failing_since = time.monotonic()
                    print_notice(f"{describe_error(problem)}; the checks go on")
            else:
                if failing_since is not None:
                    print_notice(f"the server serves again, after {format_span(time.monotonic() - failing_since)}")
                failing_since = None
            if pause is None:
                return
            time.sleep(pause)
    except KeyboardInterrupt:
        if pause is None:
            raise
