"""Comparison of a session with its model: the history, the counts and the windows."""

from __future__ import annotations

import json
import random
from typing import Any

from redis_sessions import estimate_tokens

from .expected_window import parts, within
from .transcript_model import Payload, Transcript
from .vendors import openai_chat


class Difference(AssertionError):
    """The library and the model differ."""


def compare_session(session: Any, model: Transcript, prompt: str | None, rng: random.Random) -> None:
    """Compare the transcript of a session with a model."""
    history = session.history()
    kinds = {"user": "u", "assistant": "a", "tool": "t", "system": "s"}
    retained = model.retained
    for one, stored in zip(retained, history, strict=False):
        if one.tokens < 0 and one.seq == stored.seq:  # a result of a child
            if stored.metadata.get("subagent") is None and one.kind == "u":
                raise Difference(f"the message of a child is {stored.payload}")
            if stored.content != one.payload["content"]:
                raise Difference(f"the message of a child is {stored.payload}, wanted {one.payload}")
            one.payload, one.tokens = stored.payload, stored.tokens
    found = [
        (one.seq, kinds[one.role], one.pinned, one.continues_group, one.has_abandoned_call, one.is_late, one.tokens)
        for one in history
    ]
    if found != [one.facts for one in retained]:
        raise Difference(f"the history is\n  {found}, the model has\n  {[one.facts for one in retained]}")
    if [one.payload for one in history] != [one.payload for one in retained]:
        raise Difference("the payloads differ")
    info = session.info()
    tokens = sum(one.tokens for one in retained) + (estimate_tokens({"content": prompt}) if prompt else 0)
    if (info.count, info.last_seq, info.tokens) != (len(retained), model.last_seq, tokens):
        raise Difference(
            f"info has {info.count}, {info.last_seq}, {info.tokens}; wanted {len(retained)}, {model.last_seq}, {tokens}"
        )
    counts = (info.user_messages, info.assistant_messages, info.turns)
    if model.counts_exactly and counts != model.counts():
        raise Difference(f"info counts users, assistants, turns {counts}, the model {model.counts()}")
    compare_windows(session, model, prompt, rng)


def compare_windows(session: Any, model: Transcript, prompt: str | None, rng: random.Random) -> None:
    """Compare windows with budgets that end at any part."""
    wanted = parts(model.retained)
    first = [] if prompt is None else [{"role": "system", "content": prompt}]
    prompt_tokens = sum(map(estimate_tokens, first))
    total = sum(part.tokens for part in wanted) + prompt_tokens
    for budget in (10**9, rng.randint(0, total + 1), total):
        chosen, tokens = within(wanted, budget, prompt_tokens)
        window = session.context(max_tokens=budget)
        payloads = [sendable(payload) for part in chosen for payload in part.payloads]
        found = (window.payloads, window.tokens, window.truncated, window.over_budget)
        is_read_whole = tokens <= budget or len(chosen) == len(wanted) == len(model.retained)
        truncated = len(chosen) < len(wanted) or (window.truncated and not is_read_whole)
        right = (first + payloads, tokens, truncated, tokens > budget)
        if found != right:
            shown = "".join(f"\n  {a}\n  {b}" for a, b in zip(found, right, strict=True) if a != b)
            raise Difference(f"context({budget}) is not as the model says:{shown}")
        problems = openai_chat.problems(window.payloads) if window.payloads else []
        if problems:
            raise Difference(f"context({budget}) is refused: {problems}")


def sendable(payload: Payload) -> Payload:
    """Return a payload without the metadata of the library."""
    return {name: value for name, value in payload.items() if name != "metadata"}


def observed(session: Any) -> str:
    """Return all that a reader sees of a session, as text."""
    info = session.info().model_dump(mode="json")
    for name in ("read_at", "expires_in", "bytes", "lease"):
        info.pop(name)
    history = [
        (one.seq, one.id, one.payload, one.pinned, one.facts, one.batch_id, one.timestamp_ms, one.tokens)
        for one in session.history()
    ]
    last = session.last_turn()
    return json.dumps([info, history, session.state.all(), session.context().payloads, last and last.number])
