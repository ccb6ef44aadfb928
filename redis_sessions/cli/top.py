"""`top`: show a fleet at work, on the whole screen."""

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

from .._sync.api.cache import SessionCache
from ..errors import SessionsError
from . import frame
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Namespace, Url, app, out, parse_duration, shared_url
from .codec_options import codec_options

_POLL_SECONDS = 0.1
"""The time between two checks of the keyboard, the size of the terminal, and the reader of frames."""
_LINES = 30
"""Lines of a frame without a terminal."""
_RETRY_SECONDS = 2.0
"""The time after which a server that does not answer is reported."""
FrameOrError = frame.Frame | Exception


@app.command()
def top(
    every: Annotated[
        str, typer.Option("--every", help="Duration between two frames, 100ms to 1h, such as 500ms or 5s.")
    ] = "1s",
    once: Annotated[
        bool, typer.Option("--once", help="Print one frame and end, as without a terminal. Default: go on until q.")
    ] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    """Show a fleet at work: sessions, rates, leases, runs that wait, failures. Press q to end the view."""
    pause = parse_duration(every, "--every", minimum="100ms", maximum="1h")
    with SessionCache.from_url(
        shared_url(url), namespace=namespace, **codec_options(), retry_for=_RETRY_SECONDS
    ) as cache:
        title = f"{cache.where} · namespace {cache.namespace}"
        if once or not out.is_terminal:
            out.print(frame.render_frame(frame.read_frame(cache, None), title, "", out.width, _LINES))
            return
        signal.signal(signal.SIGTERM, _exit)  # so that the terminal is restored
        try:
            with _key_reader() as read_key, Live(console=out, screen=True, auto_refresh=False) as live:
                _run(live, cache, title, pause, read_key)
        except KeyboardInterrupt:
            return


def _run(live: Live, cache: SessionCache, title: str, pause: float, read_key: Callable[[float], str]) -> None:
    """Draw frames until q is pressed. A thread reads the frames, so that keys and resizes work while no server answers."""
    replies: SimpleQueue[FrameOrError] = SimpleQueue()
    latest: frame.Frame | None = None
    problem, read_at, size, is_new = "", 0.0, None, True
    while True:
        if time.monotonic() >= read_at:
            read_at = float("inf")  # until the reply
            threading.Thread(target=_read, args=(cache, latest, replies), daemon=True).start()
        if not replies.empty():
            reply = replies.get()
            read_at, is_new = time.monotonic() + pause, True
            problem = str(reply) if isinstance(reply, SessionsError) else ""
            if isinstance(reply, frame.Frame):
                latest = reply
            elif not problem:
                raise reply
        if is_new or out.size != size:
            size, is_new = out.size, False
            live.update(frame.render_frame(latest, title, problem, size.width, size.height), refresh=True)
        if read_key(_POLL_SECONDS) == "q":
            return


def _read(cache: SessionCache, before: frame.Frame | None, replies: SimpleQueue[FrameOrError]) -> None:
    try:
        replies.put(frame.read_frame(cache, before))
    except Exception as problem:
        replies.put(problem)


@contextmanager
def _key_reader() -> Iterator[Callable[[float], str]]:
    """Yield a function that returns the key pressed within a number of seconds, or ''. Then restore the terminal."""
    try:
        import termios
    except ImportError:  # on Windows only Ctrl-C ends the command
        yield _sleep
        return
    if not sys.stdin.isatty():
        yield _sleep
        return
    terminal = sys.stdin.fileno()
    before, mode = termios.tcgetattr(terminal), termios.tcgetattr(terminal)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    mode[6][termios.VSUSP] = b"\0"  # a stopped process would leave the terminal in this mode
    termios.tcsetattr(terminal, termios.TCSADRAIN, mode)
    try:
        yield _read_key
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _read_key(timeout: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], timeout)
    if not ready:
        return ""
    key = os.read(sys.stdin.fileno(), 1)
    return key.decode("ascii", "replace").lower() if key else "q"  # the terminal is gone


def _sleep(timeout: float) -> str:
    time.sleep(timeout)
    return ""


def _exit(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
