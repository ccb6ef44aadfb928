"""Tests that the README and the pages of `docs` are true: their code runs, and what they name exists.

The info string of a fence says how its code is run:

- `python`: alone, in a fresh namespace.
- `python title="continued"`: in the namespace of the Python block above it on the same page.
- `sh`: line by line, if a line begins with `redis-sessions`. A server has the data of `seed`. Each command must exit with 0.
- `sh title="runs until stopped"`: as `sh`. A command that still runs after 2 s is stopped, and counts as a success.
- Any other language: not at all.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from redis_sessions import AsyncSessionCache, CheckpointWrite, SessionCache, SessionsError
from redis_sessions.cli.doctor_acl import acl_rules
from tests.support.servers import Server, await_true, binaries

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM_PAGES = [page for page in PAGES if page.parent.name != "integrations"]
"""The pages whose Python code needs no framework. `tests/integrations/test_guides.py` runs that of the others."""
OPERATIONS = ROOT / "docs" / "guides" / "operations.md"
GUARANTEES = ROOT / "docs" / "guides" / "guarantees.md"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
GUIDES = [README, ROOT / "docs" / "index.md", ROOT / "docs" / "quickstart.md", TROUBLESHOOTING]
GUIDES += sorted((ROOT / "docs" / "guides").glob("*.md"))
SHELL = ["bash", "-euo", "pipefail", "-c"]
FENCE = re.compile(r"^( *)```(\w+)(?: title=\"([^\"]*)\")?\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """One fenced code block."""

    page: Path
    line: int
    language: str
    title: str
    code: str

    @property
    def name(self) -> str:
        """The page and the line on which the code begins."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, language: str) -> list[Block]:
    """Return the blocks of one language on a page."""
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        indent, name, title, code = match.groups()
        line = text.count("\n", 0, match.start()) + 2
        code = "".join(part.removeprefix(indent) for part in code.splitlines(keepends=True))
        found.append(Block(page, line, name, title or "", code))
    return [block for block in found if block.language == language]


def python_programs(pages: Iterable[Path]) -> Iterator[list[Block]]:
    """Yield each Python block with the blocks that continue it."""
    for page in pages:
        program: list[Block] = []
        for block in blocks(page, "python"):
            if block.title != "continued" and program:
                yield program
                program = []
            program.append(block)
        if program:
            yield program


def shell_blocks() -> list[Block]:
    """Return the shell blocks that call `redis-sessions`."""
    return [block for page in PAGES for block in blocks(page, "sh") if "redis-sessions " in block.code]


@pytest.mark.parametrize("program", list(python_programs(PROGRAM_PAGES)), ids=lambda program: program[0].name)
def test_python_block_runs(program: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block runs as it stands, alone or behind the blocks that it continues."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    assert program[0].title != "continued", f"{program[0].name}: there is no block above that it could continue"
    try:
        for block in program:
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(block.page), "exec", dont_inherit=True), names)
    finally:
        for value in names.values():
            if isinstance(value, SessionCache) and not isinstance(value, AsyncSessionCache):
                value.close()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the environment of the shell blocks: a server with the data of `seed`, and `redis-sessions` on PATH."""
    folder = tmp_path_factory.mktemp("shell")
    command = folder / "redis-sessions"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m redis_sessions.cli.main "$@"\n')
    command.chmod(0o755)
    server = Server(binaries()["valkey-9"], "--appendonly", "yes")
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
        "REDIS_SESSIONS_URL": server.url,
        "REDIS_SESSIONS_NAMESPACE": "acme",
    }
    yield environment
    server.stop()


def seed(url: str, folder: Path) -> None:
    """Store what the shell blocks name: sessions `support-42` and `trip-7`, a child, a document, two files."""
    with SessionCache.from_url(url, namespace="acme") as cache:
        for id in ("support-42", "trip-7"):
            cache.delete(id)
        session = cache.create(
            "support-42", user_id="mia", agent_id="concierge", tags=["vip"], system_prompt="Be brief."
        )
        session.append({"role": "user", "content": "Where is my bag?"}, {"role": "assistant", "content": "On belt 4."})
        root = cache.create("trip-7", user_id="mia", agent_id="concierge")
        root.spawn("researcher", task="Find the bag.", label="bags").raise_if_refused()
        cache.documents("trips/7").put("plan", "# Plan")
        cache.documents("trips/7").put_json("findings", {"belt": 4})
        lines = list(session.export())
    (folder / "support-42.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "plan.md").write_text("# Plan\n")
    message = '{"role": "user", "content": "Hello"}'
    (folder / "conversations.jsonl").write_text(f'{{"id": "c1", "user_id": "mia", "messages": [{message}]}}\n')


@pytest.mark.parametrize("block", shell_blocks(), ids=lambda block: block.name)
def test_shell_block_runs(block: Block, shell: dict[str, str], tmp_path: Path) -> None:
    """Every `redis-sessions` command of a shell block exits with 0, and so does each command that makes a file for one."""
    seed(shell["REDIS_SESSIONS_URL"], tmp_path)
    for line in block.code.replace("\\\n", " ").splitlines():
        if not line.startswith(("redis-sessions ", "head -c 32 /dev/urandom")):
            continue
        line = line.replace("redis://localhost:6379/0", shell["REDIS_SESSIONS_URL"])
        process = subprocess.Popen(
            [*SHELL, line], env=shell, cwd=tmp_path, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        is_endless = block.title == "runs until stopped"
        try:
            output, _ = process.communicate(timeout=2 if is_endless else 60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            assert is_endless, f"{block.name}: {line}: it did not end"
            continue
        assert process.returncode == 0, f"{block.name}: {line}: exit {process.returncode}\n{output}"


def test_links_of_readme_lead_to_files() -> None:
    """Every relative link of the README names a file or a folder of the repository."""
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README.read_text()):
        assert (ROOT / link).exists(), link


def test_site_builds_without_warnings(tmp_path: Path) -> None:
    """The documentation site builds in strict mode, so every link and anchor leads somewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_page_is_plain_english(page: Path) -> None:
    """A page has short lines and hardly any semicolons."""
    text = page.read_text()
    prose = re.sub(r"`[^`\n]*`", "X", FENCE.sub("", text))
    assert prose.count(";") <= max(1, 2 * len(prose.split()) / 1000)
    long = [line for line in FENCE.sub("", text).splitlines() if len(line) > 130 and not line.startswith("|")]
    assert long == []


def test_every_cli_command_is_described() -> None:
    """The operations guide names every command of `redis-sessions`."""
    from redis_sessions.cli.commands import app

    text = OPERATIONS.read_text()
    groups = [group.name for group in app.registered_groups]
    commands = [info.name or info.callback.__name__ for info in app.registered_commands if info.callback is not None]
    for name in [*groups, *commands]:
        assert f"`{name}" in text, name


def test_promises_name_tests_that_exist() -> None:
    """Every test that the guarantees page names exists."""
    promised = re.findall(r"`(tests/[\w/.]+)`", GUARANTEES.read_text())
    assert len(promised) >= 20
    for path in promised:
        assert (ROOT / path).exists(), path


def test_every_error_has_a_remedy() -> None:
    """The troubleshooting page has an entry for every public error."""
    import redis_sessions

    text = TROUBLESHOOTING.read_text()
    for name in redis_sessions.__all__:
        value = getattr(redis_sessions, name)
        if isinstance(value, type) and issubclass(value, SessionsError) and value is not SessionsError:
            assert re.search(rf"^#+ .*\b{name}\b", text, re.MULTILINE), name


def test_troubleshooting_quotes_real_errors() -> None:
    """Every error text in a heading of the troubleshooting page occurs in the package or a script."""
    paths = [*(ROOT / "redis_sessions").rglob("*.py"), *(ROOT / "lua").rglob("*.lua")]
    sources = "".join(path.read_text() for path in paths)
    sources = re.sub(r'"\s*\n\s*f?"', "", sources)
    headings = re.findall(r"^### (.*)$", TROUBLESHOOTING.read_text(), re.MULTILINE)
    quotes = [quote for heading in headings for quote in re.findall(r'"([^"]+)"', heading)]
    assert len(quotes) >= 20
    for quote in quotes:
        for part in re.split(r"\.\.\.|\d[\d.]*", quote):
            assert part.strip() in sources, quote


def test_security_guide_has_the_acl_line() -> None:
    """The security guide shows the ACL line that `doctor --acl-line` prints. The line itself is tested in tests/attacks."""
    found = re.findall(r"^ACL SETUSER .*$", (ROOT / "docs" / "guides" / "security.md").read_text(), re.MULTILINE)
    assert found == [" ".join(["ACL SETUSER acme reset on >PASSWORD", *acl_rules("acme")])]


def call_every_operation(cache: SessionCache) -> None:
    """Call each operation of a cache, so that each script and command is sent once."""
    message = {"role": "user", "content": "x"}
    session = cache.create("a", max_messages=4, max_turns=100)
    session.append(*[message] * 9)
    session.pin(9)
    session.unpin(9)
    session.state.add("n")
    session.state.all()
    session.state.clear()
    session.patch(name="x", remove_metadata=("y",))
    session.context()
    session.history()
    session.last_turn()
    session.info()
    session.touch(9999)
    with session.lease() as lease:
        thread = threading.Thread(target=lambda: cache.session("a").lease(5, 5).acquire())
        thread.start()
        while not getattr(lease.info(), "waiters", None):
            time.sleep(0.01)
        lease.renew()
    thread.join()
    session.lease().release(force=True)
    session.send("x")
    session.abandon_calls()
    session.append(message, message, state={"k": 1}, if_state={"k": None}, remove_state=["n"])
    session.replace(session.info().last_seq, message)
    session.replace(message, after_seq=session.info().last_seq - 1)
    assert session.fork(batch_id="branch").history()
    session.pop(group=True)
    cache.create().import_messages([message])
    session.clear()
    loop = session.start_loop("l")
    loop.record_usage("s", {"total": 1})
    loop.add_event(1)
    assert loop.events().items
    session.append({"role": "user", "content": "x"}, {"role": "user", "content": "y"})
    session.compact(session.info().last_seq - 1, "sum")
    waiting = threading.Timer(0.2, session.spawn, ["a"], {"context": "fork"})
    waiting.start()
    run = cache.claim("a", wait=10)
    assert run is not None
    run.spawn("b").raise_if_refused()
    run.complete("x")
    session.join("any", timeout=5)
    cache.recover()
    documents = cache.documents("notes")
    documents.put("n", "x")
    documents.put_json("n", 1)
    assert (documents.get("n"), documents.get_json("n"), documents.list().items) == ("x", 1, ["n"])
    assert documents.delete("n")
    documents.put_many({"t": b"x"}, ttl=60)
    assert documents.get_many(["t"], touch=True)["t"].value == b"x"
    assert documents.delete_many(["t"]) == 1
    checkpoints = cache.checkpoints("thread", ttl=60)
    versions, big = {"c": "1", "d": "1"}, {"c": b"x" * 1_000_000, "d": b"x" * 1_000_000}
    checkpoints.put("1", state=b"s", versions=versions, blobs=big, label="run")
    assert checkpoints.write("1", [CheckpointWrite("task", 0, "c", b"x")]) == 1
    assert checkpoints.get() == checkpoints.page().items[0]
    assert (cache.threads(labels=["run"]).items, checkpoints.drop(keep=0)) == (["thread"], 1)
    assert checkpoints.delete() is False
    cache.documents("other").put("n", "x")
    assert cache.documents("other").delete("n")
    assert cache.categories().items == ["notes"]
    assert next(iter(session.watch())).kind in ("edit", "gap", "message")
    session.publish("x")
    cache.create("listed", user_id="mia", tags=["t"])
    assert [one.id for one in cache.list(user="mia").items] == ["listed"]
    assert cache.count(user="mia") == 1
    await_true(lambda: cache.leases().items == [])
    assert cache.prune(max_age=3600, cooldown=1) == 0
    cache._context.indexer.flush()
    assert cache._context.indexer._pending == {}
    cache.conversation("mia").append({"role": "user", "content": "x"})
    cache.by_label("x", root="a")
    session.request_cancel()
    session.pause()
    session.complete()
    cache.import_sessions(list(session.export()), on_conflict="replace")
    assert cache.delete("a")
