"""Windows are valid for their vendor after every step of a realistic conversation, whatever was cut, edited or copied."""

from __future__ import annotations

import os
import random
import re
from contextlib import suppress
from typing import Any

import pytest

from redis_sessions import CompactionConflict, EditConflict, LimitExceeded, SessionCache, SessionsError, Window
from tests.conftest import ENGINES
from tests.support.vendors import VALIDATORS, claude_code, openai_responses
from tests.support.vendors.conversations import WRITERS, Conversation, Step, conversation, shrink
from tests.support.vendors.expected import Expected, Register, expected

REAL_ENGINE = next((name for name in ("valkey-9", "path", "redis-6.2") if name in ENGINES), "fake")
TEST_ENGINES = list(dict.fromkeys(("fake", REAL_ENGINE)))
LISTS = 200_000 if os.environ.get("REDIS_SESSIONS_SOAK") else 5_000
LISTS_EACH = -(-LISTS // (len(WRITERS) * len(TEST_ENGINES)))
"""Windows that are judged for each format on each engine."""
UNLIMITED = 10**9
CAPS = (2, 3, 4, 5, 6, 8, 12, 25)


class Violation(AssertionError):
    """A rule does not hold after a step."""


class Play:
    """Play a conversation on a session, and judge the session's windows after every step."""

    def __init__(self, cache: Any, talk: Conversation, seed: int) -> None:
        self.cache = cache
        self.writer = talk.writer
        self.seed = seed
        self.rng = random.Random(seed)
        self.register = Register(talk.writer)
        self.cap = self.rng.choice(CAPS)
        policy = self.rng.choice(("tool_safe", "turn"))
        self.format = self.rng.choice((self.writer.name, self.writer.name, None))
        self.session = self.cache.create(format=self.format, max_messages=self.cap, cap_policy=policy)
        self.setup = f"format={self.format!r}, max_messages={self.cap}, cap_policy={policy!r}"
        self.over = self.judged = 0
        self.has_abandoned = self.had_user = False

    def play(self, steps: list[Step]) -> None:
        """Play steps. Raises Violation."""
        for number, step in enumerate(steps):
            self.rng = random.Random(f"{self.seed} {step}")
            self.had_user = self.expected(self.session).has_user
            getattr(self, f"_{step.name}")(step)
            try:
                self.judge(self.session, retains_user=step.name == "append")
            except Violation as error:
                raise Violation(f"{self.setup}: after step {number} ({step.name}): {error}") from None

    def expected(self, session: Any) -> Expected:
        """Return the expectations for a session's windows."""
        history = session.history()
        late = {at for at, message in enumerate(history) if self.has_abandoned and message.is_late}
        entries = [self.register.entry(message.payload) for message in history]
        return expected(entries, self.writer.is_user_first, late)

    def judge(self, session: Any, *, retains_user: bool = False) -> None:
        """Check a session's windows at several budgets, and its cap. Raises Violation."""
        history = session.history()
        wanted = self.expected(session)
        seqs = [message.seq for message in history]
        if seqs != sorted(set(seqs)):
            raise Violation(f"the seqs are {seqs}")
        if len(history) > self.cap + self.over:
            raise Violation(f"{len(history)} messages are retained, over_cap says {self.over}")
        has_task = wanted.has_user or not self.had_user or not self.writer.is_user_first
        if retains_user and not has_task:
            raise Violation("the cap dropped the last user message, and the vendor wants one first")
        for budget in (1, self.rng.randint(10, 300), UNLIMITED):
            self.judge_window(session, wanted, budget, {})
        options = {"abandoned": "answer"} if self.rng.random() < 0.5 else {"start": "user"}
        if self.rng.random() < 0.5 and self.writer.has_system:
            options["system"] = "keep"
        self.judge_window(session, wanted, self.rng.choice((40, UNLIMITED)), options)

    def judge_window(self, session: Any, wanted: Expected, budget: int, options: dict[str, str]) -> None:
        """Check one window. Raises Violation."""
        window = session.context(max_tokens=budget, **options)
        if not self.format and window.format != self.writer.name:
            if wanted.has_tools:
                raise Violation(f"the format is {window.format!r}, though there are calls")
            return  # messages of role and text say nothing about their vendor
        self.judged += 1
        payloads = window.payloads
        call = f"context(max_tokens={budget}, {options})"
        shown = "".join(f"\n      {payload}" for payload in payloads)
        if wanted.whole and options.get("start") != "user" and not payloads:
            raise Violation(f"{call} is empty, the transcript has {wanted.whole}")
        problems = self.problems(payloads, session) if payloads else []
        if problems:
            raise Violation(f"{call} is refused: {problems}{shown}")
        if window.tokens > budget and not window.over_budget:
            raise Violation(f"{call} has {window.tokens} tokens and over_budget is False")
        self.judge_facts(session, window, budget, options)
        if options:
            return
        missing = wanted.missing(payloads, whole=budget == UNLIMITED)
        if missing:
            raise Violation(f"{call} lacks {missing}{shown}")

    def judge_facts(self, session: Any, window: Window, budget: int, options: dict[str, str]) -> None:
        """Check what a window says of itself. Raises Violation."""
        tokens = sum(message.tokens or 0 for message in window)
        if (window.tokens, window.over_budget) != (tokens, tokens > budget):
            raise Violation(
                f"{window.tokens} tokens, over_budget {window.over_budget}: the messages have {tokens} of {budget}"
            )
        whole = session.context(max_tokens=UNLIMITED, **{**options, "start": "any"})
        left_out = {message.seq for message in whole} - {message.seq for message in window}
        if left_out and not window.truncated:
            raise Violation(f"context(max_tokens={budget}, {options}) lacks {left_out}, and truncated is False")
        if window.truncated and not left_out and not window.over_budget and budget == UNLIMITED:
            raise Violation(f"context({options}) has all messages, and truncated is True")

    def problems(self, payloads: list[dict[str, Any]], session: Any) -> list[str]:
        """Return the reasons why the vendor refuses a list, which is a window of a session."""
        if self.writer.name == "claude_code":
            lines = [message.payload for message in session.history()]
            thinks = {claude_code.message_id(line) for line in lines if "thinking" in claude_code.block_types(line)}
            return claude_code.problems(payloads, thinks)
        if self.writer.name == "openai_responses":
            return openai_responses.problems(payloads, self.register.reasoning_of())
        return VALIDATORS[self.writer.name](payloads)

    def _seq(self, place: float) -> int:
        """Return the seq of the retained message at a place, 0 if there is none."""
        history = self.session.history()
        return int(history[min(int(place * len(history)), len(history) - 1)].seq) if history else 0

    def _append(self, step: Step) -> None:
        self._note(self.session.append(*self.register.add(step.entries)))

    def _note(self, result: Any) -> None:
        self.over = result.over_cap
        self.has_abandoned = self.has_abandoned or bool(result.abandoned)

    def _pin(self, step: Step) -> None:
        seq = self._seq(step.place)
        if not seq:
            return
        is_pinned = next(message.pinned for message in self.session.history() if message.seq == seq)
        with suppress(LimitExceeded):
            (self.session.unpin if is_pinned else self.session.pin)(seq)

    def _compact(self, step: Step) -> None:
        mark = self.writer.mark()
        seq = self._seq(step.place)
        if not seq:
            return
        if step.place < 0.3:
            with suppress(CompactionConflict):
                self.session.compact(keep=int(step.place * 20), summary=lambda messages: f"{len(messages)} {mark}")
            return
        try:
            self.session.compact(seq, mark)
        except CompactionConflict as error:
            for nearest in filter(None, (error.before, error.after)):
                with suppress(CompactionConflict):  # it ends in a pinned message
                    self.session.compact(nearest, mark)
                    return

    def _pop(self, step: Step) -> None:
        before = self.session.history()
        popped = self.session.pop()
        if [message.payload for message in popped] != [message.payload for message in before[-1:]]:
            raise Violation(f"pop() returned {popped}, the newest message was {before[-1:]}")

    def _pop_group(self, step: Step) -> None:
        before = self.session.history()
        popped = self.session.pop(group=True)
        if before and not popped:
            raise Violation("pop(group=True) removed nothing")

    def _replace(self, step: Step) -> None:
        self._note(self.session.replace(*self.register.add(step.entries), after_seq=self._seq(step.place)))

    def _redact(self, step: Step) -> None:
        seq = self._seq(step.place)
        for message in self.session.history():
            entry = self.register.entry(message.payload)
            if message.seq == seq and (entry.mark or entry.results):
                self.session.replace(seq, *self.register.add([entry.redacted()]))

    def _fork(self, step: Step) -> None:
        seq = self._seq(step.place)
        if not seq:
            return
        fork = self._try_fork(seq)
        if fork is None:
            return
        self.judge(fork)
        if step.place < 0.5:
            self.session = fork

    def _try_fork(self, seq: int) -> Any:
        try:
            return self.session.fork(up_to_seq=seq)
        except EditConflict as error:
            nearest = error.before or error.after
            return self.session.fork(up_to_seq=nearest) if nearest else None

    def _spawn_fork(self, step: Step) -> None:
        result = self.session.spawn("helper", context="fork", report=False)
        child = self.cache.open(result.raise_if_refused().session_key)
        self.judge(child)
        child.complete("done")

    def _child(self, step: Step) -> None:
        calls, result = self.expected(self.session).open_calls, None
        if calls and step.place < 0.7:
            id, tool = calls[-1]
            by = {"tool_call_id": id, "tool_name": tool}
            result = self.session.spawn("helper", spawned_by=by, report="tool_result")
        if result is None or result.reason == "call_not_open":  # the call was given up
            result = self.session.spawn("helper", report="message")
        child = self.cache.open(result.raise_if_refused().session_key)
        child.complete(self.writer.mark())
        self.over += 1

    def _reimport(self, step: Step) -> None:
        before = self.session.history()
        self.cache.import_sessions(list(self.session.export(tree=False)), on_conflict="replace")
        self.session = self.cache.session(self.session.id)
        if self.session.history() != before:
            raise Violation("the history is another one after its import")

    def _abandon(self, step: Step) -> None:
        self.has_abandoned = True
        self.session.abandon_calls()


def violation(cache: SessionCache, talk: Conversation, steps: list[Step], seed: int) -> str:
    """Return the violation or the error that steps lead to, '' if there is none."""
    try:
        Play(cache, talk, seed).play(steps)
    except (Violation, SessionsError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def report(cache: SessionCache, talk: Conversation, seed: int, found: str) -> str:
    """Return the fewest steps that lead to a violation of the same kind, and the violation."""
    kind = found.partition(":")[0]
    steps = shrink(talk.steps, lambda left: violation(cache, talk, left, seed).startswith(kind))
    text = f"{talk.writer.name}, seed {seed}\n{steps}\n{violation(cache, talk, steps, seed)}"
    return re.sub(r"( lorem)+|iVBORw0K[^']*", "…", text)


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("engine", TEST_ENGINES, indirect=True)
def test_windows_are_valid_after_every_step(cache: SessionCache, format: str) -> None:
    """Every window is a list that the vendor accepts, has the newest message, and the cap holds or says by how much not."""
    judged = seed = 0
    while judged < LISTS_EACH:
        seed += 1
        talk = conversation(format, seed)
        play = Play(cache, talk, seed)
        try:
            play.play(talk.steps)
        except (Violation, SessionsError) as error:
            pytest.fail(report(cache, talk, seed, f"{type(error).__name__}: {error}"))
        judged += play.judged
    assert judged >= LISTS_EACH
