"""`doctor`: check whether a server is fit for sessions, and say what to change."""

from __future__ import annotations

import json
import statistics
import time
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .._core.protocol.keys import SCHEMA_VERSION
from .._core.protocol.scripts import names, script
from .._sync.api.cache import SessionCache
from ..errors import AccessDenied, SchemaMismatch, StoreError
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Namespace, Url, app, count_of, out, shared_url, show_progress
from .doctor_checks import Finding, diagnose, parse_info
from .reindex import reindex

_MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}
_PROBE_ID = "doctor"
"""The ID of a session that is looked up to learn the schema version. It need not exist."""
_PINGS = 20


@app.command()
def doctor(
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--reindex", help="Rebuild the indexes instead. The fleet can go on working. Default: check the server."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the server: version, memory policy, persistence, latency, scripts, schema. Exit 1 if a check fails."""
    if rebuild:
        _rebuild(url, namespace, as_json)
        return
    with SessionCache.from_url(shared_url(url), namespace=namespace, retry_for=3) as cache:
        findings = _examine(cache)
    failed = any(finding.level == "fail" for finding in findings)
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for finding in findings:
            advice = f"\n[dim]→ {escape(finding.advice)}[/]" if finding.advice else ""
            table.add_row(_MARKS[finding.level], finding.subject, escape(finding.fact) + advice)
        out.print(table)
    raise typer.Exit(1 if failed else 0)


def _rebuild(url: str, namespace: str, as_json: bool) -> None:
    with SessionCache.from_url(shared_url(url), namespace=namespace) as cache, show_progress("sessions") as progress:
        cache.get(_PROBE_ID)  # raises SchemaMismatch in a namespace of another schema
        checked = reindex(cache, progress)
    print(json.dumps({"checked": checked}) if as_json else f"checked {count_of(checked, 'session')}")


def _examine(cache: SessionCache) -> list[Finding]:
    schema = SCHEMA_VERSION
    try:
        cache.get(_PROBE_ID)
    except SchemaMismatch as problem:
        schema = problem.found
    findings: list[Finding] = []
    shas = [script(name).sha for name in names()]
    infos = [_checked_text(cache, reply) for reply in cache._router.send_to_all(("INFO",))]
    loaded = cache._router.send_to_all(("SCRIPT", "EXISTS", *shas))
    latency_ms = _latency_ms(cache, len(infos))
    for info, found in zip(infos, loaded, strict=True):
        known = None if isinstance(found, Exception) else found
        findings += diagnose(parse_info(info), latency_ms, known, schema)
    return findings


def _checked_text(cache: SessionCache, reply: object) -> str:
    if isinstance(reply, Exception):
        if "NOPERM" in str(reply) or "permission" in str(reply):
            raise AccessDenied(where=cache.where, detail=f"doctor needs the right to INFO: {reply}")
        raise StoreError(where=cache.where, detail=str(reply))
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _latency_ms(cache: SessionCache, nodes: int) -> float:
    times = []
    for _ in range(_PINGS):
        began = time.perf_counter()
        cache._router.send_to_all(("PING",))
        times.append((time.perf_counter() - began) / nodes)
    return statistics.median(times) * 1000
