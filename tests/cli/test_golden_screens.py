"""Every command on a terminal of 80 columns, with IDs of 62 characters and hostile names, in UTF-8 and in ASCII."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from redis_sessions import Message, SessionCache
from redis_sessions._core.commands import workers
from tests.cli.screens import check_golden, same_every_time, screen
from tests.cli.test_workers import add_worker
from tests.support.servers import Server, await_true, binaries

NAMESPACE = "acme"
OWNER = "ip-10-0-12-33.eu-central-1.compute.internal:48213"
ROOT = "order:eu-west-1:2026-11-26:5b1c2d3e4f5061728394a5b6c7d8e9f0a1b"
MAIL = "order:eu-west-1:2026-11-26:00c2d3e4f5061728394a5b6c7d8e9f0a1b2"
OTHER = "order:eu-west-1:2026-11-26:77c2d3e4f5061728394a5b6c7d8e9f0a1b3"
GONE = "order:eu-west-1:2026-11-26:ffc2d3e4f5061728394a5b6c7d8e9f0a1b4"
LABEL = "bags-that-were-lost-between-lisbon-and-tokyo-in-november-2026"
HOSTILE = "\x1b[2J\u202egnp [bold]Zürich\x07"


CHANGING = {"ls-help", "demo", "wrong-option", "version", "doctor", "top-once"}
"""Screens with the version of a tool, or figures of a server: their width is checked, and what they show is not."""


class Place(NamedTuple):
    """A server with sessions, and the texts that are new in each run."""

    url: str
    known: dict[str, str]
    children: list[str]


@pytest.fixture
def place() -> Iterator[Place]:
    """Yield a server whose sessions have long IDs, labels, names and holders."""
    server = Server(binaries()["valkey-9"])
    try:
        with SessionCache.from_url(server.url, namespace=NAMESPACE, ttl="1d") as cache:
            root = cache.create(
                ROOT, user_id="customer-from-far-away", agent_id="support-assistant", name="Lost luggage"
            )
            root.append(Message("user", "Where is my bag? " * 6), Message("user", "line\nuser 99 faked"))
            task = "Find the bag of a traveller in every airport between Lisbon and Tokyo"
            children = [root.spawn("researcher", task=task, label=LABEL).raise_if_refused().session_key or ""]
            run = cache.claim("researcher", owner=OWNER, ttl=600, wait=30)
            assert run is not None
            children.append(run.spawn("translator", task="Translate the letter").raise_if_refused().session_key or "")
            children.append(root.spawn("researcher", task=HOSTILE, max_attempts=1).raise_if_refused().session_key or "")
            broken = cache.claim("researcher", owner="worker-7", ttl=600, wait=30)
            assert broken is not None
            broken.fail(reason="ValueError: the price list has no currency")
            mail = cache.create(
                MAIL,
                user_id=HOSTILE.replace(" ", "").replace("\x1b", "").replace("\x07", "").replace("\u202e", ""),
                name=HOSTILE,
            )
            mail.append({"role": "assistant", "content": HOSTILE})
            cache.create(OTHER, user_id="mia")
            cache.documents("notes").put("summary", "one bag")
            await_true(lambda: len(cache.leases().items) == 1)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("platform.node", lambda: "ip-10-0-12-33")
                patch.setattr(workers, "os", SimpleNamespace(getpid=lambda: 48213))  # connections ask `os`, too
                add_worker(cache, "0123456789ab", OWNER, 0, run.id)
                add_worker(cache, "ba9876543210", "worker-7", 180)
            known: dict[str, str] = {}
            for number, id in enumerate(children, 1):
                uuid = id.rpartition(":")[2]
                stable = f"00000000-0000-8000-8000-{number:012}"
                known |= {uuid: stable, uuid[-8:]: stable[-8:]}
            yield Place(server.url, known, children)
    finally:
        server.stop()


def steps(place: Place, folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name of each screen, and its command."""
    file = str(folder / "export.jsonl")
    first, _, failed = place.children
    yield from (
        ("ls", ("ls",)),
        ("ls-wide", ("ls", "--wide")),
        ("ls-nothing", ("ls", "--user", "unknown-with-a-long-name")),
        ("ls-help", ("ls", "-h")),
        ("show", ("show", ROOT)),
        ("show-hostile", ("show", MAIL)),
        ("show-failed", ("show", failed)),
        ("show-missing", ("show", GONE)),
        ("tree", ("tree", ROOT)),
        ("tree-wide", ("tree", ROOT, "--wide")),
        ("lease-ls", ("lease", "ls")),
        ("lease-ls-wide", ("lease", "ls", "--wide")),
        ("lease-show", ("lease", "show", first)),
        ("lease-show-free", ("lease", "show", ROOT)),
        ("workers", ("workers",)),
        ("workers-wide", ("workers", "--wide")),
        ("watch-once", ("watch", ROOT, "--once")),
        ("docs-ls", ("docs", "ls", "notes")),
        ("docs-get", ("docs", "get", "notes", "summary")),
        ("docs-get-missing", ("docs", "get", "notes", "none")),
        ("docs-put", ("docs", "put", "notes", "none", "/dev/null")),
        ("docs-rm", ("docs", "rm", "notes", "summary")),
        ("doctor-acl-line", ("doctor", "--acl-line")),
        ("doctor-repair", ("doctor", "--repair", "--dry-run")),
        ("doctor-reindex", ("doctor", "--reindex")),
        ("send", ("send", ROOT, "Is it there?")),
        ("send-waits", ("send", ROOT, "Is it there?", "--wait", "1s")),
        ("append", ("append", ROOT, "It is on belt 4.")),
        ("pause", ("pause", OTHER, "--reason", "waits for mia")),
        ("append-refused", ("append", OTHER, "text")),
        ("resume", ("resume", OTHER)),
        ("resume-refused", ("resume", failed)),
        ("request-cancel", ("request-cancel", OTHER)),
        ("retry", ("retry", failed)),
        ("spawn", ("spawn", ROOT, "researcher", "--task", "Ask the airline")),
        ("lease-release", ("lease", "release", first)),
        ("lease-release-free", ("lease", "release", first)),
        ("recover", ("recover",)),
        ("prune", ("prune", "--max-sessions", "1000", "--yes")),
        ("forget", ("forget", "leo", "--yes")),
        ("export", ("export", OTHER, "--out", file)),
        ("import", ("import", file, "--on-conflict", "skip")),
        ("import-refused", ("import", file)),
        ("delete", ("delete", OTHER, "--yes")),
        ("delete-missing", ("delete", OTHER, "--yes")),
        ("cancel", ("cancel", ROOT, "--reason", "found")),
        ("codec-train", ("codec", "train", "--out", f"{folder}/dictionary", "--namespace", "empty")),
        ("codec-reencrypt", ("codec", "reencrypt")),
        ("scripts-load", ("scripts", "load")),
        ("replay", ("replay", "/dev/null")),
        ("worker", ("worker", "no.such_module:answer", "--agent", "researcher")),
        ("mcp", ("mcp", "--http", "0.0.0.0:80")),
        ("demo", ("demo", "--workers", "1")),
        ("wrong-option", ("ls", "--no-such-option")),
        ("version", ("--version",)),
        ("doctor", ("doctor",)),
        ("top-once", ("top", "--once")),
    )  # fmt: skip


@pytest.mark.parametrize("form", ["utf-8", "ascii"])
def test_screens_are_as_they_were(place: Place, tmp_path: Path, form: str) -> None:
    """Each screen is the one in its file: no line is wider than 80, no ID of 62 characters is folded, and no label is cut."""
    environment = {"LANG": "C"} if form == "ascii" else {}
    wrong = []
    for name, arguments in steps(place, tmp_path):
        given = list(arguments)
        if name in ("replay", "demo", "wrong-option", "version", "ls-help"):
            pass
        elif name in ("codec-train", "scripts-load"):
            given += ["--url", place.url]
        else:
            given += ["--url", place.url, "--namespace", NAMESPACE]
        text = screen(tuple(given), environment=environment)
        check_width(name, text)
        check_ids(name, text, [ROOT, MAIL, OTHER, GONE, *place.children])
        if form == "ascii":
            assert text.isascii(), (name, text)
        if name in CHANGING:
            continue
        known = place.known | {str(tmp_path): "/tmp/x", str(Path.cwd()): "/here"}
        stable = same_every_time(text, known)
        wrong.append(check_golden(name if form == "utf-8" else f"{name}.ascii", stable))
    assert not any(wrong), "\n".join(one for one in wrong if one)


def check_width(name: str, text: str) -> None:
    """Refuse a line that is wider than the terminal, unless --wide asks for it."""
    if "wide" not in name and name not in ("doctor-acl-line", "docs-get"):
        wide = [line for line in text.split("\n") if len(line) > 80]
        assert not wide, (name, wide)


def check_ids(name: str, text: str, ids: list[str]) -> None:
    """Refuse an ID that is folded over two lines, and a label that is cut."""
    joined = re.sub(r"[│|]?\s*\n[│|├└─ ]*", "", text)
    for id in ids:
        assert id not in joined or id in text, (name, id, text)
    if "bags-that" in text:
        assert LABEL in text, (name, text)
