"""The rows of the fleet: what is wrong, agents, sessions, failures and spend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from rich.cells import cell_len
from rich.text import Text

from ...models.fleet import AgentLoad, Fleet, FleetProblem, FleetSession
from ..app import escape_controls
from ..session_ids import short_ids
from ..statuses import STYLES
from ..table import Cell, Column, fitted_widths, table_line
from .figures import amount, brief, contains, has_lost_holder, matching, since, sorted_sessions, state_of, until, who
from .state import Row, View

T = TypeVar("T")
_Facts = tuple[str, View | None, FleetSession | None, Callable[[], tuple[str, ...]]]
"""The facts of a row: its key, the view that it opens, the session, and the lines about it."""
_SHORT_ID_ROOM = 20
_WIDE = 100
"""The width from which on there is a column for the time that work waits."""
_MAX_LINES = 3
"""Lines that a problem may take, where there is room."""
_SAMPLE = 200
"""Rows that are looked at for the widths of columns."""
MAX_LISTED = 1000
"""Sessions that a screen lists. To make rows of all sessions of a large fleet would take most of the time of a refresh."""
_KINDS = {
    "server": "server", "dead_holder": "dead holder", "silent_holder": "silent holder", "poison_run": "poison run",
    "no_worker": "no worker", "inbox_full": "inbox full", "budget_spent": "budget spent", "paused_parent": "paused parent",
    "long_wait": "long wait", "run_failed": "run failed", "dead_worker": "dead worker",
}  # fmt: skip
_URGENT = ("server", "dead_holder", "silent_holder", "poison_run", "no_worker", "inbox_full", "budget_spent")
_STATE_STYLES = STYLES | {"queued": "cyan", "delayed": "blue", "running": "green", "parked": "blue"}
_AGENT_COLUMNS = (
    Column("agent", least=10),
    *(Column(name, is_right=True) for name in ("queued", "oldest", "running", "parked", "retried", "failed", "idle")),
)
_SESSION_COLUMNS = (
    Column("session"),
    Column("state"),
    Column("agent", least=10),
    Column("wait", is_right=True),
    Column("holder", least=8),
    *(Column(name, is_right=True) for name in ("held", "inbox", "try", "due", "spent")),
)
_SPEND_COLUMNS = (
    Column("root"),
    Column("agent", least=10),
    *(Column(name, is_right=True) for name in ("tokens", "of", "cost", "of")),
)


def fleet_rows(
    fleet: Fleet, width: int | None, order: str, filter: str, problem_lines: int, selected: str = ""
) -> list[Row]:
    """Return the rows of the fleet.

    Args:
        fleet: the fleet.
        width: columns of the screen. None for whole IDs and texts.
        order: the order of the sessions, one of `state.SORTS`.
        filter: only sessions that contain this text.
        problem_lines: lines for the problems. Each has one, and the first ones have more if there is room.
        selected: the key of the row that must be among the rows, however many sessions there are.
    """
    sessions = sorted_sessions(fleet, order, filter)
    found = f"{len(sessions):,} of {len(fleet.sessions):,} that contain {escape_controls(filter)!r}" if filter else ""
    head = f"SESSIONS {found or f'{len(sessions):,}'}, by {order}"
    if width is not None and len(sessions) > MAX_LISTED:
        rest = [one for one in sessions[MAX_LISTED:] if f"session {one.id}" == selected]
        sessions, head = [*sessions[:MAX_LISTED], *rest], f"{head}, the first {MAX_LISTED:,} (/ finds others)"
    known = {one.id for one in (*sessions, *fleet.failed, *fleet.spenders)}
    known |= {one.session_id for one in fleet.problems if one.session_id is not None}
    ids = short_ids(known, 10_000 if width is None else _SHORT_ID_ROOM, [one.id for one in fleet.sessions])
    named = {one.session_id for one in fleet.problems}
    about = {one.id: one for one in fleet.sessions if one.id in named}
    words = filter.lower().split()
    problems = [
        one for one in fleet.problems
        if not words or contains(words, one.session_id, one.agent_id, one.worker, one.text, _KINDS[one.kind])
    ]  # fmt: skip
    rows = list(_problem_rows(fleet, problems, width, ids, about, problem_lines - len(problems)))
    rows += _agent_rows(fleet, width) if not filter else []
    rows += _session_rows(fleet, sessions, head, width, ids)
    failed = matching(fleet.failed, filter)
    if failed:
        rows += _session_rows(fleet, failed, f"FAILED IN THE LAST HOUR {len(failed)}", width, ids)
    if fleet.spenders and not filter:
        rows += _spend_rows(fleet, width, ids)
    return rows


def _heading(text: str) -> Row:
    return Row(lambda: Text(text, "bold reverse", no_wrap=True), is_heading=True)


def _problem_rows(
    fleet: Fleet, problems: Sequence[FleetProblem], width: int | None, ids: Mapping[str, str],
    sessions: Mapping[str, FleetSession], spare: int,
) -> Iterator[Row]:  # fmt: skip
    if problems:
        yield _heading(f"PROBLEMS {len(problems)}{' or more' if fleet.cut_kinds else ''}")
    else:
        yield _heading("PROBLEMS none found" if fleet.is_complete else "PROBLEMS none found yet")
        if not (fleet.active or fleet.ended or fleet.workers or fleet.agents):
            text = f"Nothing is stored in namespace {escape_controls(fleet.namespace)}: check --namespace and --url"
            yield Row(lambda: Text(text, "yellow"))
        return
    cells = [_problem_cells(one, fleet, ids) for one in problems]
    columns = (Column("kind"), Column("subject", least=9), Column("since", is_right=True))
    widths = fitted_widths(columns, cells, None if width is None else 13 + 2 + _SHORT_ID_ROOM + 2 + 5)
    for one, row in zip(problems, cells, strict=True):
        lines = [escape_controls(one.text)]
        if width is not None:
            lines = _wrapped(lines[0], width - sum(widths) - 6, min(max(spare, 0) + 1, _MAX_LINES))
            spare -= len(lines) - 1
        style = "red" if one.kind in _URGENT else "yellow"
        opens, session = _opens(one), sessions.get(one.session_id or "")
        yield Row(
            partial(_draw_problem, columns, widths, [(row[0], style), *row[1:]], lines[0]),
            key=f"problem {one.kind} {one.session_id} {one.agent_id} {one.worker}",
            opens=opens,
            session_id=one.session_id,
            status=None if session is None else session.status,
            fence=None if session is None else session.fence,
            about=partial(_about_problem, one),
        )
        for more in lines[1:]:
            yield Row(partial(_indented, more, sum(widths) + 6))


def _about_problem(one: FleetProblem) -> tuple[str, ...]:
    return one.session_id or one.worker or one.agent_id or "", one.text, one.advice


def _problem_cells(one: FleetProblem, fleet: Fleet, ids: Mapping[str, str]) -> list[str]:
    subject = ids[one.session_id] if one.session_id is not None else one.agent_id or one.worker or ""
    return [_KINDS[one.kind], escape_controls(subject), since(one.since, fleet.read_at)]


def _opens(one: FleetProblem) -> View | None:
    if one.session_id is not None:
        return View("session", one.session_id)
    return View("workers") if one.worker is not None or one.kind == "no_worker" else None


def _draw_problem(columns: Sequence[Column], widths: Sequence[int], row: Sequence[Cell], text: str) -> Text:
    return table_line(columns, widths, row).append(f"  {text}")


def _indented(text: str, width: int) -> Text:
    return Text(" " * width + text, no_wrap=True)


def _wrapped(text: str, room: int, most: int) -> list[str]:
    """Return a text in at most `most` lines. The last one is cut by the screen."""
    lines: list[str] = []
    for word in text.split():
        if lines and (len(lines[-1]) + 1 + len(word) <= room or len(lines) == most):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def _agent_rows(fleet: Fleet, width: int | None) -> list[Row]:
    if not fleet.agents:
        return []
    cells = [_agent_cells(one) for one in fleet.agents]
    return _table(
        _AGENT_COLUMNS, cells, f"AGENTS {len(cells)}", width,
        [("agent " + one.agent_id, View("workers"), None, partial(_about_agent, one)) for one in fleet.agents],
    )  # fmt: skip


def _agent_cells(one: AgentLoad) -> list[Cell]:
    wait = "" if one.oldest_wait is None else brief(one.oldest_wait.total_seconds())
    is_stuck = one.queued > 0 and one.workers == 0 and one.running == 0
    numbers = (one.running, one.parked, one.retried)
    failed: Cell = (str(one.failed), "red") if one.failed else "0"
    idle: Cell = ("no worker", "red") if is_stuck else str(one.idle)
    return [
        escape_controls(one.agent_id),
        f"{one.queued:,}",
        wait,
        *(f"{number:,}" for number in numbers),
        failed,
        idle,
    ]


def _about_agent(one: AgentLoad) -> tuple[str, ...]:
    bound = "" if one.max_running is None else f", at most {one.max_running:,} run at once"
    return (
        one.agent_id,
        f"{one.workers:,} workers, {one.dead_workers:,} died in the last hour, {one.delayed:,} delayed{bound}",
    )


def _session_rows(
    fleet: Fleet, sessions: Sequence[FleetSession], head: str, width: int | None, ids: Mapping[str, str]
) -> list[Row]:
    has_wait = width is None or width >= _WIDE
    cells = _Lazy(sessions, partial(_session_cells, fleet, ids, has_wait))
    facts = _Lazy(sessions, _session_facts)
    columns = _SESSION_COLUMNS if has_wait else [one for one in _SESSION_COLUMNS if one.head != "wait"]
    labels = _Lazy(sessions, lambda one: (who(one, is_narrow=not has_wait), one.label or ""))
    return _table(columns, cells, head, width, facts, labels)


def _session_cells(fleet: Fleet, ids: Mapping[str, str], has_wait: bool, one: FleetSession) -> list[Cell]:
    now, state = fleet.read_at, state_of(one)
    is_lost = has_lost_holder(one)
    held = since(one.held_since, now)
    inbox = f"{one.inbox_size}/{one.max_inbox}" if one.max_inbox and one.inbox_size else str(one.inbox_size or "")
    is_full = one.max_inbox is not None and one.inbox_size >= one.max_inbox > 0
    tries = f"{one.attempt}/{one.max_attempts}" if one.attempt and one.max_attempts else str(one.attempt or "")
    return [
        ids[one.id],
        (state, _STATE_STYLES.get(state, "")),
        who(one, is_narrow=not has_wait),
        *([since(one.waiting_since, now)] if has_wait else []),
        (escape_controls(one.holder or ""), "red" if is_lost else ""),
        (f"{held}!" if is_lost and held else held, "red" if is_lost else ""),
        (inbox, "red" if is_full else ""),
        (tries, "yellow" if one.attempt > 1 else ""),
        until(one.run_deadline, now),
        _spent(one),
    ]


def _spent(one: FleetSession) -> Cell:
    """Return what a session spent: tokens, and the part of its budget in per cent."""
    parts = [
        spent / budget
        for spent, budget in ((one.spent_tokens, one.token_budget), (one.spent_cost, one.cost_budget))
        if budget
    ]
    if parts:
        return f"{max(parts):.0%}", "red" if max(parts) >= 1 else ""
    return amount(one.spent_tokens) if one.spent_tokens else ""


def _session_facts(one: FleetSession) -> _Facts:
    return f"session {one.id}", View("session", one.id), one, partial(_about_session, one)


def _about_session(one: FleetSession) -> tuple[str, ...]:
    names = {"label": one.label, "agent": one.agent_id, "user": one.user_id, "name": one.name, "task": one.task}
    about = " · ".join(f"{name} {value}" for name, value in names.items() if value)
    return one.id, about


def _spend_rows(fleet: Fleet, width: int | None, ids: Mapping[str, str]) -> list[Row]:
    cells: list[list[Cell]] = [
        [
            ids[one.id],
            who(one),
            f"{one.spent_tokens:,}",
            "" if one.token_budget is None else f"{one.token_budget:,}",
            f"{one.spent_cost:,.2f}" if one.spent_cost else "",
            "" if one.cost_budget is None else f"{one.cost_budget:,.2f}",
        ]
        for one in fleet.spenders
    ]
    facts: list[_Facts] = [
        (f"spend {one.id}", View("tree", one.id), one, partial(_about_session, one)) for one in fleet.spenders
    ]
    return _table(_SPEND_COLUMNS, cells, f"SPEND BY ROOT {len(cells)}", width, facts)


def _table(
    columns: Sequence[Column], cells: Sequence[list[Cell]], head: str, width: int | None,
    facts: Sequence[_Facts], labels: Sequence[tuple[str, str]] = (),
) -> list[Row]:  # fmt: skip
    """Return a heading and the rows of a section. Its columns are as wide as the first rows need them.

    Args:
        columns: the columns.
        cells: the cells of each row.
        head: the heading of the section.
        width: columns of the screen, None for any number.
        facts: the facts of each row.
        labels: the cell in the column `agent` of each row, and the label in it. A label that is cut follows on its own line.
    """
    sample = [cells[at] for at in range(min(len(cells), _SAMPLE if width is not None else len(cells)))]
    widths = fitted_widths(columns, sample, width)
    rows = [_heading(head)]
    if cells:
        rows.append(
            Row(partial(table_line, columns, widths, [column.head for column in columns], "bold"), is_heading=True)
        )
    for at in range(len(cells)):
        key, opens, session, about = facts[at]
        id, status, fence = (None, None, None) if session is None else (session.id, session.status, session.fence)
        rows.append(Row(partial(_draw, columns, widths, cells, at), key, opens, id, status, about, fence=fence))
        if width is not None and labels and labels[at][1]:
            rows += _label_rows(*labels[at], widths[[one.head for one in columns].index("agent")], width)
    return rows


def _label_rows(cell: str, label: str, room: int, width: int) -> Iterator[Row]:
    """Yield the lines of a label that its cell cuts."""
    if cell_len(cell) <= room:
        return
    text = f"label {escape_controls(label)}"
    for first in range(0, len(text), width - 2):
        yield Row(partial(_indented, text[first : first + width - 2], 2))


def _draw(columns: Sequence[Column], widths: Sequence[int], cells: Sequence[list[Cell]], at: int) -> Text:
    return table_line(columns, widths, cells[at])


class _Lazy(Sequence[T]):
    """A sequence whose members are made when they are needed, because few of many sessions are on the screen."""

    def __init__(self, sources: Sequence[FleetSession], make: Callable[[FleetSession], T]) -> None:
        self._sources, self._make = sources, make

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, at: int) -> T:  # type: ignore[override]
        return self._make(self._sources[at])
