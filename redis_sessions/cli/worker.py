"""`worker`: run a worker process that hands runs to a function."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from .._async.api.cache import AsyncSessionCache
from .._core.commands.leases import owner_name
from .._core.commands.run_outcomes import is_async
from .._core.commands.session_fields import check_agent
from .._log_events import LOG_FIELDS
from .._sync.api.cache import SessionCache
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Namespace, SafeFormatter, Url, app, parse_duration, shared_url
from .codec_options import codec_options
from .connect import WaitNotice
from .handlers import Handler, import_handler

_log = logging.getLogger("redis_sessions.cli.worker")
_CANCEL_SECONDS = 1.0
"""The time in which a handler that is left must end after its cancellation."""


@app.command()
def worker(
    handler: Annotated[
        str,
        typer.Argument(
            help="Function that takes a run and returns its result: MODULE:FUNCTION, such as support.agents:answer. The"
            " current folder is searched first. An async function runs in asyncio, another function in threads.",
            show_default=False,
        ),
    ],
    agents: Annotated[
        list[str],
        typer.Option("--agent", help="Agent whose runs are handled. Repeat the option for several agents."),
    ],
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=1000, help="Runs at once, 1 to 1000.")] = 1,
    ttl: Annotated[
        str,
        typer.Option("--ttl", help="Duration that a lease outlives this process, 100ms to 1d, such as 10s or 2m."),
    ] = "30s",
    grace: Annotated[
        str,
        typer.Option("--grace", help="Duration that present runs may take after the stop, 0 to 1d, such as 5s or 2m."),
    ] = "20s",
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner", help="Name that others see as the holder of the leases.", show_default="<host>:<process ID>"
        ),
    ] = None,
    report_errors: Annotated[
        bool,
        typer.Option(
            "--report-errors",
            help="Say the text of an error in the message to the parent, too. Default: the type of the error alone.",
        ),
    ] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Log one line of JSON for each event. Default: text.")
    ] = False,
) -> None:
    """Run a worker: claim the runs and turns of agents, and hand each to a function. The log goes to standard error.

    SIGTERM or Ctrl-C ends the worker: it claims no more, waits for its present runs, and gives back those that are not over
    after the grace. A second signal ends the grace.
    """
    names = [check_agent(one) for one in dict.fromkeys(agents)]
    options = {
        "concurrency": concurrency,
        "ttl": parse_duration(ttl, "--ttl", minimum="100ms", maximum="1d"),
        "grace": parse_duration(grace, "--grace", minimum="0s", maximum="1d"),
        "owner": owner_name(owner),
        "report_errors": report_errors,
    }
    function, server = import_handler(handler), shared_url(url)
    _configure_log(as_json)
    _log.info("worker %s hands runs of %s to %s", options["owner"], ", ".join(names), handler)
    if is_async(function):
        asyncio.run(_work_async(server, namespace, names, function, options))
    else:
        _work(server, namespace, names, function, options)
    _log.info("worker %s ended", options["owner"])


def _work(url: str, namespace: str, agents: list[str], handler: Handler, options: dict[str, Any]) -> None:
    """Handle runs in threads until a signal."""
    with SessionCache.from_url(url, namespace=namespace, **codec_options()) as cache:
        cache._executor.on_failure = WaitNotice(cache.where, cache._executor.retry_for, _log.warning).add
        cache.worker(agents, handler, **options)


async def _work_async(url: str, namespace: str, agents: list[str], handler: Handler, options: dict[str, Any]) -> None:
    """Handle runs in asyncio until a signal."""
    async with AsyncSessionCache.from_url(url, namespace=namespace, **codec_options()) as cache:
        cache._executor.on_failure = WaitNotice(cache.where, cache._executor.retry_for, _log.warning).add
        await cache.worker(agents, handler, **options)
    await _end_handlers()


async def _end_handlers() -> None:
    """Cancel the handlers that are left. End the process without those that ignore that, because `asyncio.run` would wait."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left and (await asyncio.wait(left, timeout=_CANCEL_SECONDS))[1]:
        _log.warning("handlers that ignore their cancellation are left, and the process ends without them")
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


class _Json(logging.Formatter):
    """A line of the log as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {"at": at, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        facts = {name: getattr(record, name) for name in ("event", *LOG_FIELDS) if hasattr(record, name)}
        trace = {"traceback": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps(fields | facts | trace)


def _configure_log(as_json: bool) -> None:
    """Log to standard error, unless the module of the handler configured the log."""
    output = logging.StreamHandler()
    output.setFormatter(_Json() if as_json else SafeFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[output])
