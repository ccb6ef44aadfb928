"""Processes for tests. They start quickly, because they are forked from a process with all modules loaded."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "pytest",
        "tests.support.fleet",
        "tests.support.chat_fleet",
        "tests.support.history",
        "tests.soak.load",
        "typer",
        "typer.rich_utils",
        "rich.live",
        "rich.panel",
        "rich.progress",
        "rich.table",
    ]
)
