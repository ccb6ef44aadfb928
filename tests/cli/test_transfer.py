"""Export and import on the command line: pipes and files, one line of result, one line for a mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from redis_sessions import SessionCache
from tests.cli.running import run
from tests.servers import Server


def test_a_tree_goes_from_namespace_to_namespace(own_server: Server, tmp_path: Path) -> None:
    """Through a file, and through a pipe."""
    url, file = own_server.url, tmp_path / "root.jsonl"
    with SessionCache.from_url(url) as cache:
        root = cache.create("root")
        root.append({"role": "user", "content": "hé"})
        root.spawn("a").raise_if_refused()
        done = run("export", "root", "--url", url, "--out", str(file))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "exported: root, 2 sessions, 1 messages\n")
        assert (
            run("export", "root", "--alone", "--url", url).stdout.splitlines()[-1].startswith('{"end":{"sessions":1,')
        )
        into = run("import", str(file), "--url", url, "--namespace", "b")
        assert (into.returncode, into.stdout) == (0, "sessions: 2 imported; 1 messages\n")
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
        again = run("import", str(file), "--url", url, "--existing", "skip")
        assert again.stdout == "sessions: 2 skipped; 0 messages\n"
        root.append({"role": "user", "content": "later"})
        again = run("import", str(file), "--url", url, "--existing", "replace")
        assert again.stdout == "sessions: 2 replaced; 1 messages\n"
        assert [m.content for m in cache.open("root").history()] == ["hé"]


def test_mistakes_get_one_line(own_server: Server, tmp_path: Path) -> None:
    """And an export that failed leaves the file that was there."""
    url, file, empty = own_server.url, tmp_path / "a.jsonl", tmp_path / "empty.jsonl"
    with SessionCache.from_url(url) as cache:
        cache.create("a")
        assert run("export", "a", "--url", url, "--out", str(file)).returncode == 0
    good = file.read_bytes()
    empty.touch()
    (tmp_path / "cut.jsonl").write_bytes(good[:-30])
    (tmp_path / "changed.jsonl").write_bytes(good.replace(b'"active"', b'"paused"'))
    for told, arguments in (
        ("does not exist", ("export", "none", "--out", str(file))),
        ("No such file", ("export", "a", "--out", str(tmp_path / "none" / "x"))),
        ("Is a directory", ("export", "a", "--out", str(tmp_path))),
        ("may not contain", ("export", "a b")),
        ("No such file", ("import", str(tmp_path / "none.jsonl"))),
        ("Is a directory", ("import", str(tmp_path))),
        ("line 1: there is nothing", ("import", str(empty))),
        ("line 3: is no JSON", ("import", str(tmp_path / "cut.jsonl"))),
        ("line 3: the checksum", ("import", str(tmp_path / "changed.jsonl"))),
        ("'merge' is none of", ("import", str(file), "--existing", "merge")),
        ("in namespace 'sessions' already", ("import", str(file))),
    ):
        done = run(*arguments, "--url", url)
        assert (done.returncode, told in done.stderr, done.stderr.count("\n")) == (2, True, 1), (arguments, done.stderr)
    assert file.read_bytes() == good
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "changed.jsonl", "cut.jsonl", "empty.jsonl"]
