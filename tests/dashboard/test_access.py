"""Access to the dashboard: hosts, clients, tokens, passwords, cookies, and the headers of each response."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache
from redis_sessions.dashboard import dashboard_app
from redis_sessions.dashboard.gate import POLICY
from tests.support.dashboard import FixedMonitor, dashboard, form_fields

TOKEN = "a-token-of-32-characters-for-test"
PATHS = (
    "/",
    "/sessions",
    "/work",
    "/workers",
    "/poison",
    "/health",
    "/live/fleet",
    "/message?id=x&seq=1",
    "/action/cancel?id=x",
)


@pytest.fixture
def engine() -> str:
    """Return the name of the fake engine, because access does not depend on the server."""
    return "fake"


def start(cache: SessionCache, **options: Any) -> Any:
    """Serve the dashboard of a cache with a fleet that has nothing."""
    return dashboard(cache, monitor=FixedMonitor(), **options)


def test_every_response_has_the_headers_that_confine_it(cache: SessionCache) -> None:
    """Also a redirect, a refusal, an error and a static file carry the policy, and only static files may be stored."""
    with start(cache) as running, running.client() as client:
        for path in ("/", "/nothing", "/sessions?cursor=x", "/static/page.js", "/login", "/session"):
            headers = client.get(path).headers
            assert headers["content-security-policy"] == POLICY, path
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store" or path.startswith("/static/")
        refused = client.get("/", headers={"Host": "evil.example"})
        assert (refused.status_code, refused.headers["content-security-policy"]) == (400, POLICY)


def test_pages_hold_no_inline_script_and_no_foreign_address(cache: SessionCache) -> None:
    """The policy forbids inline scripts and styles, so no page may depend on one."""
    cache.create("s1").append({"role": "user", "content": "x"})
    with start(cache, allow_actions=True) as running, running.client() as client:
        for path in ("/", "/sessions", "/session?id=s1", "/tree?id=s1", "/work", "/action/delete?id=s1", "/nothing"):
            html = client.get(path).text
            assert html.count("<script") == 1, path
            assert " style=" not in html
            assert " onclick" not in html
            assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
            assert "https://" not in html


def test_wrong_host_name_is_refused_without_token(cache: SessionCache) -> None:
    """A page of another site that points its name at this machine reads nothing."""
    with start(cache) as running, running.client() as client:
        for host in ("localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"):
            assert client.get("/", headers={"Host": host}).status_code == 200, host
        for host in ("evil.example", "localhost.evil.example:80", "127.0.0.1.nip.io", ""):
            assert client.get("/", headers={"Host": host}).status_code == 400, host
    with start(cache, allowed_hosts=["ops.example"]) as running, running.client() as client:
        assert client.get("/", headers={"Host": "ops.example:443"}).status_code == 200
        assert client.get("/", headers={"Host": "localhost"}).status_code == 400


def test_without_token_another_machine_is_refused(cache: SessionCache) -> None:
    """The app checks the address of the client itself, in case the server listens on all addresses."""
    app = dashboard_app(cache, monitor=FixedMonitor())
    for address, status in (("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 403), ("2001:db8::1", 403)):
        assert call(app, client=(address, 1)) == status, address
    assert call(app, client=None) == 200


def call(app: Any, **fields: Any) -> int:
    """Return the status of a request for a static file that is sent to the app directly."""
    import asyncio

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # a client that stays connected
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/static/page.js", "raw_path": b"", "root_path": "", "query_string": b"",
        "headers": [(b"host", b"localhost")], "scheme": "http", "server": ("localhost", 80), "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(app(scope | fields, receive, send))
    return int(sent[0]["status"])


def test_no_page_is_open_without_the_token(cache: SessionCache) -> None:
    """A browser is sent to the login, and any other client gets 401. Static files are open, because the login needs them."""
    with start(cache, token=TOKEN, allow_actions=True) as running, running.client() as client:
        for path in PATHS:
            page = client.get(path)
            assert (page.status_code, page.headers["location"][:12]) == (303, "/login?next="), path
            plain = client.get(path, headers={"Accept": "*/*"})
            assert (plain.status_code, plain.headers["www-authenticate"]) == (401, 'Bearer realm="redis_sessions"')
        assert client.post("/action/delete?id=x").status_code == 401
        assert client.get("/static/page.css").status_code == 200
        assert client.get("/static/../app.py").status_code in (303, 404)
        assert client.get("/login").status_code == 200


def test_right_token_opens_every_page(cache: SessionCache) -> None:
    """A program sends the token as a Bearer token."""
    with start(cache, token=TOKEN) as running, running.client(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        for path in ("/", "/sessions", "/work"):
            assert client.get(path).status_code == 200, path


def test_login_form_gives_a_cookie_that_scripts_cannot_read(cache: SessionCache) -> None:
    """After the login the page that was asked for is open, until the logout."""
    with start(cache, token=TOKEN) as running, running.client() as client:
        asked = client.get("/work?state=running").headers["location"]
        form = form_fields(client.get(asked).text)
        assert form["next"] == "/work?state=running"
        done = client.post("/login", data={**form, "token": TOKEN})
        assert (done.status_code, done.headers["location"]) == (303, "/work?state=running")
        cookie = next(one for one in done.headers.get_list("set-cookie") if "redis_sessions_login" in one)
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        page = client.get("/work?state=running")
        assert page.status_code == 200
        out = client.post("/logout", data=form_fields(page.text))
        assert out.status_code == 303
        assert client.get("/").headers["location"].startswith("/login")


def test_login_leads_to_no_other_site(cache: SessionCache) -> None:
    """A target that is not a path of the dashboard becomes its first page."""
    with start(cache, token=TOKEN) as running, running.client() as client:
        for target in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb"):
            page = client.get("/login", params={"next": target})
            form = form_fields(page.text)
            assert form["next"] == "/", target
            done = client.post("/login", data={**form, "next": target, "token": TOKEN})
            assert done.headers["location"] == "/", target


def test_changed_or_old_cookie_opens_nothing(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cookie is signed with the secret, holds its end, and is worth nothing with another secret."""
    with start(cache, token=TOKEN) as running, running.client() as client:
        credentials = running.app.state.board.credentials
        good = credentials.cookie("token")
        other = dashboard_app(cache, token=TOKEN + "x", monitor=FixedMonitor()).state.board.credentials.cookie("token")
        monkeypatch.setattr(time, "time", lambda: 0.0)
        old = credentials.cookie("token")
        monkeypatch.undo()
        until, name, signature = good.split(".")
        longer = f"{int(until) + 1}.{name}.{signature}"
        for value, status in ((good, 200), (other, 303), (old, 303), (longer, 303), ("x", 303), ("a.b.c", 303)):
            found = client.get("/", headers={"Cookie": f"{credentials.cookie_name}={value}"})
            assert found.status_code == status, value


@pytest.mark.parametrize("foreign", ['prefs={"a": 1}', "a b=c", "a/b=1", "bad", 'x="open', "="])
def test_cookie_of_another_app_ends_no_login(cache: SessionCache, foreign: str) -> None:
    """Apps on other ports of a host share its cookies, and some of them set cookies that no standard allows."""
    with start(cache, token=TOKEN) as running, running.client() as client:
        credentials = running.app.state.board.credentials
        login = f"{credentials.cookie_name}={credentials.cookie('token')}"
        for cookies in (f"{foreign}; {login}", f"{login}; {foreign}"):
            assert client.get("/", headers={"Cookie": cookies}).status_code == 200, cookies


def test_wrong_token_is_logged_and_slowed_down(cache: SessionCache, caplog: pytest.LogCaptureFixture) -> None:
    """After three wrong tokens each further one of this client waits, and the log names the client and not the token."""
    with start(cache, token=TOKEN) as running, running.client(headers={"Accept": "*/*"}) as client:
        began = time.monotonic()
        for _ in range(5):
            wrong = client.get("/", headers={"Authorization": "Bearer wrong-token"})
            assert wrong.status_code == 401
            assert "wrong" in wrong.text
        assert time.monotonic() - began >= 1.9  # the fourth and the fifth wait for a second each
        assert client.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert sum("wrong token or password from 127.0.0.1" in line for line in lines) == 5
    assert "wrong-token" not in caplog.text


def test_wrong_token_in_form_is_401(cache: SessionCache) -> None:
    """The form is shown again with one sentence."""
    with start(cache, token=TOKEN) as running, running.client() as client:
        form = form_fields(client.get("/login").text)
        wrong = client.post("/login", data={**form, "token": "wrong"})
        assert wrong.status_code == 401
        assert 'data-testid="login-problem"' in wrong.text


def test_guesses_in_parallel_are_refused(cache: SessionCache) -> None:
    """More than ten seconds of waiting guesses get 429 at once, so that a client gains nothing by many connections."""
    import asyncio

    from redis_sessions.dashboard.guesses import GuessLimiter

    async def guess() -> list[bool | None]:
        limiter = GuessLimiter()
        for _ in range(3):
            assert await limiter.admit("a")
            limiter.count_wrong("a", "/")
        tasks = [asyncio.create_task(limiter.admit("a")) for _ in range(30)]
        await asyncio.sleep(0.2)
        found = [one.result() if one.done() else None for one in tasks]
        assert await limiter.admit("b")
        for one in tasks:
            one.cancel()
        return found

    found = asyncio.run(guess())
    assert found.count(False) >= 15


def test_addresses_of_one_network_share_their_guesses() -> None:
    """One machine has all addresses of an IPv6 network of 64 bits. IPv4 addresses count alone, also in the form of IPv6."""
    import asyncio

    from redis_sessions.dashboard.guesses import GuessLimiter

    async def waits(client: str) -> bool:
        try:
            await asyncio.wait_for(limiter.admit(client), 0.1)
        except TimeoutError:
            return True
        return False

    async def guess() -> list[bool]:
        for number in range(3):
            for client in (f"2001:db8::{number}", f"::ffff:192.0.2.{number}", "fe80::1%eth0"):
                limiter.count_wrong(client, "/")
        return [
            await waits(one)
            for one in ("2001:db8::99", "2001:db8:0:1::", "::ffff:192.0.2.9", "fe80::2%eth0", "a local socket")
        ]

    limiter = GuessLimiter()
    assert asyncio.run(guess()) == [True, False, False, True, False]


def test_basic_authentication_opens_pages(cache: SessionCache) -> None:
    """A wrong password is 401, and the header asks for Basic."""
    with start(cache, username="ops", password="pass:word-1") as running, running.client() as client:
        asked = client.get("/")
        assert (asked.status_code, asked.headers["www-authenticate"]) == (401, 'Basic realm="redis_sessions"')
        assert client.get("/", auth=("ops", "wrong")).status_code == 401
        page = client.get("/", auth=("ops", "pass:word-1"))
        assert (page.status_code, ">ops</span>" in page.text) == (200, True)
        for header in ("Basic %%%", "Basic", "Digest x", "Basic /w=="):
            assert client.get("/", headers={"Authorization": header, "Cookie": ""}).status_code in (401, 429)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"token": "short"}, "token: must be 16 or more printable ASCII characters"),
        ({"username": "ops"}, "username: and password belong together"),
        ({"username": "ops", "password": "1234567"}, "password: must be 8 or more characters"),
        ({"username": "a:b", "password": "12345678"}, "username: must be printable text without ':'"),
    ],
)
def test_weak_secret_is_refused(cache: SessionCache, options: dict[str, str], text: str) -> None:
    """A secret that can be guessed is refused before anything is served."""
    with pytest.raises(InvalidInput, match=text):
        dashboard_app(cache, monitor=FixedMonitor(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["no", "false", 0, None])
def test_actions_need_a_plain_true(cache: SessionCache, value: Any) -> None:
    """A text such as "no" does not allow actions: it is refused, and so is any other value."""
    with pytest.raises(InvalidInput, match="allow_actions: must be True or False"):
        dashboard_app(cache, monitor=FixedMonitor(), allow_actions=value)
