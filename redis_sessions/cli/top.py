"""`top`: a fleet as it works, on the whole screen."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Annotated, NoReturn

import typer
from rich.live import Live

from .._sync.cache import SessionCache
from ..errors import SessionsError
from . import frame
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Namespace, Url, app, other_processes, out, seconds

_LOOK = 0.1  # seconds between two looks at keys, at the size of the terminal and for answers
_ROWS = 30  # lines of a frame where there is no terminal
_PATIENCE = 2.0  # seconds until a server that does not answer is said to be gone
Answer = frame.Frame | Exception


@app.command()
def top(
    every: Annotated[str, typer.Option("--every", help="The time between two looks: 1s, 0.5.")] = "1.0",
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end, as without a terminal.")] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Show a fleet as it works: sessions, rates, leases, work that waits, failures. q ends it."""
    pause = seconds(every, "--every", 0.1, 3600)
    with SessionCache.from_url(other_processes(url), namespace=namespace, retry_for=_PATIENCE) as cache:
        title = f"{cache.where} · namespace {cache.namespace}"
        if once or not out.is_terminal:
            out.print(frame.drawn(frame.read(cache, None), title, "", _ROWS))
            return
        signal.signal(signal.SIGTERM, _end)  # by way of what puts the terminal back
        try:
            with _keys() as pressed, Live(console=out, screen=True, auto_refresh=False) as live:
                _show(live, cache, title, pause, pressed)
        except KeyboardInterrupt:
            return


def _show(live: Live, cache: SessionCache, title: str, pause: float, pressed: Callable[[float], str]) -> None:
    """Draws what is read beside it, so that keys and the size of the terminal count also while no server answers."""
    answers: SimpleQueue[Answer] = SimpleQueue()
    latest: frame.Frame | None = None
    problem, due, size, is_new = "", 0.0, None, True
    while True:
        if time.monotonic() >= due:
            due = float("inf")  # until it answers
            threading.Thread(target=_read, args=(cache, latest, answers), daemon=True).start()
        if not answers.empty():
            answer = answers.get()
            due, is_new = time.monotonic() + pause, True
            problem = str(answer) if isinstance(answer, SessionsError) else ""
            if isinstance(answer, frame.Frame):
                latest = answer
            elif not problem:
                raise answer
        if is_new or out.size != size:
            size, is_new = out.size, False
            live.update(frame.drawn(latest, title, problem, size.height), refresh=True)
        if pressed(_LOOK) == "q":
            return


def _read(cache: SessionCache, before: frame.Frame | None, answers: SimpleQueue[Answer]) -> None:
    try:
        answers.put(frame.read(cache, before))
    except Exception as problem:
        answers.put(problem)


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """What is pressed within so many seconds, a key at a time; afterwards the terminal is as it was."""
    try:
        import termios
    except ImportError:  # on Windows Ctrl-C alone ends it
        yield _wait
        return
    if not sys.stdin.isatty():
        yield _wait
        return
    terminal = sys.stdin.fileno()
    before, mode = termios.tcgetattr(terminal), termios.tcgetattr(terminal)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    mode[6][termios.VSUSP] = b"\0"  # stopped, it would leave the terminal to the shell as it is
    termios.tcsetattr(terminal, termios.TCSADRAIN, mode)
    try:
        yield _pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _pressed(timeout: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], timeout)
    if not ready:
        return ""
    key = os.read(sys.stdin.fileno(), 1)
    return key.decode("ascii", "replace").lower() if key else "q"  # the terminal is gone


def _wait(timeout: float) -> str:
    time.sleep(timeout)
    return ""


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
