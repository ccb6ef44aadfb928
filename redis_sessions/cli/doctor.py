"""`doctor`: whether a server is fit for sessions, and what to do where it is not."""

from __future__ import annotations

import json
import statistics
import time
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .._core.diagnosis import Finding, diagnose, parse_info
from .._core.keys import SCHEMA
from .._core.scripts import names, script
from .._sync.cache import SessionCache
from ..errors import AccessDenied, SchemaMismatch, StoreError
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Namespace, Url, app, counting, other_processes, out
from .reindex import reindex

_MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}


@app.command()
def doctor(
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    rebuild: Annotated[
        bool, typer.Option("--reindex", help="Make the indexes anew, while the fleet runs, instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at the server: version, memory policy, persistence, latency, scripts, schema. Exit 1 if something is wrong."""
    if rebuild:
        _rebuild(url, namespace, as_json)
        return
    with SessionCache.from_url(other_processes(url), namespace=namespace, retry_for=3) as cache:
        findings = _examine(cache)
    failed = any(finding.level == "fail" for finding in findings)
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        table = Table(box=None, show_header=False)
        for finding in findings:
            advice = f"\n[dim]→ {escape(finding.advice)}[/]" if finding.advice else ""
            table.add_row(_MARKS[finding.level], finding.subject, escape(finding.fact) + advice)
        out.print(table)
    raise typer.Exit(1 if failed else 0)


def _rebuild(url: str, namespace: str, as_json: bool) -> None:
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache, counting("sessions") as progress:
        cache.get("doctor")  # not in a namespace of another schema
        looked = reindex(cache, progress)
    print(json.dumps({"looked_at": looked}) if as_json else f"{looked} sessions were looked at")


def _examine(cache: SessionCache) -> list[Finding]:
    schema = SCHEMA
    try:
        cache.get("doctor")
    except SchemaMismatch as problem:
        schema = problem.found
    findings: list[Finding] = []
    shas = [script(name).sha for name in names()]
    infos = [_text(cache, reply) for reply in cache._nodes.every(("INFO",))]
    loaded = cache._nodes.every(("SCRIPT", "EXISTS", *shas))
    latency = _latency(cache, len(infos))
    for info, found in zip(infos, loaded, strict=True):
        findings += diagnose(parse_info(info), latency, found, schema)
    return findings


def _text(cache: SessionCache, reply: object) -> str:
    if isinstance(reply, Exception):
        if "NOPERM" in str(reply) or "permission" in str(reply):
            raise AccessDenied(where=cache.where, detail=f"doctor needs INFO: {reply}")
        raise StoreError(where=cache.where, detail=str(reply))
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _latency(cache: SessionCache, nodes: int) -> float:
    times = []
    for _ in range(20):
        began = time.perf_counter()
        cache._nodes.every(("PING",))
        times.append((time.perf_counter() - began) / nodes)
    return statistics.median(times) * 1000
