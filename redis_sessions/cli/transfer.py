"""`export` and `import`: move sessions as lines of JSON from one server, or namespace, to another."""

from __future__ import annotations

import gzip
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated, cast

import typer

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
    log_audit,
    print_notice,
)
from .connect import open_cache
from .session_ids import Label, SessionId, find_session

_MAX_KEY_BYTES = 64 * 1024
_PRIVATE = 0o600
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", help="File with the key that signs the export: at least 16 bytes.", show_default="no signature"
    ),
]


@app.command()
def export(
    id: SessionId = None,
    label: Label = None,
    file: Annotated[
        Path | None,
        typer.Option("--out", help="File to write. A name in .gz compresses.", show_default="standard output"),
    ] = None,
    no_tree: Annotated[
        bool, typer.Option("--no-tree", help="Export the session alone. Default: with all its descendants.")
    ] = False,
    key_file: KeyFile = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Export a session and all its descendants as lines of JSON, exactly as they are stored.

    A file is made for its owner alone, mode 0600. Its name may end in .gz.
    """
    key = _key(key_file)
    with (
        open_cache(url, namespace) as cache,
        opened_for_writing(file, compresses=True) as target,
    ):
        session = find_session(cache, id, label)
        end = _write(session.export(tree=not no_tree, key=key), target)
    sizes = f"{count_of(end['sessions'], 'session')}, {count_of(end['messages'], 'message')}"
    print_notice(f"exported: {escape_controls(session.id)}, {sizes}")


@app.command("import")
def import_sessions(
    file: Annotated[
        Path | None,
        typer.Argument(help="File that export wrote, also compressed with gzip.", show_default="standard input"),
    ] = None,
    on_conflict: Annotated[
        str,
        typer.Option(
            "--on-conflict",
            help="What to do if a session exists. error: import nothing and exit 2. skip: import nothing. replace: replace"
            " the sessions with their whole tree.",
        ),
    ] = "error",
    key_file: KeyFile = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Import what export wrote: all sessions at once, or nothing."""
    key = _key(key_file)
    with (
        open_cache(url, namespace, audit=log_audit) as cache,
        _opened_for_reading(file) as lines,
    ):
        try:
            result = cache.import_sessions(lines, on_conflict=cast("OnConflict", on_conflict), key=key)
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


def _write(lines: Iterable[str], target: IO[bytes]) -> dict[str, int]:
    """Write lines, and return the counts of the last line before the signature."""
    end: dict[str, int] = {}
    for line in lines:
        target.write((escape_json(line) if target.isatty() else line).encode() + b"\n")
        if line.startswith('{"end":'):
            end = json.loads(line)["end"]
    target.flush()
    return end


def _key(file: Path | None) -> bytes | None:
    """Return the content of a key file, without the newline at its end."""
    if file is None:
        return None
    try:
        with file.open("rb") as source:
            data = source.read(_MAX_KEY_BYTES + 1)
    except OSError as problem:
        raise _unusable("--key-file", file, problem) from None
    if len(data) > _MAX_KEY_BYTES:
        raise InvalidInput(name="--key-file", detail=f"must have at most {_MAX_KEY_BYTES} bytes: {file} is larger")
    return data.rstrip(b"\r\n")


@contextmanager
def opened_for_writing(file: Path | None, *, compresses: bool = False) -> Iterator[IO[bytes]]:
    """Yield a file that takes its name at the end of the block, so that a failed export never replaces a good file.

    `compresses`: compress what is written to a name that ends in .gz.
    """
    if file is None:
        yield sys.stdout.buffer
        return
    try:
        kind = _kind_of(file)
        if kind is not None and not stat.S_ISREG(kind):
            links = 0 if _is_device(file) else os.O_NOFOLLOW
            with open(os.open(file, os.O_WRONLY | links), "wb") as target:
                yield target
            return
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with _new_part(file, folder, compresses and file.suffix == ".gz") as target:
                yield target
        finally:
            os.close(folder)
    except BrokenPipeError:
        raise  # the reader of a pipe has ended
    except OSError as problem:
        raise _unusable("--out", file, problem) from None


@contextmanager
def _new_part(file: Path, folder: int, compresses: bool) -> Iterator[IO[bytes]]:
    """Yield a new file in a folder, for its owner alone. After the block it has its name, after an error it is gone."""
    part = f"{file.name}.part"
    try:
        made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _PRIVATE, dir_fd=folder)
    except FileExistsError:
        detail = (
            f"cannot use {file}: {part} exists, so another export writes it or was killed: remove it, then try again"
        )
        raise InvalidInput(name="--out", detail=detail) from None
    try:
        with open(made, "wb") as plain:
            os.fchmod(made, _PRIVATE)
            if compresses:
                with gzip.GzipFile(filename="", fileobj=plain, mode="wb") as target:
                    yield cast("IO[bytes]", target)
            else:
                yield plain
            plain.flush()
            os.fsync(made)
        _kind_of(file)
        os.replace(part, file.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
        raise


def _is_device(file: Path) -> bool:
    """Return whether a file is one of the system's, such as /dev/stdout or the pipe of a shell."""
    return str(file).startswith(("/dev/", "/proc/"))


def _kind_of(file: Path) -> int | None:
    """Return the mode of a file, or None if there is none. Raises InvalidInput for a symbolic link."""
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode) and _is_device(file) and not stat.S_ISREG(file.stat().st_mode):
        return file.stat().st_mode
    if stat.S_ISLNK(mode):
        detail = f"cannot use {file}: it is a symbolic link, and an export is never written through one: name the file itself"
        raise InvalidInput(name="--out", detail=detail)
    return mode


@contextmanager
def _opened_for_reading(file: Path | None) -> Iterator[IO[bytes]]:
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
