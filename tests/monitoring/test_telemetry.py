"""Spans and metrics of a cache: their names, their attributes, and how the trace of a request goes on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, use_span

from redis_sessions import AsyncRun, AsyncSessionCache, InvalidInput, LeaseLost, Run, SessionCache, SessionNotFound
from redis_sessions._async.transport.executor import Executor as AsyncExecutor
from redis_sessions._core.protocol.transport_errors import ConnectionLost, ServerNotReady
from redis_sessions._sync.transport.executor import Executor
from redis_sessions.models.observer import OFF
from redis_sessions.telemetry import METRICS, SPANS, Telemetry
from tests.support.servers import await_true
from tests.trees.runs import DEADLINE_SECONDS
from tests.trees.workers import working

SECRET = "a text of a user"


class Recorded:
    """The telemetry of one test, and what it recorded."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.tracers.get_tracer("test")
        self.meters = MeterProvider([self.reader])
        self.telemetry = Telemetry(self.tracers, self.meters)

    def spans(self, name: str) -> list[ReadableSpan]:
        """Return the ended spans with a name."""
        return [one for one in self.exporter.get_finished_spans() if one.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Return the only ended span with a name."""
        (found,) = self.spans(name)
        return found

    def points(self, name: str, **labels: str) -> list[Any]:
        """Return the data points of a metric whose attributes have some values. A dot in a name is a double underscore."""
        data: Any = self.reader.get_metrics_data()
        wanted = {key.replace("__", "."): value for key, value in labels.items()}
        found = []
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    assert metric.name in {one.name for one in METRICS}
                    if metric.name == name:
                        found += [
                            one for one in metric.data.data_points if wanted.items() <= dict(one.attributes).items()
                        ]
        return found

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a counter, or the number of the values of a histogram."""
        return sum(float(getattr(one, "value", 0) or getattr(one, "count", 0)) for one in self.points(name, **labels))


@pytest.fixture
def recorded() -> Recorded:
    """Return telemetry that keeps what it records."""
    return Recorded()


@pytest.fixture
def traced(url: str, namespace: str, recorded: Recorded) -> Iterator[SessionCache]:
    """Yield a cache with telemetry."""
    with SessionCache.from_url(url, namespace=namespace, telemetry=recorded.telemetry) as cache:
        yield cache


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span."""
    return dict((span.attributes or {}).items())


def test_call_is_a_database_span_inside_of_another_span(traced: SessionCache, recorded: Recorded) -> None:
    """A call has a span by the conventions for Redis, with the script and the session, when a span is open."""
    session = traced.create("s")
    session.append({"role": "user", "content": SECRET})
    assert recorded.exporter.get_finished_spans() == ()
    with recorded.tracer.start_as_current_span("parent") as parent:
        session.append({"role": "user", "content": SECRET})
    span = recorded.one("EVALSHA messages/append")
    assert span.kind is SpanKind.CLIENT
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    found = attributes(span)
    assert found.pop("server.address")
    found.pop("server.port", None)
    assert found == {
        "db.system.name": "redis", "db.operation.name": "EVALSHA", "db.stored_procedure.name": "messages/append",
        "gen_ai.conversation.id": "s",
    }  # fmt: skip
    assert recorded.total("db.client.operation.duration", db__stored_procedure__name="messages/append") == 2
    assert recorded.total("redis_sessions.messages.stored") == 2


def test_refused_call_has_the_class_of_the_error_alone(traced: SessionCache, recorded: Recorded) -> None:
    """The span and the metric of a refusal have its class, and no text."""
    with recorded.tracer.start_as_current_span("parent", record_exception=False), pytest.raises(SessionNotFound):
        traced.session("missing").append({"role": "user", "content": SECRET})
    span = recorded.one("EVALSHA messages/append")
    assert attributes(span)["error.type"] == "SessionNotFound"
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())
    assert recorded.total("db.client.operation.duration", error__type="SessionNotFound") == 1


def test_handler_runs_in_the_trace_of_the_spawn(traced: SessionCache, recorded: Recorded) -> None:
    """The span of the handler has the spawn as parent and link, and the calls of the handler below it."""
    parent = traced.create("p")
    with recorded.tracer.start_as_current_span("request") as request:
        parent.spawn("a", task=SECRET)

    def handler(run: Run) -> str:
        run.append({"role": "assistant", "content": SECRET})
        return SECRET

    with working(traced, handler, owner="w-1"):
        (child,) = parent.join(timeout=DEADLINE_SECONDS)
        await_true(lambda: bool(recorded.spans("process a")), DEADLINE_SECONDS)
    spawn, process = recorded.one("spawn a"), recorded.one("process a")
    trace_id = request.get_span_context().trace_id
    assert {spawn.context.trace_id, process.context.trace_id} == {trace_id}
    assert (spawn.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert process.parent is not None
    assert [process.parent.span_id, process.links[0].context.span_id] == [spawn.context.span_id] * 2
    assert attributes(process) == {
        "messaging.system": "redis_sessions", "messaging.operation.name": "process", "messaging.operation.type": "process",
        "messaging.destination.name": "a", "messaging.client.id": "w-1", "gen_ai.agent.name": "a",
        "gen_ai.conversation.id": child.id, "redis_sessions.work": "run", "redis_sessions.run.id": child.run_id,
        "redis_sessions.attempt": 1, "redis_sessions.event": "run_completed",
    }  # fmt: skip
    (append,) = [one for one in recorded.spans("EVALSHA messages/append") if one.parent == process.context]
    assert append.context.trace_id == trace_id
    assert recorded.total("messaging.client.consumed.messages", messaging__destination__name="a") == 1
    assert recorded.total("messaging.process.duration") == 1
    assert recorded.total("redis_sessions.work.wait", redis_sessions__work="run") == 1
    assert recorded.total("redis_sessions.work.events", redis_sessions__event="run_completed") == 1


@pytest.mark.parametrize("way", ["send", "append"])
def test_turn_runs_in_the_trace_of_its_message(traced: SessionCache, recorded: Recorded, way: str) -> None:
    """The turn of a message continues the trace of the send, or of the append that asked for it."""
    session = traced.create("s", answered_by="a")
    if way == "send":
        session.send(SECRET)
    else:
        session.append({"role": "user", "content": SECRET}, request_turn=True)
    with working(traced, lambda run: None):
        await_true(lambda: bool(recorded.spans("process a")), DEADLINE_SECONDS)
    process, request = recorded.one("process a"), recorded.one("send a")
    assert process.parent is not None
    assert process.parent.span_id == request.context.span_id
    assert attributes(request)["messaging.destination.name"] == "a"
    assert recorded.total("redis_sessions.work.wait", redis_sessions__work="turn") == 1
    assert recorded.total("messaging.client.sent.messages", messaging__destination__name="a") == 1


def test_each_attempt_is_a_span_of_the_same_request(traced: SessionCache, recorded: Recorded) -> None:
    """A retry is a second span with the same parent, and the first one has the class of the error."""
    parent = traced.create("p")
    parent.spawn("a")

    def handler(run: Run) -> None:
        if run.attempt == 1:
            raise ValueError(SECRET)

    with working(traced, handler):
        parent.join(timeout=DEADLINE_SECONDS)
        await_true(lambda: len(recorded.spans("process a")) == 2, DEADLINE_SECONDS)
    first, second = recorded.spans("process a")
    assert first.parent == second.parent
    assert (attributes(first)["error.type"], first.status.status_code, first.events) == (
        "ValueError", StatusCode.ERROR, (),
    )  # fmt: skip
    assert "error.type" not in attributes(second)
    assert recorded.total("redis_sessions.work.events", redis_sessions__event="run_retried") == 1
    assert recorded.total("redis_sessions.work.wait") == 1


def test_claim_of_the_application_links_the_request(traced: SessionCache, recorded: Recorded) -> None:
    """A claim has a span with a link to the spawn, and its block is the handling."""
    traced.create("p").spawn("a")
    run = traced.claim("a", wait=DEADLINE_SECONDS)
    assert run is not None
    with run:
        run.complete()
    claim, spawn = recorded.one("claim a"), recorded.one("spawn a")
    assert [one.context.span_id for one in claim.links] == [spawn.context.span_id]
    assert attributes(recorded.one("process a"))["redis_sessions.event"] == "run_completed"


def test_tasks_of_asyncio_keep_their_spans_apart(url: str, namespace: str, recorded: Recorded) -> None:
    """Handlers of one event loop run at the same time, each in the trace of its own spawn."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace, telemetry=recorded.telemetry) as cache:
            parent, stop, together = await cache.create("p"), asyncio.Event(), asyncio.Barrier(3)

            async def handler(run: AsyncRun) -> None:
                await together.wait()
                with recorded.tracer.start_as_current_span(f"inside {run.id}"):
                    await asyncio.sleep(0)

            for _ in range(3):
                await parent.spawn("a")
            worker = asyncio.create_task(cache.worker("a", handler, stop=stop, concurrency=3))
            await parent.join(timeout=DEADLINE_SECONDS)
            stop.set()
            await worker

    asyncio.run(asyncio.wait_for(main(), 2 * DEADLINE_SECONDS))
    processes = {attributes(one)["gen_ai.conversation.id"]: one for one in recorded.spans("process a")}
    assert len({one.context.trace_id for one in processes.values()}) == 3
    for id, process in processes.items():
        inside = recorded.one(f"inside {id}")
        assert inside.parent is not None
        assert inside.parent.span_id == process.context.span_id


def test_no_attribute_has_text_of_users(traced: SessionCache, recorded: Recorded) -> None:
    """Names of users, and the texts of messages, tasks, states and errors are in no span and no metric."""
    with recorded.tracer.start_as_current_span("parent"):
        session = traced.create("s", user_id="user-of-test", answered_by="a", state={"k": SECRET}, name=SECRET)
        session.send(SECRET)
        session.spawn("a", task=SECRET)
        list(traced.iter_sessions(user_id="user-of-test"))

    def handler(run: Run) -> None:
        raise ValueError(SECRET)

    with working(traced, handler):
        await_true(lambda: len(recorded.spans("process a")) > 1, DEADLINE_SECONDS)
    shown = "".join(one.to_json() for one in recorded.exporter.get_finished_spans())
    shown += str(recorded.reader.get_metrics_data())
    assert SECRET not in shown
    assert "user-of-test" not in shown


def test_lost_lease_is_counted_once(traced: SessionCache, recorded: Recorded) -> None:
    """A lease that others released counts once, however often its holder is refused."""
    session = traced.create("s")
    lease = session.lease(ttl=30).acquire()
    session.lease().release(force=True)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            lease.renew()
    assert recorded.total("redis_sessions.leases.lost") == 1


def test_retries_are_counted(traced: SessionCache, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt after a transport error counts, and the call counts once."""
    session, send, failures = traced.create("s"), Executor._send, [ConnectionLost("gone"), ServerNotReady("LOADING")]

    def fail_twice(self: Executor, call: Any) -> Any:
        if failures and call.script is not None and call.script.name == "messages/append":
            raise failures.pop()
        return send(self, call)

    monkeypatch.setattr(Executor, "_send", fail_twice)
    session.append({"role": "user", "content": "x"})
    assert recorded.total("redis_sessions.client.retries") == 2
    assert recorded.total("db.client.operation.duration", db__stored_procedure__name="messages/append") == 1


def test_telemetry_without_calls_records_requests_alone(url: str, namespace: str, recorded: Recorded) -> None:
    """With `calls=False` a call makes no span and no measurement, and messages are counted."""
    telemetry = Telemetry(recorded.tracers, recorded.meters, calls=False)
    parent = recorded.tracer.start_as_current_span("parent")
    with SessionCache.from_url(url, namespace=namespace, telemetry=telemetry) as cache, parent:
        cache.create("s").append({"role": "user", "content": "x"})
        cache.session("s").spawn("a")
    assert {one.name for one in recorded.exporter.get_finished_spans()} == {"parent", "spawn a"}
    assert recorded.total("db.client.operation.duration") == 0
    assert recorded.total("redis_sessions.messages.stored") == 1


def test_call_in_a_trace_that_is_not_sampled_makes_no_span(url: str, namespace: str) -> None:
    """A call below a span that is not recorded asks the SDK for no span, and its duration is recorded."""
    recorded, asked = Recorded(), []
    telemetry = Telemetry(recorded.tracers, recorded.meters)
    with SessionCache.from_url(url, namespace=namespace, telemetry=telemetry) as cache:
        observer: Any = cache._context.telemetry
        observer.tracer = SimpleNamespace(start_span=lambda *given, **named: asked.append(given))
        with TracerProvider(sampler=ALWAYS_OFF).get_tracer("test").start_as_current_span("parent"):
            cache.create("s").append({"role": "user", "content": "x"})
    assert asked == []
    assert recorded.total("db.client.operation.duration", db__stored_procedure__name="messages/append") == 1


def test_call_below_a_sampled_span_of_another_process_has_a_span(traced: SessionCache, recorded: Recorded) -> None:
    """A parent that another process records counts as recorded."""
    flags = TraceFlags(TraceFlags.SAMPLED)
    remote = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=flags))
    with use_span(remote):
        traced.create("s")
    assert {one.context.trace_id for one in recorded.exporter.get_finished_spans() if one.context} == {1}


def test_span_of_a_call_lasts_as_long_as_the_call(traced: SessionCache, recorded: Recorded) -> None:
    """The span of a call begins when the call begins, though it is made at its end."""
    with recorded.tracer.start_as_current_span("parent"):
        before = time.time_ns()
        traced.create("s")
        after = time.time_ns()
    for span in recorded.exporter.get_finished_spans():
        if span.name.startswith("EVALSHA"):
            assert span.start_time is not None
            assert span.end_time is not None
            assert before - 1_000_000 <= span.start_time < span.end_time <= after + 1_000_000


def test_only_slow_and_failed_calls_have_spans_on_request(url: str, namespace: str, recorded: Recorded) -> None:
    """With `call_spans_over` a fast call has no span, a failed one has, and each one is in the metric."""
    telemetry = Telemetry(recorded.tracers, recorded.meters, call_spans_over="1h")
    parent = recorded.tracer.start_as_current_span("parent")
    with SessionCache.from_url(url, namespace=namespace, telemetry=telemetry) as cache, parent:
        cache.create("s").append({"role": "user", "content": "x"})
        with pytest.raises(SessionNotFound):
            cache.session("none").append({"role": "user", "content": "x"})
    assert attributes(recorded.one("EVALSHA messages/append"))["error.type"] == "SessionNotFound"
    assert recorded.total("db.client.operation.duration", db__stored_procedure__name="messages/append") == 2


@pytest.mark.parametrize("wrong", [-1, "2h", "fast"])
def test_wrong_bound_of_call_spans_is_refused(wrong: Any) -> None:
    """The bound is a duration of at most an hour."""
    with pytest.raises(InvalidInput, match="call_spans_over"):
        Telemetry(call_spans_over=wrong)


def test_cache_without_telemetry_has_the_plain_executor(cache: SessionCache) -> None:
    """A cache that was given no telemetry runs no code of it in an append."""
    assert type(cache._executor) is Executor
    assert cache._context.telemetry is OFF
    assert type(AsyncSessionCache.from_url("fake://")._executor) is AsyncExecutor


def test_other_object_is_refused() -> None:
    """The option takes a Telemetry."""
    with pytest.raises(InvalidInput, match=r"must be a redis_sessions\.telemetry\.Telemetry, got 'on'"):
        SessionCache.from_url("fake://", telemetry="on")  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["Telemetry()", "Telemetry(meter_provider=provider)"])
def test_caches_before_and_after_the_global_provider_share_totals(way: str) -> None:
    """A cache that is made before the program sets its provider counts into the same totals as those made later."""
    code = f"""
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from redis_sessions import SessionCache
from redis_sessions.telemetry import Telemetry
early = SessionCache.from_url("fake://", namespace="n", telemetry=Telemetry())
early.create("a").append({{"role": "user", "content": "x"}})
reader = InMemoryMetricReader()
provider = MeterProvider([reader])
metrics.set_meter_provider(provider)
late = SessionCache.from_url("fake://", namespace="n", telemetry={way})
for cache in (early, early, late, late):
    cache.get_or_create("a").append({{"role": "user", "content": "x"}})
for resource in reader.get_metrics_data().resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            if metric.name == "redis_sessions.messages.stored":
                print([point.value for point in metric.data.data_points])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[5]\n", done.stderr


def test_missing_library_names_the_extra() -> None:
    """Without OpenTelemetry the error says what to install, and the package works."""
    code = """
import sys
sys.modules["opentelemetry"] = None
from redis_sessions import SessionCache
from redis_sessions.telemetry import Telemetry
SessionCache.from_url("fake://").create("s")
try:
    Telemetry()
except ModuleNotFoundError as problem:
    print(problem)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("which is not installed: pip install 'redis-sessions[otel]'\n"), done.stderr


def test_spans_are_those_of_the_reference() -> None:
    """Each span of the tests above has its pattern in the list of spans."""
    assert [name for name, *_ in SPANS] == [
        "<command> <script>", "send <agent>, spawn <agent>", "claim <agent>", "process <agent>",
    ]  # fmt: skip
