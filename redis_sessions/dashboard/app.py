"""`dashboard_app`: the dashboard as an ASGI app."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from .._async.api.cache import AsyncSessionCache
from .._core.commands.watch_pace import Stoppable, WatchPace
from .._durations import Duration, flag
from .._sync.api.cache import SessionCache
from ..errors import SessionNotFound, SessionsError
from .actions import Actions, audited
from .board import FOLDER, Board, Page, query_of, root_of
from .credentials import Credentials
from .fleet_pages import FLEET, HEALTH, POISON, WORK, WORKERS
from .gate import Gate
from .guesses import GuessLimiter
from .login import Login
from .poller import FleetPoller, Monitor
from .problems import STORE_ERRORS, show_problem
from .session_page import FACTS, SESSION, download_message
from .session_streams import stream_session
from .sessions_page import SESSIONS, find_one
from .streams import respond_stream, stream_parts
from .tree_page import TREE

RETRY_FOR = 3.0
"""Seconds for which a page asks a server that does not answer."""
_PAGES = (FLEET, SESSIONS, SESSION, TREE, WORK, WORKERS, POISON, HEALTH)


def dashboard_app(
    cache: AsyncSessionCache | SessionCache,
    *,
    token: str | None = None,
    username: str | None = None,
    password: str | None = None,
    allow_actions: bool = False,
    allowed_hosts: Collection[str] | None = None,
    identify: Callable[[Any], str | None] | None = None,
    stuck_after: Duration = "60s",
    max_sessions: int = 10_000,
    monitor: Monitor | None = None,
    stop: Stoppable | None = None,
) -> Starlette:
    """Return the dashboard of the sessions of a cache, as an ASGI app to serve or to mount in another app.

    The dashboard opens connections of its own with the settings of the cache, and reads only, unless `allow_actions` is set.
    Without a token and a password it serves this machine only: other clients and other host names are refused.

    Args:
        cache: the cache of the namespace to show.
        token: a secret of 16 or more characters that callers must give, in a login form or as a Bearer token.
        username: the name for basic authentication, together with `password`.
        password: its password, 8 or more characters.
        allow_actions: offer cancel, request cancel, release, retry, pause, resume and delete. Each one asks first, and calls
            the `audit` hook of the cache.
        allowed_hosts: the host names that the dashboard answers to, '*' for any. Name those of the surrounding app if that app
            checks who may see the dashboard. Default: any with a token or a password, else those of this machine.
        identify: a function that takes the ASGI scope of a request and returns the name of its user, for the audit hook, if the
            surrounding app checks who may see the dashboard.
        stuck_after: the time without a write after which the holder of a lease counts as silent, and work as waiting for long.
        max_sessions: active sessions whose problems are shown, 1 to 100,000. About 4 KB of memory each.
        monitor: the monitor that reads the fleet. Default: `cache.monitor()`.
        stop: end the streams of open pages within 0.25 s after this event is set. A server waits for them when it shuts down.

    Raises:
        InvalidInput: an argument is not valid.

    Cost: one read of the fleet each 2 s for all viewers together, each 15 s while no page is open.
    """
    flag(allow_actions, "allow_actions")
    WatchPace(None, None, stop)  # refuses what is not an event
    own = AsyncSessionCache(cache, retry_for=RETRY_FOR, timeout=RETRY_FOR, audit=audited(cache))
    seed = f"{own.where} {own.namespace} {own.engine.options.get('password')} {platform.node()}"
    credentials = Credentials(token, username, password, seed)
    poller = FleetPoller(
        own.monitor(max_sessions, stuck_after=stuck_after) if monitor is None else monitor, own.where, stop
    )
    board = Board(own, poller, credentials, allow_actions=allow_actions)
    guesses = GuessLimiter()
    login, actions = Login(board, guesses), Actions(board)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        poller.start()
        try:
            yield
        finally:
            await poller.close()
            await own.close()

    async def live(request: Request) -> Response:
        page = next((one for one in _PAGES if one.name == request.path_params["name"]), None)
        if page is None:
            raise HTTPException(404)
        query, root = query_of(request), root_of(request)
        with suppress(SessionNotFound, *STORE_ERRORS):  # the stream says so itself
            await board.render_parts(FACTS if page is SESSION else page, query, root)
        if page is SESSION:
            return respond_stream(stream_session(board, query, root))
        return respond_stream(stream_parts(board, page, query, root))

    async def message(request: Request) -> Response:
        return await download_message(board, request)

    def problem_page(request: Request, problem: Exception) -> Response:
        return show_problem(board, request, problem)

    async def sessions(request: Request) -> Response:
        return await find_one(board, request) or await board.render_page(SESSIONS, request)

    def route(page: Page, path: str | None = None) -> Route:
        async def show(request: Request) -> Response:
            return await board.render_page(page, request)

        return Route(f"/{page.name}" if path is None else path, show, name=page.name)

    app = Starlette(
        routes=[
            route(FLEET, "/"), Route("/sessions", sessions, name="sessions"), *map(route, (SESSION, TREE)),
            *map(route, (WORK, WORKERS, POISON, HEALTH)), Route("/live/{name}", live), *login.routes(), *actions.routes(),
            Route("/message", message),
            Mount("/static", StaticFiles(directory=FOLDER / "static")),
        ],
        middleware=[Middleware(Gate, credentials, guesses, allowed_hosts, identify, problem_page)],
        exception_handlers={SessionsError: problem_page, HTTPException: problem_page},
        lifespan=lifespan,
    )  # fmt: skip
    app.state.board = board
    return app
