"""`export` and `import`: move sessions as lines of JSON from one server, or namespace, to another."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, cast

import typer

from .._sync.api.cache import SessionCache
from ..errors import InvalidInput, SessionExists
from ..models.transfer import OnConflict
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    app,
    count_of,
    escape_controls,
    escape_json,
    print_notice,
    shared_url,
)
from .session_ids import Label, SessionId, find_session


@app.command()
def export(
    id: SessionId = None,
    label: Label = None,
    file: Annotated[Path | None, typer.Option("--out", help="File to write.", show_default="standard output")] = None,
    no_tree: Annotated[
        bool, typer.Option("--no-tree", help="Export the session alone. Default: with all its descendants.")
    ] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Export a session and all its descendants as lines of JSON, exactly as they are stored."""
    with SessionCache.from_url(shared_url(url), namespace=namespace) as cache, _opened_for_writing(file) as target:
        session = find_session(cache, id, label)
        last = _write(session.export(tree=not no_tree), target)
    end = json.loads(last)["end"]
    sizes = f"{count_of(end['sessions'], 'session')}, {count_of(end['messages'], 'message')}"
    print_notice(f"exported: {escape_controls(session.id)}, {sizes}")


@app.command("import")
def import_sessions(
    file: Annotated[
        Path | None,
        typer.Argument(help="File that export wrote.", show_default="standard input"),
    ] = None,
    on_conflict: Annotated[
        str,
        typer.Option(
            "--on-conflict",
            help="What to do if a session exists. error: import nothing and exit 2. skip: import nothing. replace: replace"
            " the sessions with their whole tree.",
        ),
    ] = "error",
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Import what export wrote: all sessions at once, or nothing."""
    with SessionCache.from_url(shared_url(url), namespace=namespace) as cache, _opened_for_reading(file) as lines:
        try:
            result = cache.import_sessions(lines, on_conflict=cast("OnConflict", on_conflict))
        except SessionExists as problem:
            raise InvalidInput(
                name="import",
                detail=f"session {problem.facts['session_id']!r} exists in namespace {namespace!r}, and nothing was imported:"
                " give --on-conflict skip to keep it, or --on-conflict replace to replace its tree",
            ) from None
    if as_json:
        print(json.dumps(result._asdict()))
        return
    counts = result._asdict()
    done = ", ".join(f"{counts[name]:,} {name}" for name in ("imported", "replaced", "skipped") if counts[name])
    print(f"sessions: {done}; {count_of(result.messages, 'message')}")


def _write(lines: Iterable[str], target: IO[bytes]) -> str:
    """Write lines, and return the last line."""
    line = ""
    for line in lines:
        target.write((escape_json(line) if target.isatty() else line).encode() + b"\n")
    target.flush()
    return line


@contextmanager
def _opened_for_writing(file: Path | None) -> Iterator[IO[bytes]]:
    """Yield a file that takes its name at the end of the block, so that a failed export never replaces a good file."""
    if file is None:
        yield sys.stdout.buffer
        return
    is_plain = file.is_file() or not file.exists()
    part = file.with_name(f"{file.name}.part") if is_plain else file
    try:
        with part.open("wb") as target:
            yield target
        if is_plain:
            part.replace(file)
    except OSError as problem:
        raise _unusable("--out", file, problem) from None
    finally:
        if is_plain:
            part.unlink(missing_ok=True)


@contextmanager
def _opened_for_reading(file: Path | None) -> Iterator[Iterable[bytes]]:
    if file is None:
        yield sys.stdin.buffer
        return
    try:
        with file.open("rb") as lines:
            yield lines
    except OSError as problem:
        raise _unusable("FILE", file, problem) from None


def _unusable(name: str, file: Path, problem: OSError) -> InvalidInput:
    return InvalidInput(name=name, detail=f"cannot use {file}: {problem.strerror or problem}")
