"""Random programs on one session, and what they must leave: a model of the transcript, the state, the lease and the inbox."""

from __future__ import annotations

import random
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from redis_sessions import (
    OutcomeUnknown,
    RevisionConflict,
    SessionLocked,
    SessionNotActive,
    estimate_tokens,
)  # fmt: skip

from .session_comparison import Difference, compare_session, observed
from .session_player import Player, Step
from .transcript_model import Payload, Refused, Stored, Transcript

OPERATIONS = {
    "append": 30, "append_state": 4, "send": 10, "result": 16, "lease": 5, "expire": 2, "release": 4, "receive": 3, "pop": 4,
    "pop_group": 2, "replace": 4, "redact": 3, "clear": 1, "compact": 4, "compact_keep": 1, "abandon": 2, "pin": 5, "cap": 2,
    "fork": 3, "reimport": 2, "pause": 2, "state": 2, "repeat": 5, "conflict": 2, "child": 4, "end_child": 6, "watch": 6,
    "last_turn": 1,
}  # fmt: skip


def program(seed: int, length: int) -> list[Step]:
    """Return the steps of a program."""
    rng = random.Random(seed)
    names = rng.choices(list(OPERATIONS), list(OPERATIONS.values()), k=length)
    return [Step(name, rng.getrandbits(32), rng.random() < 0.1) for name in names]


class Play(Player):
    """The operations, each by its name behind an underscore."""

    # -- appends -------------------------------------------------------------------------------------------------

    def _append(self, batch: list[Stored] | None = None, by_holder: bool = True, **options: Any) -> None:
        batch = batch or self.batch()
        given, session, id = self.messages(batch), self.writer(), f"b{self.step_seed}"
        if not by_holder:
            session, self.by_holder = self.session, False
        over = (0, 0)

        def model() -> tuple[int, int]:
            self.check_writer()
            if self.is_expired and not self.by_holder and self.inbox:
                self.model._check_pins(sum(one.pinned for one in batch))
                found = self.model.append([*self.inbox, *batch], check=False)
                self.inbox = []
            else:
                found = self.model.append(batch)
            self.after_write(appends=True)
            self.rev += 1
            return found

        def operate() -> Any:
            return session.append(*given, batch_id=id, **options)

        done = self.run(operate, model)
        if done is None:
            return
        result, over = done
        first = self.model.last_seq - len(batch) + 1
        found = (result.first_seq, result.last_seq, result.rev, result.count, result.over_cap, result.abandoned)
        wanted = (first, self.model.last_seq, self.rev, len(self.model.retained), *over)
        if found != wanted:
            raise Difference(f"append returned {found}, the model has {wanted}")
        self.done.append((lambda: session_append(self.session, given, id, options), found[:3]))

    def _result(self) -> None:
        if self.model.open:
            chosen = self.rng.sample(self.model.open, self.rng.randint(1, min(3, len(self.model.open))))
            self._append([self.result_of(call.id) for call in chosen])
        else:
            self._append()

    def _append_state(self) -> None:
        name, value = self.rng.choice("ab"), self.rng.randint(0, 3)
        wanted = self.rng.choice((None, 0, 1, 2, 3))
        batch = self.batch() if self.rng.random() < 0.8 else []
        given, session, id = self.messages(batch), self.writer(), f"b{self.step_seed}"

        def model() -> Any:
            self.check_writer()
            if self.state.get(name) != wanted:
                raise Refused("StateConflict")
            if batch:
                self.model.append(batch)
            self.state[name] = value
            self.rev += 1
            self.after_write()

        done = self.run(
            lambda: session.append(*given, state={name: value}, if_state={name: wanted}, batch_id=id), model
        )
        if done and (done[0].rev, done[0].last_seq) != (self.rev, self.model.last_seq):
            raise Difference(f"append returned {done[0]}, the model has rev {self.rev}, last_seq {self.model.last_seq}")

    def _state(self) -> None:
        name, value, session = self.rng.choice("ab"), self.rng.randint(0, 3), self.writer()

        def model() -> None:
            self.check_writer(needs_active=False)
            self.state[name] = value
            self.rev += 1
            self.after_write()

        self.run(lambda: session.state.put(name, value) and None, model)

    def _send(self) -> None:
        one = self.draw()
        one.pinned = False
        id = f"b{self.step_seed}"
        self.by_holder = self.lease is not None and self.rng.random() < 0.2
        session = self.lease.session if self.by_holder else self.session

        def model() -> Any:
            if self.status != "active":
                raise Refused("SessionNotActive")
            if self.lease is not None and not self.is_expired and not self.by_holder:
                self.inbox.append(one)
                return None
            if not self.by_holder:
                self.inbox.append(one)
                self.take_inbox()
            else:
                self.model.append([one])
            self.after_write(appends=True)
            self.rev += 1
            return self.model.last_seq

        done = self.run(lambda: session.send(one.payload, batch_id=id), model)
        if done:
            if done[0].seq != done[1]:
                raise Difference(f"send returned seq {done[0].seq}, the model has {done[1]}")
            self.done.append((lambda: self.session.send(one.payload, batch_id=id).seq, done[1]))

    # -- the lease -----------------------------------------------------------------------------------------------

    def _lease(self) -> None:
        if self.lease is not None and not self.is_expired:
            return
        if self.status != "active":
            return
        lease = self.session.lease(ttl=600, wait=0)
        copy_context().run(lease.acquire)
        self.lease, self.is_expired = lease, False

    def _expire(self) -> None:
        if self.lease is not None:
            self.expire_lease(self.session)
            self.is_expired = True
            if self.inbox and self.status == "active":  # before the library itself brings the inbox in
                self._append(by_holder=False)

    def _release(self) -> None:
        if self.lease is None:
            return
        lease = self.lease

        def model() -> None:
            if self.status == "active" and self.inbox:
                self.take_inbox()
                self.rev += 1
            self.lease, self.is_expired = None, False

        self.run(lease.release, model)

    def _receive(self) -> None:
        if self.lease is None:
            return
        lease = self.lease

        def model() -> list[Any]:
            if self.status != "active":
                raise Refused("SessionNotActive")
            count = len(self.inbox)
            if count:
                self.take_inbox()
                self.rev += 1
            return list(range(self.model.last_seq - count + 1, self.model.last_seq + 1))

        done = self.run(lambda: [one.seq for one in lease.receive()], model)
        is_right = done is None or done[0] == done[1] or (self.losing and done[0] == done[1][-len(done[0]) :])
        if not is_right:
            raise Difference(f"receive returned {done[0]}, the model has {done[1]}")

    # -- edits ---------------------------------------------------------------------------------------------------

    def _pop(self, group: bool = False) -> None:
        def model() -> Any:
            going = self.model.newest_group() if group else self.model.retained[-1:]
            if not going:
                self.rev -= 1
                return []
            self.model.cut(going[0].seq - 1)
            return [one.payload for one in going]

        if not self.model.retained:
            return
        self.edit(lambda session, id: [one.payload for one in session.pop(group=group, batch_id=id)], model)

    def _pop_group(self) -> None:
        self._pop(group=True)

    def _replace(self) -> None:
        batch = self.batch() if self.rng.random() < 0.8 else []
        after = self.rng.choice((0, self.seq() - 1, self.seq(), self.model.last_seq))
        given = self.messages(batch)

        def model() -> Any:
            if after > self.model.last_seq:
                raise Refused("EditConflict beyond_end")
            first = after + 1
            before = self.model.pins
            self.model.cut(after)
            pins = sum(one.pinned for one in batch)
            if self.model.pins + pins >= before:
                self.model._check_pins(pins)
            if batch:
                first = self.model.last_seq + 1
                self.model.append(batch, check=False)
            return first, self.model.last_seq, len(self.model.retained)

        def operate(session: Any, id: str) -> Any:
            result = session.replace(*given, after_seq=after, batch_id=id)
            return result.first_seq, result.last_seq, result.count

        self.edit(operate, model)

    def _redact(self) -> None:
        seq = self.seq()
        found = next((one for one in self.model.retained if one.seq == seq), None)
        payload = {"role": "user", "content": "x"} if found is None else {**found.payload, "content": f"removed {seq}"}

        def model() -> Any:
            if found is None:
                raise Refused("MessageNotFound")
            one = self.model.find(seq)
            one.payload, one.tokens = payload, estimate_tokens(payload)
            return None

        def operate(session: Any, id: str) -> None:
            session.replace(seq, payload, batch_id=id)

        self.edit(operate, model, needs_active=False)

    def _clear(self) -> None:
        self.edit(lambda session, id: bool(session.clear(batch_id=id)), lambda: self.model.cut(0) is not None)

    def _compact(self) -> None:
        seq, text = self.seq(), self.text()

        def model() -> Any:
            return self.model.compact(seq, summary(text, self.model, seq), 0)

        if self.edit(lambda session, id: session.compact(seq, text, batch_id=id), model):
            self.learn_summary(seq, text)

    def _compact_keep(self) -> None:
        keep, text = self.rng.randint(0, 6), self.text()

        if not self.model.retains_open_calls:
            return  # `oldest` dropped the call that is open, so no reader can know
        retained = self.model.retained
        limit = retained[-keep - 1].seq if len(retained) > keep else 0
        fitting = [seq for seq in self.model.ends() if seq <= limit and not self.model.find(seq).pinned]

        def operate(session: Any, id: str) -> int:
            return int(session.compact(keep=keep, summary=text, batch_id=id))

        if not fitting:
            with suppress(SessionLocked, SessionNotActive):
                if operate(self.writer(), "nothing"):
                    raise Difference("compact found something to replace")
            return
        if self.edit(
            operate,
            lambda: self.model.compact(fitting[-1], summary(text, self.model, fitting[-1]), 0),
            may_repeat=False,
        ):
            self.learn_summary(fitting[-1], text)

    def _abandon(self) -> None:
        ids = None
        if self.model.open and self.rng.random() < 0.5:
            ids = [self.rng.choice(self.model.open).id, "unknown"]
        self.edit(lambda session, id: session.abandon_calls(ids, batch_id=id), lambda: self.model.abandon(ids))

    def _pin(self) -> None:
        seq, pinned = self.seq(), self.rng.random() < 0.6

        def model() -> Any:
            if not self.model.pin(seq, pinned):
                self.rev -= 1
                self.keeps_lease = True

        def operate(session: Any, id: str) -> None:
            (session.pin if pinned else session.unpin)(seq)

        was = (self.lease, self.is_expired)
        self.keeps_lease = False
        if self.edit(operate, model, needs_active=False, may_repeat=False) and self.keeps_lease:
            self.lease, self.is_expired = was

    def _cap(self) -> None:
        cap, session = self.rng.choice((2, 3, 5, 8, 20)), self.writer()
        if self.model.pins > cap / 2:
            return

        def model() -> None:
            self.check_writer(needs_active=False)
            self.model.cap = cap
            self.rev += 1
            self.after_write()

        self.run(lambda: session.patch(max_messages=cap) and None, model)

    # -- copies --------------------------------------------------------------------------------------------------

    def _fork(self) -> None:
        seq = self.rng.choice((None, self.seq(), self.seq(), 0))
        done = self.run(lambda: self.session.fork(seq), lambda: self.model.fork(seq))
        if not done:
            return
        fork, model = done
        compare_session(fork, model, self.prompt, self.rng)
        if self.rng.random() < 0.4 and not self.children:
            state = self.state
            if self.lease is not None:
                self.lease._held = None
            self.parent, self.model = fork, model
            self.reset()
            self.state = dict(state)
            self.children = []

    def _reimport(self) -> None:
        if self.lease is not None:
            return
        before = observed(self.session)
        self.cache.import_sessions(list(self.session.export()), on_conflict="replace")
        self.session = self.parent = self.cache.session(self.session.id)
        after = observed(self.session)
        if before != after:
            raise Difference(f"before the import {before}, after it {after}")
        self.children = [(self.cache.session(child.id), *rest) for child, *rest in self.children]

    def _last_turn(self) -> None:
        last = self.session.last_turn()
        if last is not None:
            user = last.user_message.seq
            if not any(one.seq == user for one in self.model.retained):
                raise Difference(f"last_turn() opens with seq {user}")

    # -- status, children, watchers ------------------------------------------------------------------------------

    def _pause(self) -> None:
        if self.status == "active":
            self.session.pause()
            self.status, self.rev = "paused", self.rev + 1
        else:
            self.session.resume()
            self.status, self.rev = "active", self.rev + 1
            if self.is_expired:
                self.lease, self.is_expired = None, False
            if self.lease is None and self.inbox:
                self.take_inbox()
                self.rev += 1

    def _conflict(self) -> None:
        with_rev = abs(self.rev + self.rng.choice((-1, 1)))
        self.by_holder = False
        session = self.lease.session if self.lease is not None else self.session
        if self.status == "active":
            try:
                session.append({"role": "user", "content": "x"}, expected_rev=with_rev)
            except RevisionConflict as problem:
                if problem.rev != self.rev:
                    raise Difference(f"RevisionConflict says {problem.rev}, the model {self.rev}") from None
            else:
                raise Difference("an append with another revision was accepted")

    def _repeat(self) -> None:
        recent = self.done[-20:]
        if not recent:
            return
        operate, result = self.rng.choice(recent)
        try:
            again = operate()
        except OutcomeUnknown:
            if isinstance(result, list):
                return  # what was popped is not kept any more
            raise
        if again != result and not (isinstance(result, tuple) and again == result[: len(again)]):
            raise Difference(f"the repeated operation returned {again!r}, the first time {result!r}")

    def _child(self) -> None:
        if self.status != "active" or len(self.children) > 4:
            return
        self.by_holder = False
        report = self.rng.choice(("message", "tool_result", False))
        by = None
        if report == "tool_result":
            if not self.model.open:
                return
            call = self.rng.choice(self.model.open).id
            by = {"tool_call_id": call, "tool_name": "f"}
        session = self.lease.session if self.lease is not None else self.session
        result = session.spawn("helper", mode="session", report=report, spawned_by=by).raise_if_refused()
        self.rev = self.session.info().rev
        self.children.append((self.cache.session(result.session_key), report, "" if by is None else by["tool_call_id"]))

    def _end_child(self) -> None:
        if not self.children:
            return
        child, report, call = self.children.pop(self.rng.randrange(len(self.children)))
        text, status = self.text()[:100], self.rng.choice(("completed", "failed", "cancelled"))
        self.lose(self.losing)
        if status == "completed":
            child.complete(text)
        elif status == "failed":
            child.fail(reason=text)
        else:
            child.cancel(reason=text)
        self.lose(False)
        was_expired = self.is_expired
        if was_expired:
            self.lease, self.is_expired = None, False
        if not report:
            if was_expired and self.status == "active" and self.inbox:
                self.take_inbox()
                self.rev += 1
            return
        content = f"[helper {status}] {text}"
        if report == "tool_result":
            one = Stored(0, "t", {"role": "tool", "tool_call_id": call, "content": content}, -1, result_of=call)
        else:
            one = Stored(0, "u", {"role": "user", "content": content}, -1)
        self.inbox.append(one)
        if self.status == "active" and self.lease is None:
            self.take_inbox()
            self.rev += 1

    def _watch(self) -> None:
        """Bring a replica up to date by the events since the last time."""
        for event in self.session.watch(cursor=self.cursor, timeout=0.02):
            if event.kind == "message":
                self.replica[event.seq] = event.message.payload
            elif event.kind == "edit":
                self.replica = {seq: one for seq, one in self.replica.items() if seq < event.first_seq}
                changed = self.session.history(after_seq=event.first_seq - 1)
                self.replica |= {one.seq: one.payload for one in changed if one.seq <= event.seq}
            elif event.kind == "status":
                self.seen_status = event.status
            elif event.kind == "gap" and event.first_seq is not None:
                self.replica = {
                    seq: one for seq, one in self.replica.items() if not event.first_seq <= seq <= event.seq
                }
            self.cursor = event.cursor
        for one in self.model.retained:
            if one in self.model.listed and self.replica.get(one.seq) != one.payload:
                raise Difference(
                    f"a watcher has {self.replica.get(one.seq)} for seq {one.seq}, stored is {one.payload}"
                )
        retained = {one.seq for one in self.model.retained}
        ghosts = {seq for seq in self.replica if seq in self.model.edited and seq not in retained}
        if ghosts:
            raise Difference(f"a watcher still has the messages {ghosts}, which edits removed")
        if self.seen_status != self.status:
            raise Difference(f"a watcher has the status {self.seen_status}, the session has {self.status}")


def session_append(session: Any, given: list[Any], id: str, options: dict[str, Any]) -> tuple[int, int, int]:
    """Repeat an append."""
    result = session.append(*given, batch_id=id, **options)
    if not result.duplicate:
        raise Difference(f"the append {id} happened twice")
    return result.first_seq, result.last_seq, result.rev


def summary(text: str, model: Transcript, seq: int) -> Payload:
    """Return a payload to be replaced by that of the library."""
    return {"role": "user", "content": text, "seq": seq}
