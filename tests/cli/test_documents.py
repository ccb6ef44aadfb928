"""Documents on the command line: list, read, store and delete them."""

from __future__ import annotations

import json
from pathlib import Path

from redis_sessions import SessionCache
from tests.support.command_line import run
from tests.support.servers import Server


def test_text_document_is_stored_printed_listed_and_deleted(own_server: Server, tmp_path: Path) -> None:
    """A text comes from a file or standard input, and is printed byte for byte."""
    url = ("--url", own_server.url)
    text = "# Plan [bold]\r\n\n:smile: é\n".encode()
    put = run("docs", "put", "notes/2026", "plan", *url, feed=text)
    assert (put.returncode, put.stdout, put.stderr) == (0, "", "")
    assert run("docs", "get", "notes/2026", "plan", *url).stdout == text.decode()
    (tmp_path / "f").write_text("from a file")
    assert run("docs", "put", "notes/2026", "a :smile:", str(tmp_path / "f"), *url).returncode == 0
    assert run("docs", "ls", *url).stdout == "notes/2026\n"
    assert run("docs", "ls", "notes/2026", *url).stdout == "a :smile:\nplan\n"
    page = run("docs", "ls", "notes/2026", "--limit", "1", *url)
    assert (page.stdout, page.stderr) == ("a :smile:\n", "more: --cursor 'a :smile:'\n")
    rest = run("docs", "ls", "notes/2026", "--cursor", "a :smile:", "--json", *url)
    assert json.loads(rest.stdout) == {"items": ["plan"], "cursor": None}
    assert run("docs", "rm", "notes/2026", "plan", *url).returncode == 0
    assert run("docs", "ls", "notes/2026", *url).stdout == "a :smile:\n"


def test_json_document_is_checked_and_stored_as_json(own_server: Server) -> None:
    """If a document has a text and JSON, the text is printed first and deleted last."""
    url = ("--url", own_server.url)
    feed = b'{"b": [1, "\xc3\xa9"]}\n'
    assert run("docs", "put", "notes", "n", "-", "--json", *url, feed=feed).returncode == 0
    assert json.loads(run("docs", "get", "notes", "n", *url).stdout) == {"b": [1, "é"]}
    with SessionCache.from_url(own_server.url) as cache:
        assert cache.documents("notes").get_json("n") == {"b": [1, "é"]}
        cache.documents("notes").put("n", "text")
    assert run("docs", "get", "notes", "n", *url).stdout == "text"
    assert json.loads(run("docs", "get", "notes", "n", "--json", *url).stdout) == {"b": [1, "é"]}
    assert run("docs", "rm", "notes", "n", *url).returncode == 0
    missing = run("docs", "get", "notes", "n", "--json", *url)
    assert (missing.returncode, "the document has a text" in missing.stderr) == (1, True)
    assert run("docs", "get", "notes", "n", *url).stdout == "text"
    assert run("docs", "put", "notes", "none", "--json", *url, feed=b"null").returncode == 0
    assert run("docs", "get", "notes", "none", *url).stdout == "null\n"


def test_missing_document_exits_with_1(own_server: Server) -> None:
    """One line on standard error names the document and the category."""
    for command in ("get", "rm"):
        done = run("docs", command, "notes", "a [b]", "--url", own_server.url)
        assert (done.returncode, done.stdout, done.stderr) == (
            1,
            "",
            f"no document 'a [b]' in 'notes' in namespace sessions on {own_server.url}\n",
        )
    listed = run("docs", "ls", "notes", "--url", own_server.url)
    assert (listed.returncode, listed.stdout, listed.stderr) == (
        0,
        "",
        f"no documents in 'notes' in namespace sessions on {own_server.url}\n",
    )


def test_wrong_name_cursor_or_file_exits_with_2(own_server: Server, tmp_path: Path) -> None:
    """One line on standard error says what is wrong, and nothing is stored."""
    url = ("--url", own_server.url)
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "text").write_text("no [json]")
    (tmp_path / "nan").write_text("NaN")
    (tmp_path / "deep").write_text("[" * 100_000)
    (tmp_path / "large").write_text("x" * (1024 * 1024 + 1))
    for expected, arguments in (
        ("'a/../b'", ("ls", "a/../b")),
        ("'/a'", ("get", "/a", "n")),
        ("'a/b'", ("get", "a", "a/b")),
        ("'a..b'", ("rm", "a", "a..b")),
        ("'x/y'", ("ls", "a", "--cursor", "x/y")),
        ("'x//y'", ("ls", "--cursor", "x//y")),
        ("No such file", ("put", "a", "n", str(tmp_path / "none"))),
        ("Is a directory", ("put", "a", "n", str(tmp_path))),
        ("must be UTF-8", ("put", "a", "n", str(tmp_path / "binary"))),
        ("must be JSON", ("put", "a", "n", str(tmp_path / "text"), "--json")),
        ("must be a finite number", ("put", "a", "n", str(tmp_path / "nan"), "--json")),
        ("must be JSON", ("put", "a", "n", str(tmp_path / "deep"), "--json")),
        ("got 1048577", ("put", "a", "n", str(tmp_path / "large"))),
    ):
        done = run("docs", *arguments, *url)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), (arguments, done.stderr)
        assert expected in done.stderr, arguments
    assert own_server.client.keys("*documents*") == []


def test_damaged_document_exits_with_1(own_server: Server) -> None:
    """One line on standard error says that the stored JSON is damaged."""
    own_server.client.hset("sessions:documents:a", "n.json", "{")
    done = run("docs", "get", "a", "n", "--url", own_server.url)
    assert (done.returncode, done.stderr.count("\n"), "damaged" in done.stderr) == (1, 1, True)


def test_bytes_are_printed_and_deleted(own_server: Server) -> None:
    """A document of bytes is listed, printed as it is, and deleted."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.documents("a").put_bytes("n", b"a\nb")
    url = ("--url", own_server.url)
    assert run("docs", "get", "a", "n", *url).stdout == "a\nb"
    assert run("docs", "rm", "a", "n", *url).returncode == 0
    assert run("docs", "get", "a", "n", *url).returncode == 1
