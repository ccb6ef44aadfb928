"""`docs`: documents by category and name, as files are: listed, read, stored, deleted."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from .._core.codec import from_json
from .._sync.cache import SessionCache
from ..errors import InvalidInput
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Namespace, Url, app, other_processes, tell

_MISSING = object()
docs = typer.Typer(no_args_is_help=True, help="List, read, store and delete documents.")
app.add_typer(docs, name="docs")
Category = Annotated[str, typer.Argument(help="The category, such as notes or notes/2026.")]
Name = Annotated[str, typer.Argument(help="The document, without an extension.")]


@docs.command("ls")
def list_documents(
    category: Annotated[str | None, typer.Argument(help="The category; without one, categories are listed.")] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at the most.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where a page ended.")] = None,
    as_json: Json = False,
) -> None:
    """List the documents of a category, or the categories that hold documents."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        page = cache.categories(limit, cursor) if category is None else cache.documents(category).list(limit, cursor)
    if as_json:
        print(json.dumps(page._asdict()))
        return
    for name in page.items:
        print(name)
    if not page.items:
        tell("no documents")
    if page.cursor:
        tell(f"more: --cursor {shlex.quote(page.cursor)}")


@docs.command("get")
def get_document(
    category: Category,
    name: Name,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Annotated[bool, typer.Option("--json", help="The JSON form, also where there is a text.")] = False,
) -> None:
    """Print a document: its text, byte for byte, or, where there is none, its JSON. Exit 1 when there is neither."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        documents = cache.documents(category)
        text, value = documents.get(name), documents.get_json(name, _MISSING)
    if text is not None and not as_json:
        typer.echo(text.encode(), nl=False)
    elif value is not _MISSING:
        print(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        _missing(category, name, "" if text is None else "; there is its text, without --json")


@docs.command("put")
def put_document(
    category: Category,
    name: Name,
    file: Annotated[Path | None, typer.Argument(help="What to store; standard input without one, or for -.")] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Check that it is JSON, and store it as that.")] = False,
) -> None:
    """Store a document, in place of the one that is there; prints nothing."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        documents = cache.documents(category)
        text = _read(file)
        if as_json:
            documents.put_json(name, _parsed(text, file))
        else:
            documents.put(name, text)


@docs.command("rm")
def remove_document(
    category: Category, name: Name, url: Url = DEFAULT_URL, namespace: Namespace = DEFAULT_NAMESPACE
) -> None:
    """Delete a document: its JSON if there is one, else its text. Exit 1 when there is neither."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        is_removed = cache.documents(category).delete(name)
    if not is_removed:
        _missing(category, name)


def _read(file: Path | None) -> str:
    source = _named(file)
    try:
        data = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
        return data.decode()
    except OSError as problem:
        raise InvalidInput(name="file", detail=f"{source}: {problem.strerror}") from None
    except UnicodeDecodeError as problem:
        raise InvalidInput(name="file", detail=f"{source} is no UTF-8: {problem.reason} at {problem.start}") from None


def _parsed(text: str, file: Path | None) -> Any:
    try:
        return from_json(text)
    except (ValueError, RecursionError) as problem:
        raise InvalidInput(name="file", detail=f"{_named(file)} is no JSON: {problem}") from None


def _named(file: Path | None) -> str:
    return "standard input" if file is None or str(file) == "-" else str(file)


def _missing(category: str, name: str, hint: str = "") -> NoReturn:
    tell(f"no document {name!r} in {category!r}{hint}")
    raise typer.Exit(1)
