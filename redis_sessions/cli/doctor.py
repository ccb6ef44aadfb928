"""`doctor`: check whether a server is fit for sessions, and say what to change."""

from __future__ import annotations

import json
import secrets
import statistics
import time
from typing import Annotated

import typer
from redis.exceptions import RedisError
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .._core.commands.server_health import parse_info
from .._core.protocol.ids import check_namespace
from .._core.protocol.keys import SCHEMA_VERSION, meta_key
from .._core.protocol.scripts import all_scripts
from .._core.protocol.transport_errors import TransportError
from .._sync.api.cache import SessionCache
from .._url import split_url
from ..errors import InvalidInput, SchemaMismatch, SessionNotFound, SessionsError, StoreUnavailable
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    app,
    count_of,
    escape_controls,
    log_audit,
    out,
    print_line,
    show_progress,
)
from .connect import WaitNotice, open_cache
from .doctor_acl import acl_rules, quote_word
from .doctor_checks import (
    Finding,
    check_info,
    check_reads,
    check_rights,
    check_waiting,
    check_writes,
    diagnose,
)
from .doctor_security import check_encryption, check_login, check_version, flags_of
from .doctor_user import ask_each, examine_user
from .reindex import reindex
from .repair import Repair, Repairer

_MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}
_PROBE_ID = "doctor"
"""The ID of a session that is looked up to learn the schema version. It need not exist."""
_PROBE_TTL = 60
"""The seconds after which a session of a check ends, if it could not be deleted."""
_PINGS = 20


@app.command()
def doctor(
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--reindex",
            help="Rebuild the indexes and queues instead. The fleet can go on working. Default: check the server.",
        ),
    ] = False,
    mend: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Move damaged data into the quarantine instead, where it stays for 30 days. The fleet can go on working."
            " Needs the right to SCAN. Default: check the server.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="With --repair: print what is damaged, move nothing, and exit 1 if anything is. Default: move it.",
        ),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 also if a check warns. Default: exit 1 only if a check fails.")
    ] = False,
    acl_user: Annotated[
        str | None,
        typer.Option(
            "--acl",
            help="Check the rights of this server user for the namespace instead: what is missing, and what is too much."
            " Needs the right to ACL.",
            show_default="check the server",
        ),
    ] = None,
    acl_line: Annotated[
        bool,
        typer.Option(
            "--acl-line",
            help="Print the ACL line of the namespace instead, for redis-cli. Connects to no server. Default: see --acl.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the server: version, known holes, login, TLS, memory, persistence, latency, scripts, schema, rights, writes.

    Exit 1 if a check fails.
    """
    forms = {"--reindex": rebuild, "--repair": mend, "--acl": acl_user is not None, "--acl-line": acl_line}
    given = [name for name, is_given in forms.items() if is_given]
    if len(given) > 1:
        raise InvalidInput(name="doctor", detail=f"takes one of {', '.join(forms)}, got {' and '.join(given)}")
    if dry_run and not mend:
        raise InvalidInput(name="--dry-run", detail="needs --repair, because the other forms have no trial")
    if strict and given not in ([], ["--acl"]):
        raise InvalidInput(name="--strict", detail=f"is for checks, and {given[0]} is none")
    if rebuild:
        _rebuild(url, namespace, as_json)
        return
    if mend:
        _repair(url, namespace, dry_run, as_json)
        return
    if acl_line:
        _print_acl_line(url, check_namespace(namespace), as_json)
        return
    with open_cache(url, namespace, decodes=False, contact=acl_user is not None, retry_for=3) as cache:
        findings = _examine(cache) if acl_user is None else examine_user(cache, acl_user)
    wrong = ("fail", "warn") if strict else ("fail",)
    failed = any(finding.level in wrong for finding in findings)
    _print_findings(findings, as_json)
    raise typer.Exit(1 if failed else 0)


def _print_acl_line(url: str, namespace: str, as_json: bool) -> None:
    rules = acl_rules(namespace, in_cluster=split_url(url).kind == "cluster")
    # A reset of the user `default` would lock out others.
    user = f"{namespace}-sessions" if namespace == "default" else namespace
    words = ["ACL", "SETUSER", user, "reset", "on", ">PASSWORD", *rules]
    print(json.dumps(words) if as_json else " ".join(map(quote_word, words)))


def _print_findings(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for finding in findings:
            fact, advice = (escape(escape_controls(text)) for text in (finding.fact, finding.advice))
            table.add_row(
                _MARKS[finding.level], Text(finding.subject), fact + (f"\n[dim]→ {advice}[/]" if advice else "")
            )
        out.print(table)


def _rebuild(url: str, namespace: str, as_json: bool) -> None:
    with open_cache(url, namespace, decodes=False) as cache, show_progress("sessions") as progress:
        cache.get(_PROBE_ID)  # raises SchemaMismatch in a namespace of another schema
        checked = reindex(cache, progress)
    print(json.dumps({"checked": checked}) if as_json else f"checked {count_of(checked, 'session')}")


def _repair(url: str, namespace: str, dry_run: bool, as_json: bool) -> None:
    found: list[Repair] = []
    with open_cache(url, namespace, decodes=False, audit=log_audit) as cache:
        cache.get(_PROBE_ID)  # raises SchemaMismatch in a namespace of another schema
        repairer = Repairer(cache, dry_run)
        with show_progress("sessions") as progress:
            for one in repairer.run(progress):
                found.append(one)
                if not as_json:
                    print_line(escape_controls(f"damaged: {one.kind} of {one.name}: {one.problem}"))
                if not as_json and one.is_repaired:
                    print_line(f"  moved to {escape_controls(one.key)}")
    if as_json:
        print(json.dumps({"checked": repairer.checked, "damaged": [one._asdict() for one in found]}))
    else:
        moved = sum(one.is_repaired for one in found)
        print(f"checked {count_of(repairer.checked, 'session')}: {len(found):,} damaged, {moved:,} moved")
        if moved:
            print(
                "look at a key with redis-cli (HGETALL KEY, or LRANGE KEY 0 -1 for messages). A key stays for 30 days"
            )
    raise typer.Exit(1 if dry_run and found else 0)


def _examine(cache: SessionCache) -> list[Finding]:
    """Return the findings about a server that answers at all. Raises the error of a read otherwise."""
    notice = WaitNotice(cache.where, cache._executor.retry_for)
    cache._executor.on_failure = notice.add
    with notice:
        schema, problem = _try_read(cache)
    try:
        infos = ask_each(cache, ("INFO",))
    except RedisError as refusal:  # such as a wrong password
        raise problem or refusal from None
    if all(isinstance(one, TransportError) for one in infos):
        raise problem or StoreUnavailable(where=cache.where, waited=0.0, detail=str(infos[0]))
    users = ask_each(cache, ("ACL", "GETUSER", "default"))
    loaded = ask_each(cache, ("SCRIPT", "EXISTS", *[one.sha for one in all_scripts()]))
    latency_ms = _latency_ms(cache, len(infos))
    findings = [check_login(cache.engine, flags_of(users[0])), check_encryption(cache.engine)]
    for info, found in zip(infos, loaded, strict=True):
        if isinstance(info, Exception):
            findings.append(check_info(info))
            continue
        known = None if isinstance(found, Exception) else found
        facts = parse_info(info.decode())
        findings += [*diagnose(facts, latency_ms, known, schema), check_version(facts)]
    written = _try_write(cache)
    rights = _check_rights(cache, may_write=not isinstance(written, Exception))
    return [*findings, check_reads(problem), check_writes(written), rights, _check_waiting(cache)]


def _try_read(cache: SessionCache) -> tuple[str, SessionsError | None]:
    """Return the schema version that the namespace holds, and the error of a read if there was another one."""
    try:
        cache.get(_PROBE_ID)
    except SchemaMismatch as problem:
        return problem.found, None
    except SessionsError as problem:
        return SCHEMA_VERSION, problem
    return SCHEMA_VERSION, None


def _try_write(cache: SessionCache) -> object:
    """Return the reply to a write that changes nothing, or its error."""
    key = meta_key(cache.namespace)
    try:
        return cache._context.router.send(key, ("SET", key, SCHEMA_VERSION, "NX"))[0]
    except (TransportError, RedisError) as problem:
        return problem


def _check_rights(cache: SessionCache, *, may_write: bool) -> Finding:
    """Run scripts: create a session, write to it, and delete it. Where nothing can be written, read one that does not exist."""
    try:
        if not may_write:
            cache.session(_PROBE_ID).history()
            return check_rights(None)
        session = cache.create(f"{_PROBE_ID}-{secrets.token_hex(8)}", ttl=_PROBE_TTL)
        try:
            session.append({"role": "user", "content": "a check by redis-sessions doctor"})
        finally:
            session.delete()
    except (SessionNotFound, SchemaMismatch):
        return check_rights(None)
    except SessionsError as problem:
        return check_rights(problem)
    return check_rights(None)


def _check_waiting(cache: SessionCache) -> Finding:
    try:
        cache._context.hub.try_subscribe()
    except SessionsError as problem:
        return check_waiting(str(problem))
    return check_waiting(None if cache._context.hub.is_subscribed else "SUBSCRIBE is refused")


def _latency_ms(cache: SessionCache, nodes: int) -> float:
    times = []
    for _ in range(_PINGS):
        began = time.perf_counter()
        ask_each(cache, ("PING",))
        times.append((time.perf_counter() - began) / nodes)
    return statistics.median(times) * 1000
