"""Check the runs below a root: each ended once, within its attempts, with one result in its parent."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from redis_sessions import ChildInfo, Message
from tests.soak.drive import LEGAL_ERRORS
from tests.soak.plan import HOPELESS_ATTEMPTS, MAX_ATTEMPTS

_KEPT_ATTEMPTS = 10


def check_runs(spawned: dict[str, dict[str, Any]], children: list[ChildInfo], history: list[Message]) -> list[str]:
    """Return every broken promise of the runs of a root.

    Args:
        spawned: the events of the spawner, by session.
        children: all sessions below the root.
        history: the transcript of the root.
    """
    direct = [child for child in children if child.parent == 0]
    found: list[str] = []
    ids = Counter(child.id for child in direct)
    if ids != dict.fromkeys(spawned, 1):
        found.append(
            f"{len(spawned)} runs were spawned, {len(ids)} exist; {list(ids.keys() ^ spawned.keys())[:5]} differ"
        )
    results = Counter(message.metadata["subagent"]["session"] for message in history)
    if results != dict.fromkeys(spawned, 1):
        wrong = {id: results[id] for id in results.keys() | spawned.keys() if results[id] != (id in spawned)}
        found.append(f"the root has {results.total()} results of {len(spawned)} runs, wrong are {wrong}")
    for child in children:
        found += [f"run {child.id}: {text}" for text in _check_run(child)]
    return found


def _check_run(child: ChildInfo) -> list[str]:
    task = json.loads(child.task or "{}")
    kind, name = task["kind"], task["name"]
    found = []
    allowed = {"completed", "failed"} if child.parent == 0 else {"completed", "failed", "cancelled"}
    if child.status not in allowed:
        found.append(f"is {child.status}")
    limit = HOPELESS_ATTEMPTS if kind == "hopeless" else MAX_ATTEMPTS
    if child.attempt > limit:
        found.append(f"had {child.attempt} attempts of {limit}")
    if child.status == "completed":
        found += _check_result(kind, name, child)
        if len(child.attempts) != min(child.attempt - 1, _KEPT_ATTEMPTS):
            found.append(f"completed in attempt {child.attempt} after {len(child.attempts)} failed ones")
    elif child.status == "failed":
        is_early = kind == "give_up" and child.reason == kind
        if child.attempt < limit and not is_early:
            found.append(f"failed in attempt {child.attempt} of {limit}: {child.reason}")
    for attempt in child.attempts:
        word = attempt.error.partition(":")[0]
        if attempt.outcome == "failed" and word not in LEGAL_ERRORS and attempt.error.partition(": ")[2] not in (
            "hopeless", "flaky"
        ) and attempt.error != "give_up":  # fmt: skip
            found.append(f"an attempt failed with {attempt.error[:200]}")
    return found


def _check_result(kind: str, name: str, child: ChildInfo) -> list[str]:
    if kind in ("hopeless", "give_up"):
        return [f"completed, but its kind is {kind}"]
    if kind != "parent":
        return [] if child.result == f"did {name}" else [f"has the result {child.result!r}"]
    results = child.result if isinstance(child.result, list) else []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        wanted = [f"did {name}/{attempt}.{at}" for at in range(2)]
        if len(results) == 2 and all(result in (None, text) for result, text in zip(results, wanted, strict=True)):
            return []
    return [f"has the results {child.result!r}"]
