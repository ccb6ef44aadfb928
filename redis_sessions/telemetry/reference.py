"""The names of spans and metrics, with their meanings, units and attributes."""

from __future__ import annotations

from typing import Literal, NamedTuple

SYSTEM = "redis_sessions"
FAILURES = frozenset({"run_failed", "run_retried", "run_lost", "run_timed_out", "run_left", "late_error"})
"""Events of work after which the span of its handling has the status ERROR."""
_CALL_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
_MESSAGING_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_WORK_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_DATABASE = (
    "`db.system.name`, `db.operation.name`, `db.stored_procedure.name`, `db.namespace`, `server.address`, `server.port`"
)
_MESSAGING = "`messaging.system`, `messaging.operation.name`, `messaging.operation.type`, `messaging.destination.name`"


class Metric(NamedTuple):
    """One metric, as the guide lists it."""

    name: str
    kind: Literal["counter", "histogram", "total"]
    """total: a counter without attributes, read at each collection."""
    unit: str
    meaning: str
    attributes: str
    buckets: tuple[float, ...] = ()


METRICS = (
    Metric("db.client.operation.duration", "histogram", "s", "Duration of a call, with its retries.",
           f"{_DATABASE}, `error.type`", _CALL_SECONDS),
    Metric("messaging.client.operation.duration", "histogram", "s", "Duration of a send, a spawn or a `claim`.",
           f"{_MESSAGING}, `error.type`", _MESSAGING_SECONDS),
    Metric("messaging.client.sent.messages", "counter", "{message}", "Sends and spawns.", f"{_MESSAGING}, `error.type`"),
    Metric("messaging.client.consumed.messages", "counter", "{message}", "Runs and turns that were claimed.", _MESSAGING),
    Metric("messaging.process.duration", "histogram", "s", "Time between the begin and the end of a handler.",
           f"{_MESSAGING}, `error.type`", _WORK_SECONDS),
    Metric("redis_sessions.work.wait", "histogram", "s", "Time between the request of a run or turn and its first claim.",
           "`messaging.destination.name`, `redis_sessions.work`", _WORK_SECONDS),
    Metric("redis_sessions.work.events", "counter", "{event}", "Events of runs and turns, by the names of the log.",
           "`messaging.destination.name`, `redis_sessions.work`, `redis_sessions.event`"),
    Metric("redis_sessions.messages.stored", "total", "{message}", "Messages that this process appended or sent.", ""),
    Metric("redis_sessions.leases.lost", "total", "{lease}", "Leases that this process lost.", ""),
    Metric("redis_sessions.client.retries", "total", "{attempt}", "Attempts after a transport error.", ""),
)  # fmt: skip
"""The metrics of a process."""
SPANS = (
    ("<command> <script>", "CLIENT", "A call, such as `EVALSHA messages/append`, inside of another span that is recorded.",
     f"{_DATABASE}, `gen_ai.conversation.id`, `db.operation.batch.size`, `error.type`"),
    ("send <agent>, spawn <agent>", "PRODUCER", "A message that asks an agent for a turn, or the spawn of a run.",
     f"{_MESSAGING}, `gen_ai.agent.name`, `gen_ai.conversation.id`, `error.type`"),
    ("claim <agent>", "CONSUMER", "A `claim` by the application, with a link to the request of the work.",
     f"{_MESSAGING}, `gen_ai.agent.name`, `error.type`"),
    ("process <agent>", "CONSUMER", "The handling of a run or turn. The request is its parent, and a link.",
     f"{_MESSAGING}, `messaging.client.id`, `gen_ai.agent.name`, `gen_ai.conversation.id`, `redis_sessions.work`,"
     " `redis_sessions.run.id`, `redis_sessions.attempt`, `redis_sessions.event`, `error.type`"),
)  # fmt: skip
"""The spans: name, kind, meaning, attributes."""
