"""Dictionaries and keys on the command line: `codec train`, `codec reencrypt`, and the codecs of other commands."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from redis_sessions import SessionCache
from redis_sessions.codecs import AesGcm, KeyRing, Zstd
from tests.support.blob_store import large, named_at, offload
from tests.support.command_line import ENVIRONMENT, launch, run
from tests.support.servers import Server

MODULE = """
from redis_sessions.codecs import EVERYTHING, AesGcm, KeyRing, Offload, Zstd

OLD = [Zstd(), AesGcm(KeyRing({"k1": b"1" * 32}, current="k1"))]
NEW = {"codecs": [Zstd(), AesGcm(KeyRing({"k1": b"1" * 32, "k2": b"2" * 32}, current="k2"))], "encode": EVERYTHING}
WRONG = [AesGcm(KeyRing({"k3": b"3" * 32}, current="k3"))]
NUMBER = 5
FILES = [Zstd(), Offload("file://FOLDER/blobs", above=1024)]
"""


CommandLine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Return a function that runs `redis-sessions` where it can import the module `storage`, with codecs in the environment."""
    (tmp_path / "storage.py").write_text(MODULE.replace("FOLDER", str(tmp_path)))
    monkeypatch.syspath_prepend(str(tmp_path))

    def run_one(*arguments: str, codecs: str = "") -> subprocess.CompletedProcess[str]:
        if not codecs:
            return run(*arguments)
        monkeypatch.setitem(ENVIRONMENT, "REDIS_SESSIONS_CODECS", codecs)
        monkeypatch.setitem(
            ENVIRONMENT, "PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        )
        return launch(*arguments)

    return run_one


def test_keys_are_rotated_on_the_command_line(own_server: Server, command_line: CommandLine) -> None:
    """`codec reencrypt` moves sessions to the current key, and other commands read with the codecs of the environment."""
    url = own_server.url
    with SessionCache.from_url(url, codecs=[Zstd(), AesGcm(KeyRing({"k1": b"1" * 32}, current="k1"))]) as cache:
        cache.create("a").append({"role": "user", "content": "hello there"})
    shown = command_line("show", "a", "--url", url, codecs="storage:OLD")
    assert "hello there" in shown.stdout
    blind = command_line("show", "a", "--url", url)
    assert (blind.returncode != 0, "codec 'a', which this cache does not have" in blind.stderr) == (True, True)
    wrong = command_line("codec", "reencrypt", "--url", url, "--codecs", "storage:WRONG")
    assert (wrong.returncode, "its key 'k1' is not in the ring (k3)" in wrong.stderr) == (1, True)
    done = command_line("codec", "reencrypt", "--url", url, "--codecs", "storage:NEW", "--json")
    assert json.loads(done.stdout) == {"replaced": 1, "checked": 1, "problems": 0}
    again = command_line("codec", "reencrypt", "--url", url, "--codecs", "storage:NEW")
    assert (again.returncode, again.stdout) == (0, "0 values of 1 sessions and categories replaced\n")
    with SessionCache.from_url(url, codecs=[Zstd(), AesGcm(KeyRing({"k2": b"2" * 32}, current="k2"))]) as cache:
        assert [one.content for one in cache.open("a").history()] == ["hello there"]


def test_dictionary_is_trained_from_sessions(own_server: Server, tmp_path: Path, command_line: CommandLine) -> None:
    """`codec train` writes a private file, with which the same messages become smaller."""
    url, file = own_server.url, tmp_path / "sessions.dict.gz"
    with SessionCache.from_url(url) as cache:
        session = cache.create("a", max_messages=None)
        for n in range(500):
            session.append(
                {"role": "assistant", "content": f"Your flight {n} leaves at {n % 24}:{n % 60:02}, gate {n % 7}."}
            )
    done = command_line("codec", "train", "--url", url, "--out", str(file), "--size", "2048", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["messages"], facts["bytes"]) == (500, len(file.read_bytes()))
    assert file.stat().st_mode & 0o777 == 0o600
    again = command_line("codec", "train", "--url", url, "--out", str(file), "--size", "1024")
    assert (again.returncode, "exists: stored values may need" in again.stderr) == (2, True)
    assert len(file.read_bytes()) == facts["bytes"]
    with SessionCache.from_url(url, codecs=[Zstd(file.read_bytes())]) as cache:
        before = cache.open("a").info().bytes
        assert cache.open("a").reencrypt() == 500
        assert cache.open("a").info().bytes < before * 0.75
        assert str(cache.open("a").history(1)[0].content).startswith("Your flight 499")


def test_unused_files_are_swept(own_server: Server, tmp_path: Path, command_line: CommandLine) -> None:
    """`codec sweep` counts with --dry-run, removes unused files, and needs Offload. Other commands read files."""
    codecs = [Zstd(), offload(f"file://{tmp_path}/blobs")]
    text = large()
    with SessionCache.from_url(own_server.url, codecs=codecs) as cache, named_at():
        cache.create("kept").append({"role": "user", "content": text})
        gone = cache.create("gone", user_id="mia")
        gone.append({"role": "user", "content": large()})
        gone.delete()
        cache.create("mias", user_id="mia").append({"role": "user", "content": large()})
    url = ("--url", own_server.url)
    found = command_line("codec", "sweep", "--dry-run", "--json", *url, codecs="storage:FILES")
    facts = json.loads(found.stdout)
    assert (facts["files"], facts["referenced"], facts["removed"], facts["dry_run"]) == (3, 2, 1, True)
    found = command_line("codec", "sweep", "--codecs", "storage:FILES", "--grace", "12h", *url)
    assert found.stdout.strip() == "1 of 3 files removed, 0 young, 2 in use"
    assert text in command_line("show", "kept", "--json", *url, codecs="storage:FILES").stdout
    forgotten = command_line("forget", "mia", "--yes", "--find-unlisted", *url, codecs="storage:FILES")
    assert "1 file of the blob store" in forgotten.stdout
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1
    for arguments, detail in (
        (("--codecs", "storage:OLD"), "must have Offload"),
        ((), "--codecs: is missing"),
        (("--codecs", "storage:FILES", "--grace", "1m"), "grace: must be at least 10 minutes"),
    ):
        refused = command_line("codec", "sweep", *arguments, *url)
        assert (refused.returncode, detail in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("codecs", "text"),
    [
        ("storage", "--codecs: must be MODULE:NAME, such as support.storage:codecs, got 'storage'"),
        ("storage:nothing", "--codecs: module 'storage' has no 'nothing'"),
        ("nowhere:codecs", "--codecs: cannot import 'nowhere': ModuleNotFoundError: No module named 'nowhere'"),
        ("storage:NUMBER", "--codecs: must name a list of codecs, or a dict with 'codecs' and 'encode'"),
        ("", "--codecs: is missing"),
    ],
)
def test_bad_codecs_exit_with_2(command_line: CommandLine, codecs: str, text: str) -> None:
    """A name that leads to no codecs is wrong input, which one line explains."""
    done = command_line("codec", "reencrypt", "--url", "redis://127.0.0.1:1", "--codecs", codecs)
    assert (done.returncode, text in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr


def test_too_few_messages_for_a_dictionary_exit_with_2(
    own_server: Server, tmp_path: Path, command_line: CommandLine
) -> None:
    """A dictionary needs messages: the error says where none were found, and no file is left."""
    done = command_line("codec", "train", "--url", own_server.url, "--out", str(tmp_path / "x.dict"))
    assert (done.returncode, "found none in namespace sessions" in done.stderr) == (2, True)
    assert not (tmp_path / "x.dict").exists()
