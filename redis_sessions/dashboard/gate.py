"""The gate before all pages: host names, credentials, and the headers of every response."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .credentials import COOKIE_LIFE, Credentials
from .guesses import GuessLimiter

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PUBLIC = ("/login", "/static/")
"""Paths that need no login: the login itself, and what its page loads."""


class Gate:
    """Lets a request through, or answers it: 400 for a wrong host, 403 for a stranger, 401 without credentials."""

    def __init__(
        self,
        app: ASGIApp,
        credentials: Credentials,
        guesses: GuessLimiter,
        allowed_hosts: Collection[str] | None,
        identify: Callable[[Any], str | None] | None,
        on_error: Callable[[Request, Exception], Response],
    ) -> None:
        """Guard an app.

        Args:
            app: the app.
            credentials: the secrets.
            guesses: the limiter of wrong secrets.
            allowed_hosts: host names that the app answers to. None for those of this machine if there are no secrets, and else
                any.
            identify: returns the name of the user of a request that the surrounding app has let in.
            on_error: returns the page of an error that no handler expected.
        """
        self._app = app
        self._credentials = credentials
        self._guesses = guesses
        self._is_local = credentials.is_open and allowed_hosts is None
        hosts = LOOPBACK_HOSTS if self._is_local else allowed_hosts
        self._hosts = None if hosts is None or "*" in hosts else {host.lower() for host in hosts}
        self._identify = identify
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if cookie := scope.get("redis_sessions_cookie"):
                    headers.append("set-cookie", cookie)
            await send(message)

        try:
            refusal = self._check_host(scope) or await self._check_caller(scope)
            await (refusal or self._app)(scope, receive, send_with_headers)
        except Exception as problem:
            if has_begun:
                raise
            await self._on_error(Request(scope), problem)(scope, receive, send_with_headers)

    def _check_host(self, scope: Scope) -> Response | None:
        """Return the refusal of a request whose host name another site can point at this machine."""
        host = _host_name(Headers(scope=scope).get("host", ""))
        if self._hosts is not None and host not in self._hosts:
            names = ", ".join(sorted(self._hosts))
            return PlainTextResponse(
                f"This dashboard answers to these host names only: {names}. Open it by one of them, or name the others in"
                " allowed_hosts (on the command line --allowed-host).\n",
                400,
            )
        client = scope.get("client")
        if self._is_local and client is not None and not _is_loopback(client[0]):
            return PlainTextResponse(
                "This dashboard asks for no token, so it serves this machine only. Give it a token, or allowed_hosts if the"
                " surrounding app checks who may see it.\n",
                403,
            )
        return None

    async def _check_caller(self, scope: Scope) -> Response | None:
        """Return the refusal of a request without credentials. Put the name of the caller into the scope."""
        headers, path = Headers(scope=scope), route_path(scope)
        state = scope.setdefault("state", {})
        state["caller"] = ""
        if self._credentials.is_open:
            state["caller"] = str(self._identify(scope) or "") if self._identify else ""
            return None
        if path.startswith(_PUBLIC):
            return None
        if name := self.name_of_login(headers):
            state["caller"] = name
            return None
        header, client = headers.get("authorization", ""), client_of(scope)
        if header:
            if not await self._guesses.admit(client):
                return too_many()
            if name := self._credentials.name_of_header(header):
                state["caller"] = name
                scope["redis_sessions_cookie"] = login_cookie(scope, self._credentials, name)
                return None
            self._guesses.count_wrong(client, path)
        return self._ask(scope, headers, path, was_wrong=bool(header))

    def name_of_login(self, headers: Headers) -> str | None:
        """Return the name of the caller that the cookie of a login proves, or None."""
        cookie = cookie_parser(headers.get("cookie", "")).get(self._credentials.cookie_name)
        return self._credentials.name_of_cookie(cookie) if cookie else None

    def _ask(self, scope: Scope, headers: Headers, path: str, *, was_wrong: bool) -> Response:
        """Return the login page for a person with a browser, and else 401."""
        is_page = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
        if is_page and self._credentials.has_token and not was_wrong:
            query = scope.get("query_string", b"").decode("latin-1")
            target = quote(f"{path}?{query}" if query else path, safe="")
            return RedirectResponse(f"{scope.get('root_path', '')}/login?next={target}", 303)
        kinds = (("Basic", self._credentials.has_password), ("Bearer", self._credentials.has_token))
        challenge = ", ".join(f'{kind} realm="redis_sessions"' for kind, is_asked in kinds if is_asked)
        what = "The token or the password is wrong." if was_wrong else "This dashboard asks for a token or a password."
        return PlainTextResponse(f"{what}\n", 401, {"WWW-Authenticate": challenge})


def too_many() -> Response:
    """Return the refusal of a client that gave too many wrong secrets."""
    return PlainTextResponse("Too many wrong tokens from this address. Wait a minute.\n", 429, {"Retry-After": "60"})


def login_cookie(scope: Scope, credentials: Credentials, name: str | None) -> str:
    """Return the header that sets the cookie of the login of a caller, or removes the cookie if there is no name."""
    value, life = ("", 0) if name is None else (credentials.cookie(name), COOKIE_LIFE)
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    path = scope.get("root_path", "") or "/"
    return f"{credentials.cookie_name}={value}; Path={path}; Max-Age={life}; HttpOnly; SameSite=Strict{secure}"


def client_of(scope: Scope) -> str:
    """Return the address of the client."""
    client = scope.get("client")
    return str(client[0]) if client else "a local socket"


def route_path(scope: Scope) -> str:
    """Return the path below the place where the app is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _host_name(header: str) -> str:
    """Return the host of a Host header, without its port, in lower case."""
    host = header.rpartition(":")[0] if ":" in header and not header.endswith("]") else header
    if host.count(":") and not host.startswith("["):
        host = header
    return host.strip("[]").lower()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
