"""The login form, and the end of a login."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from .board import FORM_COOKIE, Board, root_of
from .gate import client_of, login_cookie, too_many
from .guesses import GuessLimiter

_MAX_FORM = 16 * 1024


class Login:
    """The pages by which a person with a browser proves to know the token or the password."""

    def __init__(self, board: Board, guesses: GuessLimiter) -> None:
        self._board = board
        self._guesses = guesses

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/login", self.show, methods=["GET"]),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Return the form."""
        if self._board.credentials.is_open:
            return RedirectResponse(f"{root_of(request)}/", 303)
        return self._form(request, 200, _checked_target(request.query_params.get("next", "/")), "")

    async def log_in(self, request: Request) -> Response:
        """Check the secret of a form. Set the cookie, or return 401."""
        form = await read_form(self._board, request, "login")
        target, client = _checked_target(form.get("next", "/")), client_of(request.scope)
        if not await self._guesses.admit(client):
            return too_many()
        credentials = self._board.credentials
        username = form.get("username", "")
        name = (
            credentials.name_of_login(username, form.get("password", ""))
            if username
            else credentials.name_of_token(form.get("token", ""))
        )
        if name is None:
            self._guesses.count_wrong(client, "/login")
            return self._form(
                request,
                401,
                target,
                "That is wrong. Check the token or the password that the dashboard was started with.",
            )
        response = RedirectResponse(root_of(request) + target, 303)
        response.headers.append("set-cookie", login_cookie(request.scope, credentials, name))
        return response

    async def log_out(self, request: Request) -> Response:
        """Remove the cookie."""
        await read_form(self._board, request, "logout")
        response = RedirectResponse(f"{root_of(request)}/login", 303)
        response.headers.append("set-cookie", login_cookie(request.scope, self._board.credentials, None))
        return response

    def _form(self, request: Request, status: int, target: str, problem: str) -> Response:
        credentials = self._board.credentials
        return self._board.respond(
            request, "login.html", status, title="Log in", target=target, problem=problem, show_nav=False,
            has_token=credentials.has_token, has_password=credentials.has_password,
        )  # fmt: skip


async def read_form(board: Board, request: Request, purpose: str) -> dict[str, str]:
    """Return the fields of a form that a page of this browser sent. Raises HTTPException for any other form."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            raise HTTPException(413, f"A form has at most {_MAX_FORM} bytes.")
    form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    cookie = request.cookies.get(FORM_COOKIE, "")
    is_foreign = request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
    signature = form.pop("form_token", "")
    if not cookie or is_foreign or not board.credentials.is_signed(f"form {purpose}", cookie, signature):
        detail = "This form does not come from a page of this dashboard, or is too old. Open the page again, and send it again."
        raise HTTPException(403, detail)
    return form


def _checked_target(target: str) -> str:
    """Return a path of this dashboard to go on with, '/' for anything that could lead elsewhere."""
    is_path = (
        target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable() and "\\" not in target
    )
    return target[:2000] if is_path else "/"
