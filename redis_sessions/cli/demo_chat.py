"""`demo --chat`: show a chat service while its workers die, and the check of its answers."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from typing import NoReturn

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .app import escape_controls, out, print_notice
from .demos.chat import ChatReport, Conversation, serve_chat
from .replay import shared_server

_MARKS = {"queued": "[yellow]◌[/]", "running": "[green]●[/]", "delayed": "[blue]‖[/]", "failed": "[red]✘[/]"}
_MAX_SHOWN_PROBLEMS = 20


def run_chat(url: str, namespace: str, workers: int, as_json: bool) -> NoReturn:
    """Run the chat service, and exit: 1 if a question was not answered once, or no worker was killed."""
    screen = nullcontext() if as_json else Live(console=out, refresh_per_second=8)
    with shared_server(url) as url, screen as live:

        def show(conversations: list[Conversation], report: ChatReport) -> None:
            if live is not None:
                live.update(_render(conversations, report))

        report = serve_chat(url, namespace, workers, show)
    if as_json:
        print(json.dumps({**asdict(report), "complete": report.is_complete}))
    else:
        if not out.is_terminal:
            out.print()
        _print_report(report, workers)
    raise typer.Exit(0 if report.is_complete and report.killed else 1)


def _render(conversations: list[Conversation], report: ChatReport) -> Group:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("session", "asked", "answered", "turn", "worker", "last message"):
        justify = "right" if head in ("asked", "answered") else "left"
        table.add_column(head, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for one in conversations:
        info = one.info
        turn = f"{_MARKS.get(info.work or '', ' ')} {info.work or ''}"
        worker = info.lease.owner.rpartition(":")[2] if info.work == "running" and info.lease is not None else ""
        table.add_row(
            info.id, f"{one.asked}", f"{one.answered}", Text.from_markup(turn), worker, escape_controls(one.newest)
        )
    asked, answered = (sum(getattr(one, name) for one in conversations) for name in ("asked", "answered"))
    total = f"[bold]{answered}[/] of {report.questions} answered, {asked} asked"
    return Group(table, Text.from_markup(f"{total} · workers: {_ways(report)}"))


def _ways(report: ChatReport) -> str:
    return f"{report.killed} killed, {report.stopped} stopped past their leases, {report.ended} ended"


def _print_report(report: ChatReport, workers: int) -> None:
    colour = "green" if report.is_complete else "red"
    out.print(
        f"{report.questions} questions in {report.sessions} sessions, answered by {workers} processes in"
        f" {report.seconds:.1f} s. Workers: {_ways(report)}."
    )
    out.print(f"[bold {colour}]{report.answered_once} answered once[/], in the order of the questions.")
    out.print(
        f"Wait for an answer: p50 {report.wait_p50:.2f} s, p99 {report.wait_p99:.2f} s, longest {report.longest_wait:.2f} s."
    )
    for problem in report.problems[:_MAX_SHOWN_PROBLEMS]:
        print_notice(f"wrong: {escape_controls(problem)}")
