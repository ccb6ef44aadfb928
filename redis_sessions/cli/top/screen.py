"""Put a screen together: the state of the fleet, the rows of the view, and the key line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.text import Text

from ...models.fleet import Fleet, ServerHealth
from ..app import count_of, escape_controls
from ..plain import CUT
from ..table import fit
from .actions import question_of
from .detail_rows import help_rows, one_worker_rows, session_rows, tree_rows, worker_rows
from .figures import amount, brief
from .fleet_rows import fleet_rows
from .reader import SessionDetail, Sight, TreeDetail
from .state import Row, State

FOOT = 4
"""Lines below the body: three about the selected row, and the keys."""
_SLOW_SECONDS = 1.5
"""The time after which a read that is under way is reported."""
_KEYS = "Enter open  t tree  w workers  s sort  / filter  Tab section  ? help  q quit"
_ACTION_KEYS = "Enter t w s / Tab  c cancel r retry p pause x release d delete  ? help  q quit"
_BACK_KEYS = "up/down move  Enter open  t tree  w workers  ? help  Esc back"
_OTHER_LINES = 7
"""Lines that a printed screen keeps for agents and sessions, below the problems."""
_LEAST_LINES = 2


def rows_of(sight: Sight, state: State, width: int, height: int) -> list[Row]:
    """Return the rows of the view on the screen."""
    view, fleet, detail = state.view, sight.fleet, sight.detail if sight.view == state.view else None
    if view.kind == "help":
        return help_rows(width)
    if isinstance(detail, str):
        return [_plain_row(detail)]
    if view.kind == "session" and isinstance(detail, SessionDetail):
        return session_rows(detail, fleet, width)
    if view.kind == "tree" and isinstance(detail, TreeDetail):
        return tree_rows(detail, view, width)
    if fleet is None or view.kind in ("session", "tree"):
        return [] if sight.problem else [_plain_row(f"reading {CUT}")]
    if view.kind == "workers":
        return worker_rows(fleet, width)
    if view.kind == "worker":
        return one_worker_rows(fleet, view.id, width)
    return fleet_rows(fleet, width, state.sort, state.filter, height // 2, state.place.key)


def screen_lines(
    sight: Sight, state: State, rows: Sequence[Row], title: str, width: int, height: int, reading_since: float | None
) -> list[Text]:
    """Return the lines of a screen, exactly `height` of them."""
    selected = state.selected(rows)
    head = [*_head(sight.fleet, title, width), *_trouble(sight, reading_since)]
    room = max(height - len(head) - FOOT, 1)
    body = list(_body(rows, state, selected, room, width))
    lines = [*head, *body, *[Text("")] * (room - len(body)), *_foot(state, selected, width)]
    return [_cut(line, width) for line in lines[:height]]


def page_of(height: int) -> int:
    """Return the lines that a page key moves by."""
    return max(height - FOOT - 6, 1)


def printed_lines(fleet: Fleet, title: str, width: int | None, height: int | None) -> list[Text]:
    """Return a fleet as `--once` prints it: one screen of a size, or everything with whole IDs."""
    head = _head(fleet, title, width)
    if width is None or height is None:
        return [*head, *(row.draw() for row in fleet_rows(fleet, None, "updated", "", 0))]
    left, lines = max(height - len(head), 1), []
    shares = (left - _OTHER_LINES, _OTHER_LINES // 2)
    for at, section in enumerate(_sections(fleet_rows(fleet, width, "updated", "", shares[0] - 2))):
        share = max(shares[at], left // 4) if at < len(shares) else left
        if left < _LEAST_LINES:
            break
        shown = _first_of(section, max(min(share, left), _LEAST_LINES))
        left -= len(shown)
        lines += shown
    for line in lines:
        line.rstrip()
    return [_cut(line, width) for line in [*head, *lines]]


def _sections(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows of each section, its headings first."""
    sections: list[list[Row]] = []
    for is_heading, group in groupby(rows, key=lambda row: row.is_heading):
        if is_heading:
            sections.append(list(group))
        else:
            sections[-1].extend(group)
    return sections


def _first_of(section: Sequence[Row], most: int) -> list[Text]:
    """Return the first lines of a section. Its heading says how many rows are shown. Rows of several lines stay whole."""
    if len(section) <= most:
        return [row.draw() for row in section]
    end = most
    while end > 1 and not section[end].key:
        end -= 1
    lines = [row.draw() for row in section[:end]]
    lines[0].append(f", the first {sum(bool(row.key) for row in section[:end])}")
    return lines


def _head(fleet: Fleet | None, title: str, width: int | None) -> list[Text]:
    if fleet is None:
        return [Text(escape_controls(title), "bold")]
    clock = f"{fleet.read_at:%H:%M:%S} UTC"
    shown = escape_controls(title)
    if width is not None:
        shown = fit(shown, max(width - len(clock) - 1, 1))
        shown += " " * max(width - len(clock) - cell_len(shown), 1)
    else:
        shown += " · "
    return [Text.assemble((shown, "bold"), (clock, "dim")), Text(_totals(fleet)), Text(_servers(fleet.servers))]


def _totals(fleet: Fleet) -> str:
    queued, running = sum(one.queued for one in fleet.agents), sum(one.running for one in fleet.agents)
    dead = sum(not one.is_alive for one in fleet.workers)
    workers = f"workers {len(fleet.workers) - dead}{f', {dead} dead' if dead else ''}"
    parts = [f"{fleet.active:,} active, {fleet.ended:,} ended", f"queued {queued:,}", f"running {running:,}", workers]
    if not fleet.is_complete:
        parts.append(f"{len(fleet.sessions):,} read so far")
    if fleet.messages_per_second is not None:
        parts.append(f"{fleet.messages_per_second:,.1f} messages/s")
    return " · ".join(parts)


def _servers(servers: Sequence[ServerHealth]) -> str:
    if len(servers) != 1:
        up = sum(one.is_up for one in servers)
        return f"servers {len(servers)}, {up} up" if servers else "servers unknown"
    (one,) = servers
    memory = "" if one.used_memory is None else f"{amount(one.used_memory)}B"
    if memory and one.max_memory:
        memory += f" of {amount(one.max_memory)}B"
    parts = [
        one.version or "server",
        one.role if one.role not in (None, "master") else "",
        memory,
        "" if one.clients is None else count_of(one.clients, "client"),
        "" if one.commands_per_second is None else f"{one.commands_per_second:,.0f} commands/s",
        "" if one.latency is None else f"{one.latency.total_seconds() * 1000:.1f} ms",
        one.problem or "",
    ]
    return " · ".join(escape_controls(part) for part in parts if part)


def _trouble(sight: Sight, reading_since: float | None) -> list[Text]:
    """Return the line about a server that does not answer."""
    now = time.time()
    if sight.problem:
        began = now if sight.failing_since is None else sight.failing_since
        at = time.strftime("%H:%M:%S", time.gmtime(began))
        return [Text(escape_controls(f"{sight.problem}, since {at} UTC ({brief(now - began)})"), "bold red")]
    if reading_since is not None and now - reading_since > _SLOW_SECONDS:
        return [Text(f"waiting for an answer for {brief(now - reading_since)}", "yellow")]
    return []


def _body(rows: Sequence[Row], state: State, selected: Row | None, room: int, width: int) -> Iterator[Text]:
    place = state.place
    first = _first_row(rows, place.first, place.at if selected is not None else 0, room)
    place.first = first
    fixed = _headings_above(rows, first)
    for row in fixed:
        yield row.draw()
    for row in rows[first : first + room - len(fixed)]:
        line = row.draw()
        if row is selected:
            line = line.copy()
            line.truncate(width, overflow="ellipsis", pad=True)
            line.stylize("reverse")
        yield line


def _first_row(rows: Sequence[Row], before: int, at: int, room: int) -> int:
    """Return the first row on the screen, so that the selected one is on it."""
    if not any(row.key for row in rows[:at]):
        return 0
    usable = max(room - 2, 1)  # headings may stay above
    first = min(before, max(len(rows) - 1, 0), at)
    if at >= first + usable:
        first = at - usable + 1
    return max(min(first, len(rows) - usable), 0)


def _headings_above(rows: Sequence[Row], first: int) -> list[Row]:
    """Return the headings of the section that the first row on the screen belongs to."""
    if first == 0 or first >= len(rows) or rows[first].is_heading:
        return []
    at = first
    while at > 0 and not rows[at].is_heading:
        at -= 1
    begin = at
    while begin > 0 and rows[begin - 1].is_heading:
        begin -= 1
    return list(rows[begin : at + 1])[-2:]


def _foot(state: State, selected: Row | None, width: int) -> list[Text]:
    if state.question is not None:
        return [
            Text(fit(escape_controls(state.question.session_id), width, keeps_end=True), "bold"),
            Text(question_of(state.question), "bold red"),
            Text(""),
            Text("y do it    any other key: do nothing", "reverse"),
        ]
    about = [escape_controls(one) for one in selected.about()] if selected is not None else []
    about = [*about, "", "", ""][: FOOT - 1]
    lines = [Text(fit(about[0], width, keeps_end=True), "bold"), *(Text(one, "dim") for one in about[1:])]
    if state.message:
        lines[-1] = Text(escape_controls(state.message), "bold yellow")
    if state.is_typing:
        return [*lines, Text(f"/{escape_controls(state.filter)}_    Enter keep  Esc clear", "bold")]
    keys = _BACK_KEYS if state.view.kind != "fleet" else _ACTION_KEYS if state.allows_actions else _KEYS
    if state.view.kind != "fleet" and state.allows_actions:
        keys = "Enter t w  c cancel r retry p pause x release d delete  ? help  Esc back"
    return [*lines, Text(keys, "reverse")]


def _plain_row(text: str) -> Row:
    return Row(lambda: Text(escape_controls(text)))


def _cut(line: Text, width: int) -> Text:
    line.no_wrap, line.overflow = True, "ellipsis"
    if line.cell_len > width:
        line = line.copy()
        line.truncate(width, overflow="ellipsis")
    return line
