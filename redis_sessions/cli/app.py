"""The app all commands hang on, and the options they share."""

from __future__ import annotations

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
    str, typer.Option("--url", envvar="REDIS_SESSIONS_URL", help="Where the sessions are; see the README's engines.")
]
Namespace = Annotated[
    str, typer.Option("--namespace", envvar="REDIS_SESSIONS_NAMESPACE", help="The deployment or tenant to look at.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DEFAULT_URL = "redis://localhost:6379/0"
DEFAULT_NAMESPACE = "sessions"


def other_processes(url: str) -> str:
    """The URL, if what it names can be seen by more than one process; else a refusal."""
    if url == "embedded://" or url.startswith("fake://"):
        raise InvalidInput(name="--url", detail=f"{url} is gone with the process that made it; name a server or a path")
    return url
