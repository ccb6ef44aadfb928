"""Workers in processes of their own. The module imports little, so that a process starts quickly."""

from __future__ import annotations

import os
import time
from pathlib import Path

from redis_sessions import Run, SessionCache


def work_slowly(url: str, namespace: str, folder: str, grace: float) -> None:
    """Run a worker whose handler takes long, and show each begin of it as a file."""

    def handler(run: Run) -> str:
        Path(folder, f"{run.attempt}-{os.getpid()}").touch()
        if run.should_stop.wait(60):
            run.release()
        return "done"

    with SessionCache.from_url(url, namespace=namespace) as cache:
        cache.worker("a", handler, grace=grace, ttl=5)


def work_with_poison(url: str, namespace: str, folder: str) -> None:
    """Run a worker that a run of task `poison` kills."""

    def handler(run: Run) -> str:
        Path(folder, f"{run.task}-{os.getpid()}-{run.attempt}").touch()
        time.sleep(0.3)
        if run.task == "poison":
            os._exit(1)
        time.sleep(0.4)
        return "done"

    with SessionCache.from_url(url, namespace=namespace) as cache:
        cache.worker("a", handler, concurrency=4, ttl=0.6, backoff=0)
