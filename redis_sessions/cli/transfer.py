"""`export` and `import`: sessions as lines of text, from one server, or namespace, to another."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, cast

import typer
from rich.markup import escape

from .._sync.cache import SessionCache
from ..errors import InvalidInput, SessionExists
from ..models.transfer import Existing
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Namespace, Url, app, errors, other_processes, out


@app.command()
def export(
    id: Annotated[str, typer.Argument(help="The session.")],
    file: Annotated[Path | None, typer.Option("--out", help="Where to write; the standard output by default.")] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Without the sessions below it.")] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Write a session and all below it as lines of text, exactly as they are stored."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache, _written(file) as target:
        last = _write(cache.session(id).export(tree=not alone), target)
    end = json.loads(last)["end"]
    errors.print(f"exported: {escape(id)}, {end['sessions']} sessions, {end['messages']} messages", soft_wrap=True)


@app.command("import")
def import_sessions(
    file: Annotated[Path | None, typer.Argument(help="What `export` wrote; the standard input by default.")] = None,
    existing: Annotated[
        str, typer.Option("--existing", help="What to do when a session is there: refuse, skip or replace.")
    ] = "refuse",
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Put what was exported in place: all of it at once, or nothing."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache, _read(file) as lines:
        try:
            result = cache.import_sessions(lines, existing=cast("Existing", existing))
        except SessionExists as problem:
            raise InvalidInput(
                name="import",
                detail=f"session {problem.facts['session_id']!r} is in namespace {namespace!r} already;"
                " --existing skip leaves it, --existing replace replaces its tree",
            ) from None
    if as_json:
        print(json.dumps(result._asdict()))
        return
    counts = result._asdict()
    done = ", ".join(f"{counts[name]} {name}" for name in ("imported", "replaced", "skipped") if counts[name])
    out.print(f"sessions: {done}; {result.messages} messages", soft_wrap=True)


def _write(lines: Iterable[str], target: IO[bytes]) -> str:
    line = ""
    for line in lines:
        target.write(line.encode() + b"\n")
    target.flush()
    return line


@contextmanager
def _written(file: Path | None) -> Iterator[IO[bytes]]:
    """A file that is put in place when it is whole, so that a broken export replaces no good one."""
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
def _read(file: Path | None) -> Iterator[Iterable[bytes]]:
    if file is None:
        yield sys.stdin.buffer
        return
    try:
        with file.open("rb") as lines:
            yield lines
    except OSError as problem:
        raise _unusable("FILE", file, problem) from None


def _unusable(name: str, file: Path, problem: OSError) -> InvalidInput:
    return InvalidInput(name=name, detail=f"{file}: {problem.strerror or problem}")
