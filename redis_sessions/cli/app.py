"""The app that all commands belong to, their common options, and the helpers by which they print."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from .. import __version__, _printable
from .._durations import MAX_DURATION_MS, milliseconds
from .._printable import count_of as count_of
from ..errors import InvalidInput
from ..models.audit import AuditRecord
from .plain import CUT, is_plain, plain_marks

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Work with the sessions of agents in Redis or Valkey. A duration is a number with a unit: 500ms, 90s, 30m, 12h, 7d or"
        " 2w. A number without a unit is seconds. Exit codes: 0 success, 1 the answer is no, 2 wrong input, 3 the server failed,"
        " 4 the output could not be written, 130 Ctrl-C."
    ),
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"redis-sessions {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    url: Annotated[str | None, typer.Option("--url", hidden=True)] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", hidden=True)] = None,
) -> None:
    """Take the options that stand before the command, and refuse those that stand behind it."""
    for name, given in (("--url", url), ("--namespace", namespace)):
        if given is not None:
            raise InvalidInput(name=name, detail=f"must stand behind the command: redis-sessions COMMAND {name} …")


def escape_controls(text: str, keep: str = "") -> str:
    """Return text that cannot control a terminal: a character that is not printable becomes its escape sequence.

    Control characters, C1 (0x80 to 0x9f) and the marks that turn the direction of text (bidi) are not printable. On an output
    that cannot show UTF-8, no character beyond ASCII is.
    """
    is_ascii = is_plain()
    return _printable.escape_controls(plain_marks(text) if is_ascii else text, keep, ascii_only=is_ascii)


def escape_json(text: str) -> str:
    """Return JSON with the same value whose text cannot control a terminal. Lines stay as they are."""
    is_ascii = is_plain()
    return "".join(
        one if (one.isprintable() and not (is_ascii and ord(one) > 126)) or one == "\n" else json.dumps(one)[1:-1]
        for one in text
    )


class SafeConsole(Console):
    """A console that prints no control character of a text. Its own control sequences go through.

    On an output that cannot show UTF-8 it prints ASCII. ':robot:' stays as it is, because IDs have such parts.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of what is printed, each with its text escaped."""
        is_ascii = is_plain()
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or (text.isprintable() and (text.isascii() or not is_ascii)):
                yield segment
            else:
                yield Segment(escape_controls(text, keep="\n"), segment.style)

    def on_broken_pipe(self) -> NoReturn:
        """End without a word, because the reader of the pipe, such as head, has ended."""
        raise BrokenPipeError


class SafeFormatter(logging.Formatter):
    """A line of the log that cannot control a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return escape_controls(super().format(record), keep="\n")


_audit_log = logging.getLogger("redis_sessions.cli.audit")
out = SafeConsole()
errors = SafeConsole(stderr=True)

Url = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="REDIS_SESSIONS_URL",
        help="Server: redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// or embedded://PATH.",
    ),
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace", envvar="REDIS_SESSIONS_NAMESPACE", help="Namespace: the deployment or tenant on that server."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text. Default: text.")]
Wide = Annotated[
    bool,
    typer.Option(
        "--wide", help="Print whole IDs and names, however wide the lines are. Default: fit into the terminal."
    ),
]
Cursor = Annotated[
    str | None,
    typer.Option("--cursor", help="Cursor that the page before printed.", show_default="the first page"),
]
DEFAULT_URL = "redis://localhost:6379/0"
DEFAULT_NAMESPACE = "sessions"
DURATION_FORM = "90s, 30m, 12h or 7d (a number without a unit is seconds)"
_WIDE = 4000
"""Columns of a table that is not cut."""
_AGE_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def shared_url(url: str) -> str:
    """Return the URL if more than one process can reach the server. Raises InvalidInput."""
    if url == "embedded://" or url.startswith("fake://"):
        scheme = url.partition("://")[0]
        detail = f"must name a server or a path, such as embedded://PATH, because the data of {scheme}:// ends with this process"
        raise InvalidInput(name="--url", detail=detail)
    return url


def parse_duration(text: str, name: str, *, minimum: str = "1ms", maximum: str | None = None) -> float:
    """Return the seconds of a duration, such as 90, 0.5s, 30m, 12h or 7d. Raises InvalidInput that names the option."""
    most_ms = MAX_DURATION_MS if maximum is None else milliseconds(maximum, name)
    try:
        return milliseconds(text, name, minimum=milliseconds(minimum, name, minimum=0), maximum=most_ms) / 1000
    except InvalidInput:
        bounds = f"from {minimum} to {maximum or '100 years'}"
        detail = f"must be a duration {bounds}, such as {DURATION_FORM}, got {text!r}"
        raise InvalidInput(name=name, detail=detail) from None


def shorten(text: str, width: int, least_end: int = 0) -> str:
    """Return text of at most `width` characters. A long text loses its middle, and keeps `least_end` characters of its end."""
    if len(text) <= width:
        return text
    tail = max((width - 1) // 2, min(least_end, width - 1), 0)
    return f"{text[: max(width - tail - 1, 0)]}{CUT}{text[len(text) - tail :]}"


def cut(text: str, width: int) -> str:
    """Return text of at most `width` characters. A long text loses its end."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}{CUT}"


def print_result(facts: Mapping[str, Any], line: str, as_json: bool) -> None:
    """Print what a command did: its facts as JSON, or one line. Text of several lines keeps them."""
    if as_json:
        print(json.dumps(facts))
    else:
        print_line(line)


def print_line(text: str | Text, console: Console | None = None) -> None:
    """Print a line. A terminal wraps it between words, so that no ID is folded. In a pipe it stays one line."""
    target = out if console is None else console
    shown = Text(text) if isinstance(text, str) else text
    target.print(shown, soft_wrap=not target.is_terminal)


def print_notice(text: str) -> None:
    """Print one line of plain text on standard error. A full disk behind it stops no command."""
    try:
        print_line(text, errors)
    except BrokenPipeError:
        raise
    except OSError:
        errors._buffer.clear()


def wide_console(wide: bool) -> Console:
    """Return the console for a table that is not cut: with room for everything in a pipe or with --wide."""
    return out if out.is_terminal and not wide else SafeConsole(width=_WIDE, soft_wrap=True)


def is_cut(wide: bool) -> bool:
    """Return whether a table must fit into the terminal."""
    return out.is_terminal and not wide


class _ErrorHandler(logging.Handler):
    """Write the log to standard error, wrapped between words on a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        print_notice(self.format(record))


def log_orders() -> None:
    """Let the log of orders go to standard error, with or without other settings of the log."""
    handler = _ErrorHandler()
    handler.setFormatter(SafeFormatter())
    _audit_log.handlers = [handler]
    _audit_log.setLevel(logging.INFO)
    _audit_log.propagate = False


def log_audit(record: AuditRecord) -> None:
    """Write an order to the log, in one line."""
    facts = {"session": record.session_id, "user": record.user_id, "reason": record.reason, **record.details}
    shown = "".join(f" {name}={value}" for name, value in facts.items() if value is not None)
    at = record.at.isoformat(timespec="milliseconds")
    line = f"{at} audit: {record.action} by {record.actor} in {record.namespace}:{shown}"
    _audit_log.info("%s", escape_controls(line))


def describe_error(problem: BaseException) -> str:
    """Return the message of an error on one line, with the place that it is about."""
    notes = "".join(f". {note}" for note in getattr(problem, "__notes__", []))
    return escape_controls(f"{problem}{notes}")


def format_age(then: datetime, now: datetime) -> str:
    """Return the time since `then` in the largest unit that fits: 3m ago."""
    past = max(int((now - then).total_seconds()), 0)
    unit = next(unit for unit, seconds in _AGE_UNITS.items() if past >= seconds or unit == "s")
    return f"{past // _AGE_UNITS[unit]}{unit} ago"


def format_span(seconds: float) -> str:
    """Return a time in a unit that a person reads easily: 59.9 s, 5 min, 23.5 h."""
    if seconds < 120:
        return f"{max(seconds, 0):.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


@contextmanager
def show_progress(noun: str) -> Iterator[Callable[[int], None]]:
    """Show how many sessions, or other things, are done: on standard error, if that is a terminal."""
    with errors.status(f"0 {noun}", spinner="line") as status:
        yield lambda done: status.update(f"{done:,} {noun}")
