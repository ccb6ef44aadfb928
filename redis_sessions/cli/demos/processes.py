"""Start the processes of a demo."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
CONTEXT = multiprocessing.get_context(_METHOD)
"""A process is forked from one that has imported the library, where the platform can, because each import takes half a second."""
CONTEXT.set_forkserver_preload(
    [f"redis_sessions.cli.demos.{name}" for name in ("fleet", "forest", "chat", "chat_roles")]
)


def start_process(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process that ends with this one. It ignores Ctrl-C, which this one handles."""
    process: BaseProcess = CONTEXT.Process(target=target, args=arguments, daemon=True)  # type: ignore[attr-defined]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    return process
