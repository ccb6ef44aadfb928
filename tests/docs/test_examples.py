"""Tests that the examples run as they stand and print what they promise."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.support.servers import free_port

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PRINTED = {  # lines that each example prints
    "skill_evaluation": [
        "10 / 4 = ?, 1 turns left",
        "1 - 3: not asked, turns 4 of 3",
        "arithmetic, nightly: completed, 3 turns, 9 entries, 2 passed",
        "failed: [{'answer': '?'}]",
    ],
    "chat": [
        "worker 1: You asked: When does belt 4 start? (I see 6 messages.)",
        "worker 0: You asked: And what was my flight? (I see 7 messages.)",
        "turn 4, 8 messages, 77 tokens, user mia",
        "state: Bag(colour='red', belt=4), {'language': 'en'}",
        "cleared: ['system'], state stays: True",
    ],
    "agent_loop": [
        "session formed by inactivity",
        "loops: [('small', 'completed'), ('small', 'completed'), ('large', 'completed')]",
        "selected of 2: the last, True",
        "used 333 tokens, in 2 levels of loops",
        "compacted: ['Mia wanted a text about belts, and has it.']",
    ],
    "user_desk": [
        "tom: 1 exchanges, seed-1, trips/tom",
        "mia: 2 exchanges, seed-2, trips/mia",
        "trips/mia: ['facts', 'plan'], {'questions': 2}, plan of 39 letters",
        "2 sessions deleted, 0 left",
    ],
    "agents": [
        "one more: max_children",
        "weather: completed, {'answer': 'yes (Is it raining in Bern?)'}",
        "trains: completed, {'answer': 'yes (When is the next train to Bern?)'}",
        "children: 2, still active: 1",
    ],
}

SERVERS = {"sse_chat"}
"""Examples that serve until they are stopped."""


def test_every_example_is_described() -> None:
    """The README of the examples describes every example, and each example has 30 to 60 lines."""
    described = (EXAMPLES / "README.md").read_text()
    found = {path.stem: path.read_text() for path in EXAMPLES.glob("*.py")}
    assert found.keys() == PRINTED.keys() | SERVERS
    for name, text in found.items():
        assert f"| `{name}.py` |" in described
        assert 30 <= len(text.splitlines()) <= 60, name


@pytest.mark.parametrize("arguments", [["fake://"], []], ids=["fake", "embedded"])
@pytest.mark.parametrize("name", PRINTED)
def test_example_prints_its_lines(name: str, arguments: list[str]) -> None:
    """An example runs without an error, on a fake and on a bundled server, and prints its lines."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line for line in PRINTED[name] if line not in lines] == []


@contextmanager
def serving(example: str) -> Iterator[str]:
    """Start an example that is a server. Yield its address."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / f"{example}.py"), "fake://", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(30) is not None


def fetch(url: str, *, body: bytes | None = None, last_event_id: str = "", seconds: float = 30) -> HTTPResponse:
    """Return the response to a request, as soon as the server is there."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    due = time.monotonic() + seconds
    while True:
        try:
            response: HTTPResponse = urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=seconds)
            return response
        except (urllib.error.URLError, ConnectionError) as problem:
            if isinstance(problem, urllib.error.HTTPError) or time.monotonic() >= due:
                raise
            time.sleep(0.05)


def next_events(response: HTTPResponse, count: int) -> list[tuple[str, str, dict[str, object]]]:
    """Return the ID, kind and data of the next events of a stream."""
    found: list[tuple[str, str, dict[str, object]]] = []
    fields: dict[str, str] = {}
    while len(found) < count:
        line = response.readline().decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
            fields = {}
    return found


def test_chat_page_goes_on_in_the_middle_of_an_answer() -> None:
    """The chat page streams its answer over HTTP. A client that reconnects gets each word once, then the message."""
    with serving("sse_chat") as address:
        assert b"EventSource" in fetch(address).read()
        asking = threading.Thread(target=lambda: fetch(f"{address}/say", body=b"Where is my bag?").close())
        with fetch(f"{address}/events") as stream:
            asking.start()
            found = next_events(stream, 3)
        while found[-1][1] == "delta":
            with fetch(f"{address}/events", last_event_id=found[-1][0]) as stream:
                found += next_events(stream, 2 if found[-1][2]["number"] != 10 else 1)
        asking.join()
    assert [kind for _, kind, _ in found] == ["message", *["delta"] * 10, "message"]
    assert [data["number"] for _, kind, data in found if kind == "delta"] == [*range(1, 11)]
    text = "You asked: Where is my bag? I do not know."
    assert "".join(str(data["data"]) for _, kind, data in found if kind == "delta") == f"{text} "
    assert found[-1][2]["payload"] == {"role": "assistant", "content": text}
