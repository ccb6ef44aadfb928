"""`send` and `append`: messages from a shell, the reply, and input that is refused."""

from __future__ import annotations

import json
import threading

import pytest

from redis_sessions import Message, SessionCache
from tests.support.command_line import run
from tests.support.servers import Server, await_true


def test_send_prints_the_place_of_the_message(own_server: Server) -> None:
    """A message is appended, or waits in the inbox while a worker holds the lease."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("support-42")
        assert run("send", "support-42", "hi", *url).stdout == "sent: support-42, message 1\n"
        sent = json.loads(run("send", "support-42", "-", "--json", *url, feed=b"two\nlines\n").stdout)
        assert (sent["id"], sent["seq"], sent["waiting"], sent["duplicate"]) == ("support-42", 2, 0, False)
        for line in ("sent: support-42, message 3\n", "sent before: support-42, message 3\n"):
            assert run("send", "support-42", "x", "--role", "system", "--batch-id", "b", *url).stdout == line
        assert [(one.role, one.content) for one in session.history()] == [
            ("user", "hi"), ("user", "two\nlines"), ("system", "x")
        ]  # fmt: skip
        with session.lease():
            assert run("send", "support-42", "y", *url).stdout == "sent: support-42, 1 message in the inbox\n"


def test_send_waits_for_the_reply_and_prints_it(own_server: Server) -> None:
    """The reply is the standard output, and a reply that does not come makes the exit code 1."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("support-42")

        def reply(number: int) -> None:
            await_true(lambda: session.info().last_seq == number)
            session.append(Message("assistant", "It is\nhere.\x1b[2J"))

        for number, arguments in ((1, ()), (3, ("--json",))):
            thread = threading.Thread(target=reply, args=(number,))
            thread.start()
            done = run("send", "support-42", "Where?", "--wait", "30", *arguments, *url)
            thread.join()
            assert (done.returncode, done.stderr.splitlines()[0]) == (0, f"sent: support-42, message {number}")
            if arguments:
                found = json.loads(done.stdout)
                assert (found["seq"], found["reply"]["seq"], found["reply"]["role"]) == (3, 4, "assistant")
            else:
                assert done.stdout == "It is\nhere.\\x1b[2J\n"
        late = run("send", "support-42", "Where?", "--wait", "200ms", "--json", *url)
        assert (late.returncode, json.loads(late.stdout)["reply"]) == (1, None)
        assert "no reply above seq 5 within 0.2 s" in late.stderr


def test_append_writes_text_or_payloads(own_server: Server) -> None:
    """A text is an assistant message, and an array of payloads is written as a whole."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("support-42")
        assert run("append", "support-42", "Here.", *url).stdout == "appended: support-42, message 1\n"
        one, two = {"role": "user", "content": "a", "x": [1]}, {"role": "tool", "tool_call_id": "c", "content": "b"}
        done = run("append", "support-42", "--payload", json.dumps(one), "--batch-id", "b", *url)
        assert done.stdout == "appended: support-42, message 2\n"
        done = run("append", "support-42", "--payload", json.dumps(one), "--batch-id", "b", *url)
        assert done.stdout == "appended before: support-42, message 2\n"
        done = run("append", "support-42", "--payload", "-", *url, feed=json.dumps([one, two]).encode())
        assert done.stdout == "appended: support-42, messages 3 to 4\n"
        found = json.loads(run("append", "support-42", "c", "--role", "user", "--json", *url).stdout)
        assert (found["id"], found["first_seq"], found["last_seq"], found["limit"]["state"]) == (
            "support-42",
            5,
            5,
            "ok",
        )
        assert [message.payload for message in session.history()][1:4] == [one, one, two]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("send", "a"), "TEXT: is missing"),
        (("send", "a", ""), "TEXT: must not be empty"),
        (("send", "a", "-"), "TEXT: must not be empty"),
        (("send", "a", "x", "--role", "boss"), "role must be one of system, user, assistant, tool, got 'boss'"),
        (("send", "a", "x", "--wait", "soon"), "--wait: must be a duration"),
        (("append", "a", "x", "--payload", "{}"), "takes TEXT and --role, or --payload, got both"),
        (("append", "a", "--payload", "{"), "--payload: must be JSON"),
        (("append", "a", "--payload", "[]"), "must be a JSON object or an array of objects, got []"),
        (("append", "a", "--payload", "[1]"), "must be a JSON object or an array of objects, got [1]"),
        (("append", "a"), "TEXT: is missing"),
    ],
)
def test_wrong_messages_are_refused(own_server: Server, arguments: tuple[str, ...], text: str) -> None:
    """Nothing is written, the error is one line, and the exit code is 2."""
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("a")
        done = run(*arguments, "--url", own_server.url)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert text in done.stderr
        assert session.info().last_seq == 0


def test_input_that_is_not_utf8_is_refused(own_server: Server) -> None:
    """The error names the byte."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a")
    done = run("send", "a", "-", "--url", own_server.url, feed=b"ok\xff")
    assert (done.returncode, "standard input must be UTF-8: invalid start byte at byte 2" in done.stderr) == (2, True)
    done = run("send", "a", "\udcff", "--url", own_server.url)
    assert (done.returncode, done.stderr) == (2, "error TEXT: must be UTF-8\n")
