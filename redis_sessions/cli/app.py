"""The app all commands hang on, the options they share, and how they say what others wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

from ..errors import InvalidInput

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Sessions for fleets of agents, in Redis.",
)
out = Console()
errors = Console(stderr=True)

Url = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="REDIS_SESSIONS_URL",
        help="redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// or embedded://path",
    ),
]
Namespace = Annotated[
    str, typer.Option("--namespace", envvar="REDIS_SESSIONS_NAMESPACE", help="The deployment or tenant to look at.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DEFAULT_URL = "redis://localhost:6379/0"
DEFAULT_NAMESPACE = "sessions"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def other_processes(url: str) -> str:
    """The URL, if what it names can be seen by more than one process; else a refusal."""
    if url == "embedded://" or url.startswith("fake://"):
        raise InvalidInput(name="--url", detail=f"{url} is gone with the process that made it; name a server or a path")
    return url


def printable(text: str, keep: str = "") -> str:
    """A text that steers no terminal: what is not printable is shown as its escape."""
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)


def tell(text: str) -> None:
    """One plain line on standard error, whatever is in it."""
    errors.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def seconds(text: str, name: str, least: float, most: float) -> float:
    """A duration as it is typed: 90, 0.5s, 30m, 12h, 7d. Raises InvalidInput."""
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)([smhd]?)", text, re.ASCII)
    value = float(found[1]) * _UNITS[found[2]] if found else -1.0
    if not least <= value <= most:
        raise InvalidInput(name=name, detail=f"{text!r} is no time from {least:g}s to {most:g}s")
    return value


def ago(then: datetime, now: datetime) -> str:
    """How long ago something was, in the largest unit that fits: 3m ago."""
    past = max(int((now - then).total_seconds()), 0)
    unit = next(unit for unit in ("d", "h", "m", "s") if past >= _UNITS[unit] or unit == "s")
    return f"{past // _UNITS[unit]}{unit} ago"


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Shows how far something has come, on standard error, where that is a terminal."""
    with errors.status(f"0 {what}") as status:
        yield lambda done: status.update(f"{done:,} {what}")
