"""`pause`, `resume`, `request-cancel`, `retry`, `delete`: sessions that an operator steers."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from redis_sessions import Lease, LeaseLost, Session, SessionCache, SessionsError
from redis_sessions.cli import control
from redis_sessions.cli.commands import app
from redis_sessions.models.leases import LeaseInfo
from tests.support.command_line import run
from tests.support.servers import Server


def test_pause_and_resume_print_the_session(own_server: Server) -> None:
    """A paused session takes no messages until it is resumed."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("support-42")
        assert run("pause", "support", *url).stdout == "paused: support-42\n"
        assert session.info().status == "paused"
        refused = run("send", "support-42", "x", *url)
        assert (refused.returncode, refused.stderr.startswith("error session 'support-42' is paused")) == (1, True)
        assert run("resume", "support-42", *url).stdout == "resumed: support-42\n"
        assert json.loads(run("pause", "support-42", "--json", *url).stdout) == {
            "id": "support-42", "status": "paused", "rev": 3
        }  # fmt: skip
        assert json.loads(run("resume", "support-42", "--json", *url).stdout)["status"] == "active"
        session.complete()
        ended = run("resume", "support-42", *url)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)


def test_request_cancel_names_the_open_sessions(own_server: Server) -> None:
    """The session and its open descendants are requested to stop, and no session ends."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        root = cache.create("trip-7")
        child = root.spawn("researcher").session_key
        ended = root.spawn("researcher").session_key
        assert child is not None
        assert ended is not None
        cache.session(ended).complete()
        done = run("request-cancel", "trip-7", "--reason", "found", *url)
        assert done.stdout == "requested to stop: trip-7 and 1 descendant\n"
        assert cache.session(child).is_cancel_requested()
        found = json.loads(run("request-cancel", "trip-7", "--json", *url).stdout)
        assert found == {"requested": ["trip-7", child]}
        assert root.info().status == "active"


def test_retry_gives_a_failed_run_to_a_worker_again(own_server: Server) -> None:
    """A run that failed can be claimed after the retry, and a run that completed is refused."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("trip-7").spawn("researcher", label="bags")
        first = cache.claim("researcher")
        assert first is not None
        first.fail(reason="no network")
        done = run("retry", "--label", "bags", *url)
        assert done.stdout == f"retried: {first.id} waits for a worker of researcher\n"
        again = cache.claim("researcher")
        assert again is not None
        assert again.id == first.id
        again.complete()
        assert run("retry", first.id, *url).returncode == 1
        nothing = run("retry", "trip-7", *url)
        assert (nothing.returncode, nothing.stderr.count("\n")) == (1, 1)
        assert "the session has none" in nothing.stderr


def test_retry_of_a_failed_turn_names_the_agent_that_answers(own_server: Server) -> None:
    """A turn waits for the agent in `answered_by`, and a pause keeps its reason."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("support-42", answered_by="concierge")
        session.send("Where is my bag?")
        turn = cache.claim("concierge", wait=5)
        assert turn is not None
        turn._give_back("given_up", problem="no answer")
        assert session.info().work == "failed"
        assert run("retry", "support-42", *url).stdout == "retried: support-42 waits for a worker of concierge\n"
        assert session.info().work == "queued"
        assert run("pause", "support-42", "--reason", "waits for mia", *url).returncode == 0
        assert session.info().reason == "waits for mia"


def test_delete_removes_the_session_with_its_descendants(own_server: Server) -> None:
    """A script gives --yes and a whole ID, and a session that does not exist makes the exit code 1."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        child = cache.create("trip-7").spawn("researcher").session_key
        refused = run("delete", "trip-7", *url)
        assert (refused.returncode, "standard input is not a terminal: give --yes" in refused.stderr) == (2, True)
        short = run("delete", "trip", "--yes", *url)
        assert short.stderr == "error delete: --yes needs a whole ID, and 'trip' is short for 'trip-7'\n"
        assert short.returncode == 2
        assert cache.get("trip-7") is not None
        done = run("delete", "trip-7", "--yes", "--json", *url)
        assert json.loads(done.stdout) == {"deleted": ["trip-7", child]}
        assert cache.get("trip-7") is None
        again = run("delete", "trip-7", "--yes", *url)
        assert (again.returncode, again.stdout) == (1, "")
        assert "session 'trip-7' does not exist" in again.stderr
        cache.create("trip-8").spawn("researcher", label="bags")
        assert run("delete", "--label", "bags", "--yes", *url).stdout.endswith(" and 0 descendants\n")
        assert cache.get("trip-8") is not None
        cache.session("trip-8").spawn("researcher", label="hotel")
        short_tree = run("delete", "trip", "--label", "hotel", "--yes", *url)
        assert short_tree.stderr == "error delete: --yes needs a whole ID, and 'trip' is short\n"
        assert len(cache.session("trip-8").children()) == 2  # the deleted one is remembered
        assert run("delete", "trip-8", "--label", "hotel", "--yes", *url).returncode == 0


def test_terminal_is_asked_before_a_deletion(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question names the whole ID, and only a yes deletes the session."""

    class Terminal:
        stdin = type("Typed", (), {"isatty": lambda self: True})()

    monkeypatch.setattr(control, "sys", Terminal)

    def delete(typed: str) -> Result:
        return CliRunner().invoke(app, ["delete", "trip", "--url", own_server.url], input=typed)

    with SessionCache.from_url(own_server.url) as cache:
        cache.create("trip-7").append({"role": "user", "content": "x"})
        no = delete("n\n")
        assert (no.exit_code, "deleted: " in no.stdout) == (1, False)
        assert "Delete trip-7 and 0 descendants (active, 1 message) from namespace sessions" in no.stderr
        assert cache.get("trip-7") is not None
        yes = delete("y\n")
        assert (yes.exit_code, yes.stdout.endswith("deleted: trip-7 and 0 descendants\n")) == (0, True)
        assert cache.get("trip-7") is None


@pytest.mark.parametrize("command", ["delete", "cancel", "request-cancel"])
def test_descendants_that_cannot_be_listed_stop_no_order(own_server: Server, command: str) -> None:
    """An order for a tree with a damaged child is carried out, and says that the descendants are not counted."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        root = cache.create("trip-7")
        child = root.spawn("researcher").session_key
        assert child is not None
        own_server.client.hset(cache.session(child)._keys.session, "tags", "garbage")
        with pytest.raises(SessionsError):
            root.children(recursive=True)
        done = run(command, "trip-7", *(["--yes"] if command == "delete" else []), *url)
        assert (done.returncode, done.stdout.endswith(": trip-7 and its descendants\n")) == (0, True), done
        assert "the descendants cannot be listed: " in done.stderr
        if command == "delete":
            assert cache.get("trip-7") is None
        else:
            assert root.info().status == ("cancelled" if command == "cancel" else "active")
            assert root.is_cancel_requested()


def test_release_by_force_takes_no_lease_of_a_later_holder(
    own_server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lease that changes its holder while the command runs stays with the new holder."""
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("a")
        first = session.lease(ttl=60, owner="worker-7")
        first.acquire()
        read = Lease.info
        later: list[Lease[Session]] = []

        def info(self: Lease[Session]) -> LeaseInfo | None:
            found = read(self)
            if not later:
                first.release()
                later.append(cache.session("a").lease(ttl=60, owner="worker-8"))
                later[0].acquire()
            return found

        monkeypatch.setattr(Lease, "info", info)
        done = CliRunner().invoke(app, ["lease", "release", "a", "--url", own_server.url])
        assert isinstance(done.exception, LeaseLost)
        assert "released" not in done.stdout
        later[0].renew()
        later[0].release()
