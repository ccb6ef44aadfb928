"""The dashboard of one cache: the poller, the templates, and how a page and its live parts are rendered."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from .. import __version__
from .._async.api.cache import AsyncSessionCache
from .._printable import count_of
from . import text
from .credentials import Credentials
from .poller import FleetPoller

FOLDER = Path(__file__).parent
NAV = (
    ("", "fleet", "f"), ("sessions", "sessions", "s"), ("work", "runs and turns", "r"), ("workers", "workers", "w"),
    ("poison", "poison runs", "p"), ("health", "health", "h"),
)  # fmt: skip
"""Path, name and key of the pages that each page links to."""
GLYPHS = {
    "active": "●", "paused": "‖", "completed": "✔", "failed": "✘", "cancelled": "⊘", "timed_out": "⧖", "deleted": "×",
    "queued": "◔", "delayed": "◷", "running": "▶", "parked": "◫", "alive": "●", "dead": "✘", "died": "✘", "up": "✔",
    "impaired": "▲", "silent": "▲", "down": "✘", "pending": "◔", "rejected": "✘", "aborted": "✘",
}  # fmt: skip
WORDS = {"timed_out": "timed out"}
SEVERITY = {
    "server": "urgent", "dead_holder": "urgent", "silent_holder": "urgent", "poison_run": "urgent", "no_worker": "urgent",
    "inbox_full": "warning", "budget_spent": "warning", "paused_parent": "warning", "long_wait": "warning",
    "run_failed": "notice", "dead_worker": "notice",
}  # fmt: skip
SEVERITY_GLYPHS = {"urgent": "✘", "warning": "▲", "notice": "•"}
NOTICES = {"run_failed": "work?state=failed", "dead_worker": "workers"}
"""The page with all problems of each kind that needs no action at once."""
FIRST_READ = 1.5
"""Seconds that a page waits for the first read of the fleet. Without it the page says so, and fills itself later."""
_MAX_RENDERED = 64
"""Renderings that viewers of the same page share."""
_FILTERS = (
    "shorten", "short_id", "begin_of", "end_of", "span", "clock", "moment", "when", "number", "size", "code", "as_json",
)  # fmt: skip
FORM_COOKIE = "redis_sessions_form"

Query = Mapping[str, str]


class Page(NamedTuple):
    """A page whose parts stay current."""

    name: str
    title: Callable[[Query], str]
    parts: tuple[str, ...]
    """The parts, in the order of the page, without the part on the store."""
    load: Callable[[Board, Query], Awaitable[dict[str, Any]]]
    """Returns the values of the templates. Raises SessionsError."""
    here: str = ""
    """The name in the navigation."""
    template: str = "live.html"
    extras: Callable[[Query], dict[str, Any]] = lambda query: {}
    """Returns the values that only the frame of the page needs."""


class Board:
    """One dashboard."""

    def __init__(
        self, cache: AsyncSessionCache, poller: FleetPoller, credentials: Credentials, *, allow_actions: bool
    ) -> None:
        self.cache = cache
        self.poller = poller
        self.credentials = credentials
        self.allow_actions = allow_actions
        self.assets = _digest_of_assets()
        self._rendered: OrderedDict[tuple[str, ...], tuple[int, dict[str, Markup]]] = OrderedDict()
        self._rendering: dict[tuple[str, ...], asyncio.Task[dict[str, Markup]]] = {}
        self.templates = _templates(self)

    def now(self) -> datetime:
        """Return the time of the server, or of this machine before the first read."""
        return self.poller.now()

    async def render_parts(self, page: Page, query: Query, root: str) -> dict[str, Markup]:
        """Return the parts of a page by name. Viewers of the same page share them until the next read of the fleet."""
        key = _key(page, query, root)
        known = self._rendered.get(key)
        if known is not None and known[0] == self.poller.tick:
            return known[1]
        task = self._rendering.get(key)
        if task is None or task.done():
            task = self._rendering[key] = asyncio.create_task(self._render(page, query, root))
            task.add_done_callback(lambda done: self._forget_rendering(key, done))
        return await asyncio.shield(task)  # a viewer who leaves does not end the read of the others

    def _forget_rendering(self, key: tuple[str, ...], task: asyncio.Task[dict[str, Markup]]) -> None:
        if self._rendering.get(key) is task:
            del self._rendering[key]
        if not task.cancelled():
            task.exception()  # has been seen, also if all viewers left

    async def _render(self, page: Page, query: Query, root: str) -> dict[str, Markup]:
        """Return the parts of a page as of now, and keep them for the streams of its viewers."""
        tick, key = self.poller.tick, _key(page, query, root)
        values = {**self._shared_values(), **(await page.load(self, query)), "root": root}
        parts = {name: self.render_part(name, values) for name in ("store", *page.parts)}
        self._rendered[key] = (tick, parts)
        self._rendered.move_to_end(key)
        while len(self._rendered) > _MAX_RENDERED:
            self._rendered.popitem(last=False)
        return parts

    def render_part(self, name: str, values: Mapping[str, Any]) -> Markup:
        """Return one part with the values that its template names."""
        return Markup(self.templates.get_template(f"parts/{name}.html").render(values))

    def render_store(self, root: str) -> dict[str, Markup]:
        """Return the part that says whether the store answers."""
        return {"store": self.render_part("store", {**self._shared_values(), "root": root})}

    def forget_rendered(self) -> None:
        """Render all parts again, because an action changed something."""
        self._rendered.clear()
        self._rendering.clear()

    async def render_page(self, page: Page, request: Request) -> HTMLResponse:
        """Return a page with its parts."""
        await self.poller.first(FIRST_READ)
        query = query_of(request)
        parts = await self._render(page, query, root_of(request))
        live = f"/live/{page.name}?{urlencode(query)}"
        return self.respond(
            request, page.template, title=page.title(query), parts=parts, shown=page.parts, here=page.here, live=live,
            query=defaultdict(str, query), **page.extras(query),
        )  # fmt: skip

    def respond(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page made from a template."""
        state = request.scope.get("state", {})
        cookie, is_new = form_cookie(request)
        defaults: dict[str, Any] = {
            "root": root_of(request), "namespace": self.cache.namespace, "where": self.cache.where, "version": __version__,
            "assets": self.assets, "allow_actions": self.allow_actions, "caller": state.get("caller", ""), "here": "",
            "live": "", "q": "", "show_nav": True, "can_log_out": bool(state.get("caller")) and not self.credentials.is_open,
            "form_field": lambda purpose: self.form_field(cookie, purpose),
        }  # fmt: skip
        response = HTMLResponse(self.templates.get_template(template).render(defaults | values), status)
        if is_new:
            response.set_cookie(
                FORM_COOKIE, cookie, path=root_of(request) or "/", httponly=True, samesite="strict",
                secure=request.url.scheme == "https",
            )  # fmt: skip
        return response

    def form_field(self, cookie: str, purpose: str) -> Markup:
        """Return the hidden field that proves that a form came from a page of this browser."""
        return Markup('<input type="hidden" name="form_token" value="{}">').format(
            self.credentials.sign(f"form {purpose}", cookie)
        )

    def _shared_values(self) -> dict[str, Any]:
        poller = self.poller
        fleet = poller.fleet
        is_empty = fleet is not None and not (fleet.active or fleet.ended or fleet.workers)
        return {
            "fleet": fleet, "problem": poller.problem, "down_since": poller.down_since, "where": self.cache.where,
            "namespace": self.cache.namespace, "now": self.now(), "is_empty": is_empty, "summary": _summary(poller),
            "allow_actions": self.allow_actions,
        }  # fmt: skip


def _key(page: Page, query: Query, root: str) -> tuple[str, ...]:
    return page.name, urlencode(sorted(query.items())), root


def _summary(poller: FleetPoller) -> str:
    """Return the sentence that a screen reader hears when it changes: how many problems of each kind there are."""
    if poller.problem:
        return "The store cannot be read."
    if poller.fleet is None:
        return ""
    counts: dict[str, int] = {}
    for one in poller.fleet.problems:
        counts[one.kind] = counts.get(one.kind, 0) + 1
    described = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
    return f"Problems: {described}." if described else "No problems."


def query_of(request: Request) -> dict[str, str]:
    """Return the parameters of a request, the last one of each name. Parameters without a value are left out."""
    return {name: value[:1000] for name, value in request.query_params.items() if value}


def root_of(request: Request) -> str:
    """Return the path at which the app is mounted, '' for the root of the server."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def form_cookie(request: Request) -> tuple[str, bool]:
    """Return the random value that the forms of a browser are bound to, and whether the value is new."""
    known = request.cookies.get(FORM_COOKIE, "")
    if len(known) == 32 and known.isalnum():
        return known, False
    made = request.scope.setdefault("redis_sessions_form", secrets.token_hex(16))
    return made, True


def _templates(board: Board) -> Environment:
    templates = Environment(
        loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, finalize=text.finalize, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= {name: getattr(text, name) for name in _FILTERS}
    templates.filters["urlencode_all"] = lambda value: quote(str(value), safe="")
    templates.globals |= {
        "NAV": NAV, "GLYPHS": GLYPHS, "WORDS": WORDS, "SEVERITY": SEVERITY, "SEVERITY_GLYPHS": SEVERITY_GLYPHS,
        "NOTICES": NOTICES, "count_of": count_of,
    }  # fmt: skip
    return templates


def _digest_of_assets() -> str:
    """Return a text that changes with the script and the style, for their URLs."""
    files = sorted((FOLDER / "static").iterdir())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
