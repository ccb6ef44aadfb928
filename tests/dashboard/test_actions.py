"""The actions: off by default, confirmed, protected from other sites, carried out, and recorded with the person."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from redis_sessions import AuditRecord, Session, SessionCache
from tests.support.dashboard import FORM_COOKIE, FixedMonitor, Running, confirm, dashboard, form_fields

NAMES = ("request_cancel", "cancel", "release", "retry", "pause", "resume", "delete")


def start(cache: SessionCache, **options: Any) -> Any:
    """Serve a dashboard that offers actions."""
    return dashboard(cache, monitor=FixedMonitor(), allow_actions=True, **options)


def failed_run(cache: SessionCache) -> Session:
    """Return a run that failed."""
    child = cache.create("parent").spawn("writer", max_attempts=1).raise_if_refused().session_key
    run = cache.claim("writer", wait=30)
    assert run is not None
    run.fail(reason="broken")
    return cache.session(child or "")


def held(cache: SessionCache) -> Session:
    """Return a session whose lease is held."""
    session = cache.create("held")
    session.lease(owner="hanging").acquire()
    return session


def test_dashboard_is_read_only_by_default(cache: SessionCache) -> None:
    """No page offers an action, and neither the question nor the form is answered."""
    cache.create("s1")
    with dashboard(cache, monitor=FixedMonitor()) as running, running.client() as client:
        assert "/action/" not in client.get("/session?id=s1").text
        for name in NAMES:
            assert client.get(f"/action/{name}?id=s1").status_code == 403
            assert client.post(f"/action/{name}?id=s1", data={"form_token": "x"}).status_code == 403
    assert cache.session("s1").info().status == "active"


@pytest.mark.parametrize(
    ("name", "prepare", "is_done"),
    [
        ("cancel", lambda cache: cache.create("s1"), lambda one: one.info().reason == "enough"),
        ("request_cancel", lambda cache: cache.create("s1"), lambda one: one.is_cancel_requested()),
        ("pause", lambda cache: cache.create("s1"), lambda one: one.info().status == "paused"),
        ("release", held, lambda one: one.info().lease is None),
        ("retry", failed_run, lambda one: one.info().work == "queued"),
    ],
)
def test_action_asks_then_acts_and_is_recorded(
    cache: SessionCache, name: str, prepare: Callable[[SessionCache], Session], is_done: Callable[[Session], bool]
) -> None:
    """The first page changes nothing. Its form acts, and the audit hook gets the name and the address of the person."""
    records: list[AuditRecord] = []
    session = prepare(cache)
    with start(SessionCache(cache, audit=records.append)) as running, running.client() as client:
        assert f'href="/action/{name}?id=' in client.get("/session", params={"id": session.id}).text
        asked = client.get(f"/action/{name}", params={"id": session.id}).text
        assert 'data-testid="confirm"' in asked
        assert session.id in asked
        assert not is_done(session)
        done = confirm(client, name, session.id, reason="enough")
        assert done.status_code == 303, done.text
        assert 'data-testid="done"' in client.get(done.headers["location"]).text
    assert is_done(session)
    expected = {"release": "force_release"}.get(name, name)
    assert [(one.action, one.session_id, one.actor) for one in records] == [
        (expected, session.id, "dashboard at 127.0.0.1")
    ]


def test_resume_and_delete_act(cache: SessionCache, caplog: pytest.LogCaptureFixture) -> None:
    """A deletion ends on a page of its own, and names how many sessions go with it before."""
    cache.create("s1").spawn("writer")
    cache.session("s1").pause()
    caplog.set_level(logging.INFO, "redis_sessions.dashboard.audit")
    with start(cache) as running, running.client() as client:
        assert confirm(client, "resume", "s1").status_code == 303
        assert cache.session("s1").info().status == "active"
        assert "<dt>sessions below it</dt><dd>1</dd>" in client.get("/action/delete?id=s1").text
        assert confirm(client, "delete", "s1").status_code == 200
        assert cache.get("s1") is None
        assert client.get("/action/delete?id=s1").status_code == 404
    lines = [one.getMessage() for one in caplog.records if one.name == "redis_sessions.dashboard.audit"]
    place = f"by dashboard at 127.0.0.1 in {cache.namespace}: session=s1"
    assert [line.partition(" in ")[0] for line in lines] == [
        "audit: resume by dashboard at 127.0.0.1", "audit: delete by dashboard at 127.0.0.1",
    ]  # fmt: skip
    assert all(place.partition(" in ")[2] in line for line in lines)


def test_record_names_the_person_who_logged_in(cache: SessionCache) -> None:
    """With basic authentication the actor is the user, and `identify` names the user of the surrounding app."""
    records: list[AuditRecord] = []
    audited = SessionCache(cache, audit=records.append)
    for id in ("s1", "s2"):
        cache.create(id)
    with (
        start(audited, username="ops", password="password-1") as running,
        running.client(auth=("ops", "password-1")) as client,
    ):
        assert confirm(client, "pause", "s1").status_code == 303
    with (
        start(audited, allowed_hosts=["*"], identify=lambda scope: "mia\x1b[2J") as running,
        running.client() as client,
    ):
        assert confirm(client, "pause", "s2").status_code == 303
    assert [one.actor for one in records] == ["ops at 127.0.0.1", "mia\x1b[2J at 127.0.0.1"]


def pause_with(
    client: httpx.Client, data: dict[str, str], id: str = "s1", action: str = "pause", **headers: str
) -> int:
    """Return the status of a form that is sent."""
    return client.post(f"/action/{action}?id={id}", data=data, headers=headers).status_code


def test_form_from_elsewhere_is_refused(cache: SessionCache) -> None:
    """A form needs the token of its action and session, and the cookie of its browser, and must not come from another site."""
    for id in ("s1", "s2"):
        cache.create(id)
    with start(cache) as running, running.client() as client, running.client() as other:
        form = form_fields(client.get("/action/pause?id=s1").text)
        other.get("/")
        assert pause_with(client, {}) == 403
        assert pause_with(client, {"form_token": "0" * 64}) == 403
        assert pause_with(other, form) == 403  # another browser
        assert pause_with(client, form, id="s2") == 403
        assert pause_with(client, form, action="cancel") == 403
        assert pause_with(client, form, **{"Sec-Fetch-Site": "cross-site"}) == 403
        assert pause_with(client, form, **{"Sec-Fetch-Site": "same-site"}) == 403
        assert pause_with(client, {**form, "reason": "x" * 20_000}) == 413
        assert [cache.session(id).info().status for id in ("s1", "s2")] == ["active", "active"]
        with running.client() as fresh:
            cookie = fresh.get("/action/pause?id=s1").headers["set-cookie"]
        assert FORM_COOKIE in cookie
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert pause_with(client, form) == 303
    assert cache.session("s1").info().status == "paused"


def test_processes_of_one_app_accept_each_others_forms(cache: SessionCache) -> None:
    """A form of one process can be sent to another one with the same secrets, and to none with other secrets."""
    cache.create("s1")
    for first, second, status in (
        ({}, {}, 303),
        ({"token": "t" * 16}, {"token": "t" * 16}, 303),
        ({}, {"token": "t" * 16}, 403),
    ):
        headers = {"Authorization": f"Bearer {'t' * 16}"}
        with start(cache, **first) as one, start(cache, **second) as other, one.client(headers=headers) as client:
            form = form_fields(client.get("/action/pause?id=s1").text)
            sent = client.post(f"{other.url}/action/pause?id=s1", data=form)
            assert sent.status_code == status, sent.text
        if status == 303:
            cache.session("s1").resume()


def test_form_of_a_former_session_is_refused(cache: SessionCache) -> None:
    """A session that was deleted and created again, or a lease that another worker holds by now, is left alone."""
    cache.create("s1")
    lease = cache.create("s2").lease(owner="first")
    lease.acquire()
    with start(cache) as running, running.client() as client:
        deletion = form_fields(client.get("/action/delete?id=s1").text)
        release = form_fields(client.get("/action/release?id=s2").text)
        cache.session("s1").delete()
        cache.create("s1")
        lease.release()
        second = cache.session("s2").lease(owner="second")
        second.acquire()
        assert client.post("/action/delete?id=s1", data=deletion).status_code == 403
        assert client.post("/action/release?id=s2", data=release).status_code == 403
        assert second.is_held
        second.release()
    assert cache.get("s1") is not None


def test_action_that_makes_no_sense_is_refused(cache: SessionCache) -> None:
    """An action that the session does not allow is neither asked nor done, and one sentence says so."""
    cache.create("s1")
    with start(cache) as running, running.client() as client:
        for name in ("release", "retry", "resume"):
            refused = client.get(f"/action/{name}?id=s1")
            assert (refused.status_code, "is not possible: session s1 is active" in refused.text) == (409, True)
        form = form_fields(client.get("/action/cancel?id=s1").text)
        cache.session("s1").complete()
        assert client.post("/action/cancel?id=s1", data=form).status_code == 409
        assert client.get("/action/explode?id=s1").status_code == 404
        assert client.get("/action/pause?id=gone").status_code == 404


def test_retry_is_offered_for_runs_that_failed_only(cache: SessionCache) -> None:
    """A session that failed without a run, or whose turns an agent answers, has nothing that a worker could claim again."""
    plain, answered, run = cache.create("plain"), cache.create("answered", answered_by="clerk"), failed_run(cache)
    plain.fail(reason="x")
    answered.fail(reason="x")
    with start(cache) as running, running.client() as client:
        for one, status in ((plain, 409), (answered, 409), (run, 200)):
            assert client.get("/action/retry", params={"id": one.id}).status_code == status
            page = client.get("/session", params={"id": one.id}).text
            assert ("/action/retry" in page) == (status == 200)


def test_error_of_an_action_is_shown(cache: SessionCache) -> None:
    """A refusal of the server is a page with its message, and is not recorded."""
    records: list[AuditRecord] = []
    session = failed_run(cache)
    with start(SessionCache(cache, audit=records.append)) as running, running.client() as client:
        form = form_fields(client.get("/action/retry", params={"id": session.id}).text)
        cache.session("parent").complete()
        refused = client.post("/action/retry", params={"id": session.id}, data=form)
    assert refused.status_code == 409
    assert 'role="alert"' in refused.text
    assert records == []


def test_every_action_is_offered_where_it_makes_sense(cache: SessionCache) -> None:
    """The session page offers what the state of the session allows, and no more."""
    cache.create("active")
    cache.create("paused").pause()
    cache.create("ended").complete()
    lease = cache.create("leased").lease()
    lease.acquire()
    with start(cache) as running:
        assert offered(running, "active") == {"request_cancel", "cancel", "pause", "delete"}
        assert offered(running, "paused") == {"request_cancel", "cancel", "resume", "delete"}
        assert offered(running, "ended") == {"delete"}
        assert offered(running, "leased") == {"request_cancel", "cancel", "pause", "delete", "release"}
    lease.release()


def offered(running: Running, id: str) -> set[str]:
    """Return the actions that the page of a session links to."""
    with running.client() as client:
        html = client.get(f"/session?id={id}").text
    return {name for name in NAMES if f"/action/{name}?id={id}" in html}
