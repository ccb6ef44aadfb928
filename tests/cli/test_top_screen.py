"""The screen of `top` without a server: what it shows, and what each key does."""

from __future__ import annotations

import pytest

from redis_sessions import AuditRecord, SessionCache
from redis_sessions.cli.top.actions import perform
from redis_sessions.cli.top.detail_rows import session_rows
from redis_sessions.cli.top.keys import split_keys
from redis_sessions.cli.top.reader import SessionDetail, Sight
from redis_sessions.cli.top.screen import page_of, printed_lines, rows_of, screen_lines
from redis_sessions.cli.top.state import SORTS, Action, Row, State, View
from redis_sessions.models.fleet import Fleet
from tests.cli.fleets import OWNER, fleet, session_id
from tests.cli.screens import check_golden

TITLE = "redis://127.0.0.1:6379/0 · namespace acme"
WIDTH, HEIGHT = 80, 24


class Screen:
    """A screen of 80 by 24, with keys."""

    def __init__(self, shown: Fleet | None = None, *, allows_actions: bool = False) -> None:
        self.state = State(allows_actions)
        self.sight = Sight(fleet() if shown is None else shown)
        self.height = HEIGHT

    def press(self, *keys: str) -> Action | None:
        """Press keys. Return the action of the last one."""
        action = None
        for key in keys:
            self.lines()
            action = self.state.press(key, self.rows(), page_of(self.height))
        return action

    def rows(self) -> list[Row]:
        """Return the rows of the view."""
        return rows_of(self.sight, self.state, WIDTH, self.height)

    def lines(self) -> list[str]:
        """Return what is on the screen."""
        lines = [
            line.plain for line in screen_lines(self.sight, self.state, self.rows(), TITLE, WIDTH, self.height, None)
        ]
        assert len(lines) == self.height
        assert max(map(len, lines)) <= WIDTH, lines
        return lines

    def selected(self) -> str:
        """Return the key of the selected row."""
        row = self.state.selected(self.rows())
        assert row is not None
        return row.key


def golden(lines: list[str]) -> str:
    """Return a screen as its file has it."""
    return "\n".join(line.rstrip() for line in lines) + "\n"


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("fleet", ()),
        ("fleet-end", ("end",)),
        ("fleet-filter", ("/", *"lisbon")),
        ("workers", ("w",)),
        ("worker", ("w", "down", "enter")),
        ("help", ("?",)),
        ("question", ("down", "x")),
    ],
)
def test_views_are_as_they_were(name: str, keys: tuple[str, ...]) -> None:
    """Each view of a fleet with problems is the one in its file."""
    screen = Screen(allows_actions=name == "question")
    screen.press(*keys)
    wrong = check_golden(f"top-{name}", golden(screen.lines()))
    assert wrong is None, wrong


@pytest.mark.parametrize(("width", "height"), [(80, 23), (120, 39), (None, None)])
def test_printed_fleet_is_as_it_was(width: int | None, height: int | None) -> None:
    """One screen holds all problems, and a pipe gets everything with whole IDs."""
    lines = [line.plain for line in printed_lines(fleet(8 if width is None else 40), TITLE, width, height)]
    if width is not None and height is not None:
        assert len(lines) <= height
        assert max(map(len, lines)) <= width
    else:
        assert all(session_id(number) in "\n".join(lines) for number in range(1, 9))
        assert OWNER in "\n".join(lines)
    wrong = check_golden(f"top-once-{width or 'pipe'}", golden(lines))
    assert wrong is None, wrong


def test_every_cause_is_on_the_printed_screen() -> None:
    """On 80 by 24, each of five problems has its kind and the unique end of its session."""
    text = "\n".join(line.plain for line in printed_lines(fleet(500), TITLE, 80, 23))
    for number, kind in enumerate(("dead holder", "silent holder", "inbox full", "budget spent", "paused parent"), 1):
        assert any(line.startswith(kind) and f"…{number:08}" in line for line in text.split("\n")), text


LONG_LABEL = "rebooking-of-group-" + "lisbon-" * 15


@pytest.mark.parametrize("label", ["bags-of-lisbon-and-porto", LONG_LABEL])
def test_no_label_is_lost_on_a_narrow_screen(label: str) -> None:
    """A label that its column cuts stands whole below its session, on the screen and as printed."""
    shown = fleet(8)
    sessions = [one.model_copy(update={"label": label}) if at == 2 else one for at, one in enumerate(shown.sessions)]
    screen = Screen(shown.model_copy(update={"sessions": sessions, "problems": []}))
    screen.height = 40
    assert screen.sight.fleet is not None
    printed = [line.plain for line in printed_lines(screen.sight.fleet, TITLE, 80, 39)]
    for lines in (screen.lines(), printed):
        at = next(at for at, line in enumerate(lines) if line.startswith("…00000003"))
        below = [line.strip() for line in lines[at + 1 : at + 4]]
        assert "".join(below).startswith(f"label {label}"), lines
    screen.press("tab", "down", "down")
    assert screen.selected() == f"session {session_id(3)}"


def test_empty_namespace_is_said() -> None:
    """The screen and the printed page of an empty namespace say that nothing is stored, and name the namespace."""
    shown = Fleet(namespace="acme", read_at=fleet().read_at, active=0, ended=0, is_complete=True)
    text = "Nothing is stored in namespace acme: check --namespace and --url"
    assert text in Screen(shown).lines()
    assert text in [line.plain for line in printed_lines(shown, TITLE, 80, 23)]
    assert not any(text in line for line in Screen(fleet(1)).lines())


def test_large_fleet_lists_its_first_sessions_and_the_selected_one() -> None:
    """Of 3,000 sessions 1,000 have rows. The selected one stays among them, and the filter finds the others."""
    screen = Screen(fleet(3000))
    screen.press("tab", "tab", "down")
    chosen = screen.selected()
    assert chosen == f"session {session_id(2)}"
    whole = fleet(3000)
    screen.sight = Sight(fleet(sessions=[*whole.sessions[2:], *whole.sessions[:2]]))
    assert screen.selected() == chosen
    keys = [row.key for row in screen.rows() if row.key.startswith("session ")]
    assert keys[:1001] == [f"session {session_id(at)}" for at in range(3, 1003)] + [chosen]
    assert any("SESSIONS 3,000, by updated, the first 1,000" in line for line in screen.lines())
    screen.press("/", *f"{2999:012}")
    assert any(row.key == f"session {session_id(2999)}" for row in screen.rows())


def test_keys_move_and_scroll() -> None:
    """The selection stays on the screen, and the heading of its section above it."""
    screen = Screen(fleet(100))
    assert screen.selected() == f"problem dead_holder {session_id(1)} None None"
    screen.press("down", "j")
    assert "inbox_full" in screen.selected()
    screen.press("up", "k", "k", "k")
    assert "dead_holder" in screen.selected()
    screen.press("tab")
    assert screen.selected() == "agent researcher"
    screen.press("tab")
    assert screen.selected() == f"session {session_id(1)}"
    screen.press("page down", "page down")
    assert any(line.startswith("SESSIONS 100") for line in screen.lines())
    assert any(line.startswith("session ") for line in screen.lines())
    assert session_id(1) not in screen.lines()[-4]
    screen.press("end")
    assert screen.selected() == f"spend {session_id(4)}"
    screen.press("home")
    assert "dead_holder" in screen.selected()
    screen.press("back tab")
    assert screen.selected() == f"spend {session_id(4)}"


def test_selection_stays_on_its_session_when_rows_come() -> None:
    """A new sight moves the row, and not the selection."""
    screen = Screen()
    screen.press("tab", "tab", "down", "down")
    chosen = screen.selected()
    whole = fleet()
    screen.sight = Sight(fleet(problems=whole.problems[:1], sessions=[*whole.sessions[5:], *whole.sessions[:5]]))
    assert screen.selected() == chosen
    gone = [one for one in whole.sessions if f"session {one.id}" != chosen]
    screen.sight = Sight(fleet(sessions=gone))
    assert screen.selected().startswith(("session ", "spend "))


def test_enter_opens_and_escape_goes_back() -> None:
    """Views stack up, a view is never twice on the stack, and q ends the program in the fleet view only."""
    screen = Screen()
    screen.press("enter")
    assert screen.state.view == View("session", session_id(1))
    screen.press("t")
    assert screen.state.view == View("tree", session_id(1))
    screen.press("w", "?", "escape", "enter")
    assert screen.state.view == View("worker", "0123456789ab")
    screen.press("tab", "end", "enter")
    assert screen.state.view == View("session", session_id(2))
    screen.press("w")
    assert [view.kind for view in screen.state.views] == ["fleet", "session", "tree", "workers"]
    screen.press("q", "q", "q")
    assert (screen.state.view, screen.state.is_over) == (View("fleet"), False)
    screen.press("q")
    assert screen.state.is_over


def test_sort_and_filter_choose_the_sessions() -> None:
    """`s` takes the next order, and a filter keeps the sessions that contain all its words."""
    screen = Screen()
    order = []
    for _ in SORTS:
        screen.press("s")
        order.append((screen.state.sort, screen.selected()))
    first = {sort: key.removeprefix("session ") for sort, key in order}
    assert first["wait"] == first["deadline"] == session_id(6)
    assert first["held"] == session_id(2)
    assert first["inbox"] == session_id(3)
    assert first["attempt"] == session_id(2)
    assert first["spend"] == session_id(4)
    screen.press("/", *"lisbon researcher", "backspace")
    assert "/lisbon researche_" in screen.lines()[-1]
    assert any("SESSIONS 1 of 40 that contain 'lisbon researche'" in line for line in screen.lines())
    screen.press("enter")
    assert screen.selected() == f"session {session_id(3)}"
    screen.press("escape")
    assert screen.state.filter == ""


@pytest.mark.parametrize(
    ("key", "kind"), [("c", "cancel"), ("r", "retry"), ("p", "pause"), ("x", "release"), ("d", "delete")]
)
def test_actions_need_the_option_and_a_yes(key: str, kind: str) -> None:
    """Without --allow-actions a key does nothing. With it, a question names the whole ID, and only y agrees."""
    screen = Screen()
    assert screen.press(key) is None
    assert any("actions need the option --allow-actions" in line for line in screen.lines())
    screen = Screen(allows_actions=True)
    assert screen.press(key) is None
    assert session_id(1) in screen.lines()[-4]
    assert screen.lines()[-1].startswith("y do it")
    assert screen.press("n") is None
    assert any("nothing was done" in line for line in screen.lines())
    assert screen.press(key, "y") == Action(kind, session_id(1))  # type: ignore[arg-type]


def test_p_resumes_a_paused_session() -> None:
    """The question is about what the status of the session allows."""
    screen = Screen(allows_actions=True)
    screen.press("down", "down", "down", "down", "p")
    assert screen.state.question == Action("resume", session_id(5))


def test_lost_server_is_named_above_the_last_sight() -> None:
    """The line says why and since when, and the fleet stays on the screen."""
    screen = Screen()
    screen.sight = Sight(fleet(), problem="no answer from 127.0.0.1:6379: unknown host", failing_since=0.0)
    text = "\n".join(screen.lines())
    assert "no answer from 127.0.0.1:6379: unknown host, since 00:00:00 UTC (" in text
    assert "PROBLEMS 5" in text
    screen.sight = Sight(problem="no answer from 127.0.0.1:6379: unknown host", failing_since=0.0)
    assert "unknown host" in "\n".join(screen.lines())


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (20, 3), (200, 60), (1, 1)])
def test_any_size_is_filled_and_not_exceeded(width: int, height: int) -> None:
    """Each view has exactly as many lines as the terminal."""
    for view in (View("fleet"), View("workers"), View("worker", "0123456789ab"), View("help"), View("session", "x")):
        state = State(views=[View("fleet"), view])
        sight = Sight(fleet(), view)
        lines = screen_lines(sight, state, rows_of(sight, state, width, height), TITLE, width, height, None)
        assert len(lines) == height
        assert max(line.cell_len for line in lines) <= width


def test_texts_of_others_cannot_control_the_terminal() -> None:
    """Names, reasons and texts of problems are escaped in every view."""
    evil = "\x1b[2J\u202e\x07"
    whole = fleet()
    sessions = [
        one.model_copy(update={"agent_id": evil, "holder": evil, "label": evil, "task": evil}) for one in whole.sessions
    ]
    problems = [one.model_copy(update={"text": evil, "advice": evil}) for one in whole.problems]
    workers = [one.model_copy(update={"owner": evil, "agents": (evil,)}) for one in whole.workers]
    screen = Screen(fleet(sessions=sessions, problems=problems, workers=workers))
    for keys in ((), ("tab", "tab"), ("w",), ("enter",)):
        screen.press(*keys)
        assert all(line.isprintable() for line in screen.lines())


@pytest.mark.parametrize(
    ("sent", "keys", "rest"),
    [
        (b"jk", ["j", "k"], b""),
        (b"\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[F", ["up", "down", "page up", "page down", "home", "end"], b""),
        (b"\r\t\x7f", ["enter", "tab", "backspace"], b""),
        (b"\x1b", [], b"\x1b"),
        (b"a\x1b[", ["a"], b"\x1b["),
        (b"\x1b[99;5u", [], b""),
        (b"\x1bx", [], b""),
        ("é".encode(), ["é"], b""),
        ("é".encode()[:1], [], "é".encode()[:1]),
        (b"\xff\x00", [], b""),
    ],
)
def test_keys_are_split(sent: bytes, keys: list[str], rest: bytes) -> None:
    """Sequences have names, a key that is not complete waits for its rest, and others are left out."""
    assert split_keys(sent) == (keys, rest)


def test_pause_key_in_the_view_of_a_paused_session_resumes_it() -> None:
    """Every line of a session's view is about the session, so an action knows its status and its lease."""
    with SessionCache.from_url("fake://") as cache:
        session = cache.create("chat")
        with session.lease():
            session.pause()
            info = session.info()
            assert info.lease is not None
            state = State(allows_actions=True, views=[View("fleet"), View("session", "chat")])
            rows = session_rows(SessionDetail(info, []), None, 80)
            state.press("p", rows, 10)
            assert state.question == Action("resume", "chat", info.lease.fence)


def test_actions_are_audited_and_release_the_lease_that_was_seen() -> None:
    """Each action leaves a record. A lease that was granted since the question stays with its holder."""
    records: list[AuditRecord] = []
    with SessionCache.from_url("fake://", audit=records.append) as cache:
        root = cache.create("root")
        run_id = str(root.spawn("a", max_attempts=1).session_key)
        run = cache.claim("a", wait=20)
        assert run is not None
        run.fail(reason="x")
        for kind in ("pause", "resume"):
            perform(cache, Action(kind, "root"))
        perform(cache, Action("retry", run_id))
        lease = cache.create("held").lease()
        lease.acquire()
        assert "another holder" in perform(cache, Action("release", "held", lease.fence + 1))
        assert "released" in perform(cache, Action("release", "held", lease.fence))
        perform(cache, Action("cancel", "root"))
        perform(cache, Action("delete", "root"))
    actions = ["pause", "resume", "retry", "force_release", "cancel", "delete"]
    assert [one.action for one in records] == actions
