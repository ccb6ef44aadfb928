"""Play operations on one session and on a model of it, with replies that are lost, and compare both after each step."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from redis_sessions import (
    CompactionConflict,
    EditConflict,
    LeaseLost,
    LimitExceeded,
    Message,
    MessageNotFound,
    RevisionConflict,
    SessionLocked,
    SessionNotActive,
    SessionsError,
    StateConflict,
    estimate_tokens,
)  # fmt: skip

from .session_comparison import Difference, compare_session
from .transcript_model import Call, Payload, Refused, Stored, Transcript

ERRORS = (
    CompactionConflict, EditConflict, LeaseLost, LimitExceeded, MessageNotFound, RevisionConflict, SessionLocked,
    SessionNotActive, StateConflict,
)  # fmt: skip


class Step(NamedTuple):
    """One operation. All its choices come from its seed."""

    name: str
    seed: int
    loses_reply: bool = False


def name_of(problem: SessionsError) -> str:
    """Return the name of an error with the facts that the model knows."""
    facts = [type(problem).__name__]
    for fact in ("limit", "reason"):
        if hasattr(problem, fact):
            facts.append(str(getattr(problem, fact)))
    if getattr(problem, "reason", "") == "in_group":
        facts += [str(problem.before), str(problem.after)]  # type: ignore[attr-defined]
    return " ".join(facts)


class Player:
    """Play a program on a session and on its model, and compare both after each step."""

    def __init__(self, cache: Any, seed: int, lose: Any, expire_lease: Any) -> None:
        rng = random.Random(seed)
        self.cache, self.lose, self.expire_lease = cache, lose, expire_lease
        self.cap = rng.choice((0, 1, 2, 3, 4, 5, 6, 8, 12, 20, 80))
        policy = rng.choice(("tool_safe", "tool_safe", "turn", "oldest"))
        self.limited = rng.random() < 0.15
        """A limit that is never reached makes all appends take the long way through the scripts."""
        self.parent = cache.create(
            format="openai_chat", max_messages=self.cap or None, cap_policy=policy, system_prompt=rng.choice((None, "Be brief.")),
            max_children=50, max_active=50, max_descendants=60, max_entries=10**6 if self.limited else None,
        )  # fmt: skip
        self.setup = f"max_messages={self.cap}, cap_policy={policy}, limited={self.limited}"
        self.model = Transcript(self.cap, policy)
        self.number = 0
        self.reset()

    def reset(self) -> None:
        self.session = self.parent
        self.prompt = self.parent.info().system_prompt
        self.state: dict[str, Any] = {}
        self.status, self.rev = "active", self.parent.info().rev
        self.lease: Any = None
        self.is_expired = False
        self.inbox: list[Stored] = []
        self.children: list[tuple[Any, str | bool, str]] = []
        self.done: list[tuple[Any, Any]] = []
        """Operations that can be repeated: a function, and what it returned."""
        self.replica: dict[int, Payload] = {}
        self.cursor = "0-0"
        self.seen_status = "active"

    def play(self, steps: list[Step]) -> None:
        for at, step in enumerate(steps):
            self.rng = random.Random(step.seed)
            self.is_append = step.name in ("append", "result")
            self.step_seed = step.seed
            self.losing = step.loses_reply
            try:
                getattr(self, f"_{step.name}")()
                self.compare()
            except (Difference, AssertionError, SessionsError, Refused) as problem:
                raise Difference(f"{self.setup}: step {at} {step}: {type(problem).__name__}: {problem}") from problem
            finally:
                self.lose(False)

    # -- helpers -------------------------------------------------------------------------------------------------

    def text(self) -> str:
        self.number += 1
        return f"{self.number}" + " lorem" * self.rng.choice((0, 0, 1, 5, 40))

    def stored(self, kind: str, payload: Payload, **more: Any) -> Stored:
        return Stored(0, kind, payload, estimate_tokens(payload), **more)

    def draw(self) -> Stored:
        kind = self.rng.choice("uuuaaccccsl")
        text = self.text()
        if kind == "c":
            busy = {call.id for call in self.model.open}
            used = [call.id for one in self.model.retained for call in one.calls if call.id not in busy]
            ids = [f"c{self.number}.{n}" for n in range(self.rng.choice((1, 1, 2, 3)))]
            if used and self.model.policy != "oldest" and self.rng.random() < 0.1:
                ids[0] = self.rng.choice(used)
            content = text if self.rng.random() < 0.5 else None
            made = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ids]
            payload = {"role": "assistant", "content": content, "tool_calls": made}
            return self.stored("a", payload, calls=[Call(id, 0) for id in ids])
        if kind == "l":
            return self.result_of(f"never{self.rng.randint(0, 3)}")
        role = {"u": "user", "a": "assistant", "s": "system"}[kind]
        one = self.stored(kind, {"role": role, "content": text})
        one.pinned = self.rng.random() < 0.08
        return one

    def result_of(self, id: str) -> Stored:
        return self.stored("t", {"role": "tool", "tool_call_id": id, "content": self.text()}, result_of=id)

    def batch(self) -> list[Stored]:
        return [self.draw() for _ in range(self.rng.choice((1, 1, 1, 1, 2, 3, 6)))]

    def messages(self, batch: list[Stored]) -> list[Any]:
        return [Message(payload=one.payload, pinned=True) if one.pinned else one.payload for one in batch]

    def writer(self) -> Any:
        """Return the handle that writes: the holder's most of the time, if there is one."""
        self.by_holder = self.lease is not None and self.rng.random() < 0.7
        return self.lease.session if self.by_holder else self.session

    def check_writer(self, needs_active: bool = True) -> None:
        """Refuse as the lease and the status demand. An edit, unlike an append, looks at the lease first."""
        is_locked = self.lease is not None and not self.is_expired and not self.by_holder
        if is_locked and not self.is_append:
            raise Refused("SessionLocked")
        if needs_active and self.status != "active":
            raise Refused("SessionNotActive")
        if is_locked:
            raise Refused("SessionLocked")

    def after_write(self, *, appends: bool = False) -> None:
        """A write without the lease ends a lease that ran out."""
        if self.is_expired and not self.by_holder and (appends or not self.inbox):
            self.lease, self.is_expired = None, False

    def take_inbox(self) -> int:
        """Move the inbox into the transcript. Return how many messages moved."""
        batch, self.inbox = self.inbox, []
        self.model.append(batch, check=False)
        return len(batch)

    def run(self, operate: Any, model: Any) -> Any:
        """Run an operation and its model. Both return, or refuse for the same reason. Return both results, or None."""
        before = self.model.copy()
        try:
            expected, refusal = model(), ""
        except Refused as problem:
            expected, refusal = None, str(problem)
            self.model = before
        self.lose(self.losing)
        try:
            result, problem_name = operate(), ""
        except ERRORS as problem:
            result, problem_name = None, name_of(problem)
        finally:
            self.lose(False)
        if problem_name.partition(" ")[0] != refusal.partition(" ")[0] or not problem_name.startswith(refusal):
            raise Difference(f"the library says {problem_name or result!r}, the model {refusal or expected!r}")
        return None if refusal else (result, expected)

    def seq(self) -> int:
        retained = self.model.retained
        if not retained or self.rng.random() < 0.05:
            return self.rng.randint(1, self.model.last_seq + 2)
        return self.rng.choice(retained).seq

    def edit(self, operate: Any, model: Any, *, needs_active: bool = True, may_repeat: bool = True) -> Any:
        """Run an edit, which the lease and the status may refuse."""
        session, id = self.writer(), f"b{self.step_seed}"

        def whole() -> Any:
            self.check_writer(needs_active)
            found = model()
            self.rev += 1
            self.after_write()
            return found

        done = self.run(lambda: operate(session, id), whole)
        if done and done[0] != done[1]:
            raise Difference(f"the library returned {done[0]!r}, the model {done[1]!r}")
        if done and may_repeat:
            self.done.append((lambda: operate(self.session, id), done[0]))
        return done

    def learn_summary(self, seq: int, text: str) -> None:
        """Take over the payload that the library made, after a look at it."""
        stored = next(one for one in self.session.history() if one.seq == seq and one.metadata.get("compaction"))
        if stored.content != text or stored.metadata["compaction"]["to_seq"] != seq:
            raise Difference(f"the summary is {stored.payload}")
        one = next(one for one in self.model.listed if one.seq == seq)
        one.payload, one.tokens = stored.payload, stored.tokens

    def compare(self) -> None:
        """Compare the session with its model."""
        compare_session(self.session, self.model, self.prompt, self.rng)
        info = self.session.info()
        found = (info.rev, info.status, info.inbox_size, info.lease is not None)
        wanted = (self.rev, self.status, len(self.inbox), self.lease is not None and not self.is_expired)
        if found != wanted:
            raise Difference(f"info has rev, status, inbox, lease {found}, the model {wanted}")
        if self.session.state.all() != self.state:
            raise Difference(f"the state is {self.session.state.all()}, the model has {self.state}")
