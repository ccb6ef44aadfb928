"""Export and import on the command line, through files and pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from redis_sessions import SessionCache
from tests.support.command_line import ENVIRONMENT, run
from tests.support.servers import Server


def test_exported_tree_is_imported_into_another_namespace(own_server: Server, tmp_path: Path) -> None:
    """A tree goes through a file or a pipe, and --on-conflict decides if its sessions exist."""
    url, file = own_server.url, tmp_path / "root.jsonl"
    with SessionCache.from_url(url) as cache:
        root = cache.create("root")
        root.append({"role": "user", "content": "hé"})
        root.spawn("a").raise_if_refused()
        done = run("export", "root", "--url", url, "--out", str(file))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "exported: root, 2 sessions, 1 message\n")
        assert (
            run("export", "root", "--no-tree", "--url", url).stdout.splitlines()[-1].startswith('{"end":{"sessions":1,')
        )
        into = run("import", str(file), "--url", url, "--namespace", "b")
        assert (into.returncode, into.stdout) == (0, "sessions: 2 imported; 1 message\n")
        command = [
            sys.executable,
            "-m",
            "redis_sessions.cli.main",
            "import",
            "--url",
            url,
            "--namespace",
            "c",
            "--json",
        ]
        piped = subprocess.run(command, input=file.read_bytes(), capture_output=True, check=True)
        assert json.loads(piped.stdout) == {"imported": 2, "skipped": 0, "replaced": 0, "messages": 1}
        again = run("import", str(file), "--url", url, "--on-conflict", "skip")
        assert again.stdout == "sessions: 2 skipped; 0 messages\n"
        root.append({"role": "user", "content": "later"})
        again = run("import", str(file), "--url", url, "--on-conflict", "replace")
        assert again.stdout == "sessions: 2 replaced; 1 message\n"
        assert [m.content for m in cache.open("root").history()] == ["hé"]


def test_wrong_input_exits_with_2_and_keeps_the_exported_file(own_server: Server, tmp_path: Path) -> None:
    """One line on standard error says what is wrong, and a failed export does not replace a file."""
    url, file, empty = own_server.url, tmp_path / "a.jsonl", tmp_path / "empty.jsonl"
    with SessionCache.from_url(url) as cache:
        cache.create("a")
        assert run("export", "a", "--url", url, "--out", str(file)).returncode == 0
    good = file.read_bytes()
    empty.touch()
    (tmp_path / "cut.jsonl").write_bytes(good[:-30])
    (tmp_path / "changed.jsonl").write_bytes(good.replace(b'"active"', b'"paused"'))
    for told, arguments in (
        ("No such file", ("export", "a", "--out", str(tmp_path / "none" / "x"))),
        ("Is a directory", ("export", "a", "--out", str(tmp_path))),
        ("must not contain", ("export", "a b")),
        ("No such file", ("import", str(tmp_path / "none.jsonl"))),
        ("Is a directory", ("import", str(tmp_path))),
        ("line 1 is missing", ("import", str(empty))),
        ("line 3 is not JSON", ("import", str(tmp_path / "cut.jsonl"))),
        ("line 3 has another checksum", ("import", str(tmp_path / "changed.jsonl"))),
        ("got 'merge'", ("import", str(file), "--on-conflict", "merge")),
        ("exists in namespace 'sessions'", ("import", str(file))),
    ):
        done = run(*arguments, "--url", url)
        assert (done.returncode, told in done.stderr, done.stderr.count("\n")) == (2, True, 1), (arguments, done.stderr)
    missing = run("export", "none", "--out", str(file), "--url", url)
    assert (missing.returncode, "does not exist" in missing.stderr) == (1, True)
    assert file.read_bytes() == good
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "changed.jsonl", "cut.jsonl", "empty.jsonl"]


def test_export_to_a_pipe_whose_reader_ended_exits_with_141(own_server: Server) -> None:
    """`--out /dev/stdout` is like standard output: a reader such as head that has ended does not make the input wrong."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a").append(*[{"role": "user", "content": "x" * 1000}] * 500)
    reader, writer = os.pipe()
    os.close(reader)
    command = [
        sys.executable,
        "-m",
        "redis_sessions.cli.main",
        "export",
        "a",
        "--out",
        "/dev/stdout",
        "--url",
        own_server.url,
    ]
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=120, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
