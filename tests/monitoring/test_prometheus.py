"""The metrics of a fleet: the page, its numbers over a run with kills, and the command that serves it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from redis_sessions import InvalidInput, SessionCache, StoreUnavailable
from redis_sessions.cli.addresses import parse_address
from redis_sessions.models.fleet import AgentLoad, EndedRuns, Fleet, ServerHealth
from redis_sessions.prometheus import MAX_AGENTS, METRICS, OTHER, FleetCollector
from tests.support.command_line import run
from tests.support.fleet import Fleet as Processes
from tests.support.fleet import work
from tests.support.servers import Server, await_true
from tests.support.sockets import closed_port

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE_SECONDS = 60.0


def page_of(collector: FleetCollector) -> str:
    """Return the page that a scrape gets."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


def values(page: str, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric by the values of its labels, in the order of their names."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sample.labels[key] for key in sorted(sample.labels))] = sample.value
    return found


class Given:
    """A monitor that returns what it was given, and counts the reads."""

    def __init__(self, fleet: Fleet | Exception) -> None:
        self.fleet = fleet
        self.reads = 0

    def read(self) -> Fleet:
        """Return the fleet, or raise the error."""
        self.reads += 1
        if isinstance(self.fleet, Exception):
            raise self.fleet
        return self.fleet


def fleet(**given: Any) -> Fleet:
    """Return a fleet."""
    return Fleet(**{"namespace": "n", "read_at": NOW, "active": 3, "ended": 2, "is_complete": True, **given})


def test_page_has_only_declared_metrics_by_the_conventions() -> None:
    """Each metric of the page is declared, and each declared one is on the page of a full fleet."""
    full = fleet(
        messages_per_second=2.5,
        agents=[AgentLoad(agent_id="a", queued=1, oldest_wait=timedelta(seconds=4), workers=2, dead_workers=1)],
        servers=[
            ServerHealth(
                address="h:1", is_up=True, used_memory=5, max_memory=9, clients=2, commands_per_second=3.0,
                latency=timedelta(milliseconds=2),
            )
        ],
        ended_runs=[EndedRuns(agent_id="a", completed=3, died_attempts=1)],
        samples=[
            {"at": NOW, "queued": 0, "running": 0, "wait_p50": 1, "wait_p95": 2, "handling_p50": 3, "handling_p95": 4},
            {"at": NOW, "queued": 0, "running": 0},
        ],
    )  # fmt: skip
    page = page_of(FleetCollector(Given(full)))
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert families.keys() == {one.name for one in METRICS}
    for metric in METRICS:
        family = families[metric.name]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        assert {tuple(sample.labels) for sample in family.samples} == {metric.labels}
        assert re.fullmatch(r"redis_sessions_[a-z_]+", metric.name)
        assert not metric.name.endswith(("_total", "_milliseconds"))
        assert set(metric.labels) <= {"agent", "status", "kind", "address", "quantile"}
    assert values(page, "redis_sessions_work")["a", "queued"] == 1
    assert values(page, "redis_sessions_runs_ended_total")["a", "completed"] == 3
    assert values(page, "redis_sessions_wait_seconds") == {("0.5",): 1, ("0.95",): 2}
    assert values(page, "redis_sessions_server_latency_seconds") == {("h:1",): 0.002}


def test_labels_of_many_agents_are_bounded() -> None:
    """Agents beyond the bound are summed up, and no number is lost."""
    agents = [AgentLoad(agent_id=f"a{at}", queued=at, oldest_wait=timedelta(seconds=at)) for at in range(1000)]
    page = page_of(FleetCollector(Given(fleet(agents=agents))))
    found = values(page, "redis_sessions_work")
    assert len({agent for agent, _ in found}) == MAX_AGENTS + 1
    assert sum(number for (_, status), number in found.items() if status == "queued") == sum(range(1000))
    assert ("a999", "queued") in found
    assert values(page, "redis_sessions_oldest_wait_seconds")[(OTHER,)] == 1000 - MAX_AGENTS - 1


def test_agent_keeps_its_label_when_its_queue_shrinks() -> None:
    """No counter of 300 agents ever falls, whichever agents have most waiting work."""
    ended = [EndedRuns(agent_id=f"a{at}", completed=100 + at) for at in range(300)]
    given = Given(fleet(agents=[AgentLoad(agent_id=f"a{at}", queued=at) for at in range(300)], ended_runs=ended))
    collector = FleetCollector(given, interval=0.1)
    before = values(page_of(collector), "redis_sessions_runs_ended_total")
    given.fleet = fleet(agents=[AgentLoad(agent_id=f"a{at}", queued=300 - at) for at in range(300)], ended_runs=ended)
    time.sleep(0.15)
    assert values(page_of(collector), "redis_sessions_runs_ended_total") == before
    assert given.reads == 2


def test_counters_of_an_agent_begin_with_zero() -> None:
    """An agent has its counters before its first run ends, because the increase of a new series is not known."""
    page = page_of(FleetCollector(Given(fleet(agents=[AgentLoad(agent_id="a", queued=1)]))))
    assert set(values(page, "redis_sessions_runs_ended_total").values()) == {0}
    assert values(page, "redis_sessions_attempts_ended_total") == {("a", "died"): 0, ("a", "failed"): 0}


def test_hostile_agent_does_not_break_the_page() -> None:
    """A name with quotes, newlines and markup is one label value."""
    name = 'a"} 1\nredis_sessions_up 7\n# <script>\\'
    page = page_of(FleetCollector(Given(fleet(agents=[AgentLoad(agent_id=name, queued=1)]))))
    assert values(page, "redis_sessions_work")[name.replace("\n", "\\n"), "queued"] == 1
    assert values(page, "redis_sessions_up") == {(): 1}


def test_fleet_is_read_at_most_once_in_the_interval() -> None:
    """A hundred scrapes at once are one read."""
    given = Given(fleet())
    collector = FleetCollector(given, interval="1h")
    for _ in range(100):
        page_of(collector)
    assert given.reads == 1


def test_fleet_that_cannot_be_read_is_down() -> None:
    """While the server is down the page says so and nothing else, and it comes back."""
    given = Given(StoreUnavailable(where="w", waited=1.0, detail="d"))
    collector = FleetCollector(given, interval=0.1)
    page = page_of(collector)
    assert values(page, "redis_sessions_up") == {(): 0}
    assert values(page, "redis_sessions_sessions") == {}
    given.fleet = fleet()
    time.sleep(0.15)
    assert values(page_of(collector), "redis_sessions_up") == {(): 1}


@pytest.mark.parametrize("interval", [0, 0.01, "2h", "x", None])
def test_wrong_interval_is_refused(interval: Any) -> None:
    """The interval is 0.1 s to an hour."""
    with pytest.raises(InvalidInput, match="interval"):
        FleetCollector(Given(fleet()), interval)


def test_totals_equal_the_sessions_over_a_run_with_kills(own_server: Server) -> None:
    """Runs and dead attempts that the page counts are those of the sessions, while workers are killed at random."""
    runs, namespace = 60, "metrics"
    with SessionCache.from_url(own_server.url, namespace=namespace, retry_for=20, max_children=200) as cache:
        collector = FleetCollector(cache.monitor(), interval=0.1)
        collector.refresh()
        parents = [cache.create(max_children=200, max_active=200, max_descendants=200) for _ in range(2)]
        processes = Processes(3, work, own_server.url, namespace, "a", 2, 1.0)
        try:
            for at in range(runs):
                parents[at % 2].spawn("a", task=str(at), max_attempts=50).raise_if_refused()
                if at % 8 == 3:
                    collector.refresh()
                    processes.kill_one()
            children = [one for parent in parents for one in parent.join(timeout=DEADLINE_SECONDS)]
        finally:
            for process in processes.processes:
                process.kill()
        assert processes.killed > 5
        infos = [cache.open(one.id).info() for one in children]
        ended = Counter(one.status for one in infos)
        died = sum(attempt.outcome == "died" for one in infos for attempt in one.attempts)

        def counted() -> float:
            return sum(values(page_of(collector), "redis_sessions_runs_ended_total").values())

        await_true(lambda: counted() >= runs, DEADLINE_SECONDS)
        page = page_of(collector)
        totals = values(page, "redis_sessions_runs_ended_total")
        assert {status: number for (_, status), number in totals.items() if number} == dict(ended)
        assert sum(ended.values()) == runs
        assert values(page, "redis_sessions_attempts_ended_total")["a", "died"] == died
        assert values(page, "redis_sessions_work")["a", "queued"] == 0
        assert sum(values(page, "redis_sessions_sessions").values()) == runs + len(parents)


@contextmanager
def serving(url: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield a process that serves the page, and the address of the page."""
    command = [
        sys.executable,
        "-m",
        "redis_sessions.cli.main",
        "metrics",
        "--url",
        url,
        "--listen",
        "127.0.0.1:0",
        *options,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process, process.stderr.readline().split()[-1]
        finally:
            process.kill()


def scrape(address: str) -> str:
    """Return the page."""
    with urllib.request.urlopen(address, timeout=DEADLINE_SECONDS) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain; version=")
        return str(reply.read().decode())


def test_command_serves_until_a_signal_while_its_server_comes_and_goes(own_server: Server) -> None:
    """The page is served while the server is down, with `up` 0, and the process ends at SIGTERM with exit code 0."""
    with serving(own_server.url, "--interval", "100ms") as (process, address):
        await_true(lambda: values(scrape(address), "redis_sessions_up") == {(): 1}, DEADLINE_SECONDS)
        own_server.kill()
        await_true(lambda: values(scrape(address), "redis_sessions_up") == {(): 0}, DEADLINE_SECONDS)
        own_server.start()
        await_true(lambda: values(scrape(address), "redis_sessions_up") == {(): 1}, DEADLINE_SECONDS)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0


def test_command_begins_before_its_server() -> None:
    """A server that is not there yet makes `up` 0, and no exit."""
    with closed_port() as port, serving(f"redis://127.0.0.1:{port}") as (process, address):
        assert values(scrape(address), "redis_sessions_up") == {(): 0}
        assert process.poll() is None


def test_command_prints_once(own_server: Server) -> None:
    """Without --listen the command prints the page of a complete read."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("s", answered_by="a").send("x")
    done = run("metrics", "--url", own_server.url)
    assert done.returncode == 0
    assert values(done.stdout, "redis_sessions_complete") == {(): 1}
    assert values(done.stdout, "redis_sessions_work")["a", "queued"] == 1


def test_port_in_use_is_one_clear_message(own_server: Server) -> None:
    """The message names the address, the reason and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("metrics", "--url", own_server.url, "--listen", f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use): stop what uses the port" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        (":80", ("127.0.0.1", 80)),
        ("9464", ("127.0.0.1", 9464)),
        ("[::1]:1", ("::1", 1)),
    ],
)
def test_address_forms(text: str, found: tuple[str, int]) -> None:
    """A host is optional, and is this machine by default."""
    assert parse_address(text, "--listen", "127.0.0.1:9464") == found


@pytest.mark.parametrize("text", ["", "x", "a:b", "h:70000", "h:-1", "h:٣"])
def test_wrong_address_is_refused(text: str) -> None:
    """Another form is one clear message."""
    with pytest.raises(InvalidInput, match="--listen: must be HOST:PORT"):
        parse_address(text, "--listen", "127.0.0.1:9464")


def test_missing_library_names_the_extra() -> None:
    """Without prometheus-client the error says what to install."""
    code = """
import sys
sys.modules["prometheus_client"] = None
from redis_sessions.cli.main import main
sys.argv = ["redis-sessions", "metrics"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'redis-sessions[metrics]'" in done.stderr
