"""`codec train`, `reencrypt` and `sweep`: make a dictionary, bring what is stored to the current key, remove unused files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from .._core.protocol.json_values import to_json
from .._sync.api.cache import SessionCache
from ..codecs import train_dictionary
from ..errors import CodecMissing, DecryptionError, InvalidInput, SessionDamaged, SessionNotFound
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    app,
    count_of,
    print_notice,
    print_result,
    show_progress,
)  # fmt: skip
from .codec_options import codec_options
from .connect import open_cache
from .transfer import opened_for_writing

codec = typer.Typer(no_args_is_help=True, help="Compress, encrypt and offload what is stored.")
app.add_typer(codec, name="codec")
MAX_SAMPLE_BYTES = 128 * 1024
"""A larger payload does not make a dictionary better."""
SAMPLES_PER_BYTE = 100
"""Bytes of samples for each byte of the dictionary. More do not make it better."""

Codecs = Annotated[
    str | None,
    typer.Option(
        "--codecs",
        metavar="MODULE:NAME",
        help="A list of codecs, or a dict of the options codecs and encode. The current folder is searched first.",
        show_default="REDIS_SESSIONS_CODECS",
    ),
]


@codec.command("train")
def train(
    out: Annotated[Path, typer.Option("--out", help="File that gets the dictionary. Only its user can read it.")],
    size: Annotated[int, typer.Option("--size", help="Largest size of the dictionary, 1024 to 1048576 bytes.")] = 65536,
    messages: Annotated[
        int,
        typer.Option(
            "--messages", min=10, max=1_000_000, help="The number of messages to learn from, the newest sessions first."
        ),
    ] = 20_000,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file. Default: refuse it.")] = False,
    codecs: Codecs = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Train a zstd dictionary from the messages of real sessions.

    The dictionary holds parts of messages in plain text: keep it as secret as the sessions. Values need the dictionary that they
    name, so an existing file stays without --force. Samples end at 100 times the size. Sessions that cannot be read are left out.
    """
    if out.exists() and not force:
        detail = f"{out} exists: stored values may need its dictionary. Give another file, or --force to replace it"
        raise InvalidInput(name="--out", detail=detail)
    with open_cache(url, namespace, codecs=codecs) as cache, show_progress("messages") as progress:
        samples = []
        for one in islice(_payloads(cache, size * SAMPLES_PER_BYTE), messages):
            samples.append(one)
            progress(len(samples))
    if not samples:
        detail = f"found none in namespace {namespace} that can be read. Check --namespace, --url and --codecs"
        raise InvalidInput(name="messages", detail=detail)
    dictionary = train_dictionary(samples, size)
    with opened_for_writing(out) as target:
        target.write(dictionary)
    facts = {"messages": len(samples), "bytes": len(dictionary), "file": str(out)}
    print_result(
        facts, f"{out}: a dictionary of {len(dictionary):,} bytes from {count_of(len(samples), 'message')}", as_json
    )


def _payloads(cache: SessionCache, left: int) -> Iterator[bytes]:
    """Yield payloads of readable sessions, `left` bytes in all."""
    for row in cache.iter_sessions():
        try:
            history = cache.session(row.id).history(1000, skip_damaged=True)
        except (SessionNotFound, SessionDamaged, DecryptionError, CodecMissing):
            continue
        for message in history:
            payload = to_json(message.payload, "message").encode()
            if len(payload) <= MAX_SAMPLE_BYTES:
                yield payload
                left -= len(payload)
            if left <= 0:
                return


@codec.command("reencrypt")
def reencrypt(
    codecs: Codecs = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Store all sessions and documents with the present codecs and the current key, while they are in use.

    Repeat it until nothing is replaced. Then take the old key out of the ring. Exit code 1 if a value could not be decoded.
    """
    done = replaced = problems = 0
    if not codec_options(codecs):
        detail = "is missing: name the codecs that values are stored with, such as support.storage:codecs"
        raise InvalidInput(name="--codecs", detail=detail)
    with (
        open_cache(url, namespace, codecs=codecs) as cache,
        show_progress("sessions") as progress,
    ):
        for found in cache.reencrypt():
            done, replaced = done + 1, replaced + found.replaced
            progress(done)
            if found.problem is not None:
                problems += 1
                print_notice(f"{found.name}: {found.problem}")
    line = f"{count_of(replaced, 'value')} of {done:,} sessions and categories replaced"
    if problems:
        line += f", {count_of(problems, 'problem')}"
    print_result({"replaced": replaced, "checked": done, "problems": problems}, line, as_json)
    raise typer.Exit(1 if problems else 0)


@codec.command("sweep")
def sweep(
    codecs: Codecs = None,
    grace: Annotated[
        str,
        typer.Option(
            "--grace",
            help="Duration, 10m or more, such as 1d, for which new files stay: a writer may be about to refer to them.",
        ),
    ] = "1d",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count, and remove nothing. Default: remove them.")
    ] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Remove the files of the blob store to which nothing refers any more, while sessions are in use.

    A server does not tell which sessions expired, so files stay until a sweep. Run it each day. It reads the whole namespace.
    """
    options = codec_options(codecs)
    if not options:
        detail = "is missing: name the codecs with the Offload whose files are swept, such as support.storage:codecs"
        raise InvalidInput(name="--codecs", detail=detail)
    with (
        open_cache(url, namespace, codecs=codecs) as cache,
        show_progress("files and keys") as progress,
    ):
        found = cache.sweep_blobs(grace, dry_run=dry_run, progress=lambda one: progress(one.files + one.keys))
    done = "would be removed" if dry_run else "removed"
    line = f"{found.removed:,} of {count_of(found.files, 'file')} {done}, {found.young:,} young, {found.referenced:,} in use"
    if found.copied:
        line += f", {found.copied:,} of copied sessions left for the next sweep"
    print_result({**found._asdict(), "dry_run": dry_run}, line, as_json)
