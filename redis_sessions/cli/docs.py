"""`docs`: list, read, store and delete documents, by category and name."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text

from .._core.protocol.json_values import from_json
from ..errors import InvalidInput
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Cursor,
    Json,
    Namespace,
    Url,
    app,
    escape_controls,
    escape_json,
    out,
    print_notice,
)
from .connect import open_cache, place_of

_MISSING = object()
docs = typer.Typer(no_args_is_help=True, help="List, read, store and delete documents.")
app.add_typer(docs, name="docs")
Category = Annotated[str, typer.Argument(help="Category, such as notes or notes/2026.", show_default=False)]
Name = Annotated[str, typer.Argument(help="Name of the document, without an extension.", show_default=False)]


@docs.command("ls")
def list_documents(
    category: Annotated[
        str | None,
        typer.Argument(help="Category, such as notes or notes/2026.", show_default="list the categories"),
    ] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Names to print, 1 to 1000.")] = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """List the documents of a category, or the categories that hold documents."""
    with open_cache(url, namespace) as cache:
        place = place_of(cache)
        page = cache.categories(limit, cursor) if category is None else cache.documents(category).list(limit, cursor)
    if as_json:
        print(json.dumps(page._asdict()))
        return
    for name in page.items:
        print(escape_controls(name))
    if not page.items:
        what = "documents" if category is None else f"documents in {category!r}"
        print_notice(f"no {escape_controls(what)} in {place}")
    if page.cursor:
        print_notice(f"more: --cursor {shlex.quote(page.cursor)}")


@docs.command("get")
def get_document(
    category: Category,
    name: Name,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON of the document. Default: the text, if there is a text.")
    ] = False,
) -> None:
    """Print a document: its text, byte for byte, else its JSON, else its bytes. Exit 1 if the document does not exist."""
    with open_cache(url, namespace) as cache:
        documents = cache.documents(category)
        place = place_of(cache)
        text, value, data = documents.get(name), documents.get_json(name, _MISSING), documents.get_bytes(name)
    if text is None and value is _MISSING and data is not None and not as_json:
        _print_bytes(data)
    elif text is not None and not as_json:
        _print_text(text)
    elif value is not _MISSING:
        print(escape_json(json.dumps(value, ensure_ascii=False, indent=2)))
    else:
        _exit_missing(category, name, f" in {place}" if text is None else "; the document has a text: leave out --json")


@docs.command("put")
def put_document(
    category: Category,
    name: Name,
    file: Annotated[
        Path | None,
        typer.Argument(help="File to store, or - for standard input.", show_default="standard input"),
    ] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Store the content as JSON, if the content is valid JSON. Default: as text.")
    ] = False,
) -> None:
    """Store a document, and replace the document with this name. Print nothing."""
    with open_cache(url, namespace) as cache:
        documents = cache.documents(category)
        text = _read(file)
        if as_json:
            documents.put_json(name, _parsed(text, file))
        else:
            documents.put(name, text)


@docs.command("rm")
def remove_document(
    category: Category,
    name: Name,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Delete a document: its JSON, else its text, else its bytes. Exit 1 if the document does not exist."""
    with open_cache(url, namespace) as cache:
        is_removed = cache.documents(category).delete(name)
        place = place_of(cache)
    if as_json:
        print(json.dumps({"deleted": is_removed}))
    if not is_removed:
        _exit_missing(category, name, f" in {place}")


def _print_bytes(data: bytes) -> None:
    """Print bytes as they are. A terminal gets them as a Python literal."""
    if out.is_terminal:
        print(repr(data))
    else:
        sys.stdout.buffer.write(data)


def _print_text(text: str) -> None:
    """Print text byte for byte. A terminal gets control characters as their escapes."""
    if out.is_terminal:
        out.print(Text(text), soft_wrap=True, end="")
    else:
        typer.echo(text.encode(), nl=False)


def _read(file: Path | None) -> str:
    source = _source(file)
    try:
        data = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
        return data.decode()
    except OSError as problem:
        raise InvalidInput(name="FILE", detail=f"cannot read {source}: {problem.strerror}") from None
    except UnicodeDecodeError as problem:
        detail = f"{source} must be UTF-8: {problem.reason} at byte {problem.start}"
        raise InvalidInput(name="FILE", detail=detail) from None


def _parsed(text: str, file: Path | None) -> Any:
    try:
        return from_json(text)
    except (ValueError, RecursionError) as problem:
        raise InvalidInput(name="FILE", detail=f"{_source(file)} must be JSON: {problem}") from None


def _source(file: Path | None) -> str:
    return "standard input" if file is None or str(file) == "-" else str(file)


def _exit_missing(category: str, name: str, hint: str = "") -> NoReturn:
    print_notice(escape_controls(f"no document {name!r} in {category!r}{hint}"))
    raise typer.Exit(1)
