"""Each script on its own, called as any language would: what it returns, the errors it can give, the lifetimes it sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from redis_sessions._core.scripts import names, script
from tests.servers import Server

KEYS = ["ns:{t}:session:a", "ns:{t}:messages:a"]
MORE = [*KEYS, *[f"ns:{{t}}:{kind}" for kind in ("session:b", "messages:b", "queue:x", "due:x", "workers:x")]]
CREATE = {"life": "L1", "get": "", "rules": "3 tool_safe 100", "ttl": "60000", "lifetime": "0"}


class Scripts:
    """Calls a script by the names of its arguments."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def __call__(self, name: str, *rest: str, **arguments: str) -> Any:
        found = script(name)
        wanted = found.arguments[:-1] if found.takes_rest else found.arguments
        values = [arguments.get(argument, "") for argument in wanted]
        assert set(arguments) <= set(wanted)
        return self.client.eval(found.source, len(found.keys), *MORE[: len(found.keys)], *values, *rest)

    def create(self, *fields: str, **changed: str) -> Any:
        return self("sessions/create", *fields, **{**CREATE, **changed})

    def append(self, *entries: str, **changed: str) -> Any:
        return self("messages/append", *entries, **{"batch": "b", "seen": "0", **changed})

    def refused(self, word: str, name: str, *rest: str, **arguments: str) -> None:
        assert word in script(name).errors
        before = self.client.dump(KEYS[0]), self.client.lrange(KEYS[1], 0, -1)
        with pytest.raises(redis.ResponseError, match=f"^{word} "):
            self(name, *rest, **arguments)
        assert (self.client.dump(KEYS[0]), self.client.lrange(KEYS[1], 0, -1)) == before


@pytest.fixture
def scripts(server: Server) -> Iterator[Scripts]:
    yield Scripts(server.client)
    server.client.flushall()


def test_append_returns_what_it_did(scripts: Scripts) -> None:
    """'life duplicate first last rev count dropped limit-state', and both keys expire together."""
    scripts.create()
    assert scripts.append("u@1 b {}", "a@2 b {}") == b"L1 0 1 2 1 2 0 ok"
    assert scripts.append("u@1 b {}") == b"L1 1 1 2 1 2 0 ok"
    lives = [scripts.client.pttl(key) for key in KEYS]
    assert all(59_000 < life <= 60_000 for life in lives)
    element = scripts.client.lrange(KEYS[1], 0, 0)[0]
    assert element[13:] == b"u@1 b {}"
    assert element[:13].isdigit()


# Something for every argument that may not be empty.
VALUES = {"seen": "0", "after": "0", "below": "0", "limit": "1", "sets": "0", "most": "9", "number": "1", "scan": "9"}
VALUES |= {"batch": "new", "seq": "1", "amount": "1", "entry": "u@1 new {}"}
VALUES |= {"nonce": "n1", "owner": "me", "ttl": "5000", "wait": "0", "channel": "ns:wake:p", "counted": "1"}


def values(name: str, **changed: str) -> dict[str, str]:
    found = script(name)
    fixed = found.arguments[:-1] if found.takes_rest else found.arguments
    return {argument: (VALUES | changed).get(argument, "") for argument in fixed}


def entries(name: str) -> list[str]:
    return ["u@1 new {}"] if name == "messages/append" else []


@pytest.mark.parametrize("name", [name for name in names() if "NOT_FOUND" in script(name).errors])
def test_without_a_session_nothing_is_made(scripts: Scripts, name: str) -> None:
    """NOT_FOUND, and no key appears: no ghost sessions."""
    scripts.refused("NOT_FOUND", name, *entries(name), **values(name))
    assert scripts.client.keys() == []


@pytest.mark.parametrize("name", [name for name in names() if "REPLACED" in script(name).errors])
def test_another_life_is_refused(scripts: Scripts, name: str) -> None:
    """REPLACED, and nothing changes."""
    scripts.create()
    scripts.append("u@1 b {}")
    scripts.refused("REPLACED", name, *entries(name), **values(name, life="other"))


@pytest.mark.parametrize("name", ["messages/clear", "messages/pin", "sessions/patch", "state/clear", "state/add"])
def test_a_change_is_made_once_for_a_batch_id(scripts: Scripts, name: str) -> None:
    """Repeated, it answers what it answered then, even when the expected rev has passed."""
    scripts.create()
    scripts.append("u@1 b {}", "u@1 b {}")
    given = values(name, pinned="1", prefix="state.", field="state.n", expected="1")
    first = scripts(name, **given)
    scripts.append("u@1 c {}", batch="c")
    assert scripts(name, **given) == first
    assert scripts.client.llen(KEYS[1]) == (1 if name == "messages/clear" else 3)


def test_append_refuses_in_this_order(scripts: Scripts) -> None:
    """Life, known batch, status, rev, regress, size: the first that applies is told."""
    scripts.create()
    scripts.append("u@1 b {}")
    bad = {"batch": "new", "expected": "9", "seen": "7"}
    large = "u@1 new " + "x" * 101
    scripts.refused("REPLACED", "messages/append", large, life="other", **bad)
    assert scripts.append(large, **{**bad, "batch": "b"}).split()[1] == b"1"
    scripts("sessions/status", status="paused")
    scripts.refused("NOT_ACTIVE", "messages/append", large, **bad)
    scripts("sessions/status", status="active")
    scripts.refused("REVISION", "messages/append", large, **bad)
    scripts.refused("REGRESSED", "messages/append", large, **{**bad, "expected": ""})
    scripts.refused("TOO_LARGE", "messages/append", "u@1 new {}", large, batch="new", seen="0")


def test_append_holds_limits(scripts: Scripts) -> None:
    """LIMIT says which, where it would be, and how much is allowed."""
    scripts.create("limits", "- 1 - error")
    scripts.append("u@1 b {}")
    with pytest.raises(redis.ResponseError, match=r"^LIMIT entries 2 1 error"):
        scripts.append("u@1 c {}", batch="c")


def test_a_repeated_batch_is_found_among_the_messages(scripts: Scripts) -> None:
    """After its record left the window; and when the cap dropped everything since, nobody can tell."""
    scripts.create(rules="0 tool_safe 100")
    scripts.append("u@1 old {}", "u@1 old {}", batch="old")
    for number in range(200):
        scripts.append(f"u@1 n{number} {{}}", batch=f"n{number}")
    assert scripts.append("u@1 old {}", batch="old", elapsed="5000").split()[1:4] == [b"1", b"1", b"2"]
    assert scripts.append("u@1 new {}", batch="new", elapsed="5000").split()[1] == b"0"
    scripts.client.delete(*KEYS)
    scripts.create()
    for number in range(200):
        scripts.append(f"u@1 n{number} {{}}", batch=f"n{number}")
    with pytest.raises(redis.ResponseError, match=r"^UNSETTLED lost"):
        scripts.append("u@1 lost {}", batch="lost", elapsed="5000")


def test_a_session_that_lost_its_messages_is_gone(scripts: Scripts) -> None:
    """Evicted messages leave a torn session: appends refuse it, create replaces it."""
    scripts.create()
    scripts.append("u@1 b {}")
    scripts.client.delete(KEYS[1])
    with pytest.raises(redis.ResponseError, match=r"^NOT_FOUND"):
        scripts.append("u@1 c {}", batch="c")
    assert scripts.create(life="L2") == [1, b"L2"]


def test_create_is_repeatable_and_refuses(scripts: Scripts) -> None:
    """The same life twice is one creation; another is refused, or handed the existing one."""
    assert scripts.create() == [1, b"L1"]
    assert scripts.create() == [1, b"L1"]
    scripts.refused("EXISTS", "sessions/create", **{**CREATE, "life": "L2"})
    assert scripts.create(life="L2", get="too") == [0, b"L1"]
    assert scripts.create(life="L2", get="only") == [0, b"L1"]
    scripts.client.delete(*KEYS)
    assert scripts.create(life="L2", get="only") == [0, b""]
    assert scripts.client.exists(*KEYS) == 0


def test_a_lifetime_becomes_a_deadline(scripts: Scripts) -> None:
    """In the rules, absolute, and never passed by the idle ttl."""
    scripts.create(ttl="60000", lifetime="1000")
    scripts.append("u@1 b {}")
    assert all(0 < scripts.client.pttl(key) <= 1000 for key in KEYS)
    rules = scripts.client.hget(KEYS[0], "rules")
    assert rules is not None
    assert rules.split()[-1].isdigit()


def test_other_refusals(scripts: Scripts) -> None:
    """Every other error word, and what was there stays."""
    scripts.create()
    scripts.append("u@1 b {}")
    scripts.refused("NO_MESSAGE", "messages/pin", seq="9", pinned="1")
    scripts.refused("NOT_A_NUMBER", "state/add", batch="x", field="status", amount="1")
    scripts.refused("LIMIT", "sessions/patch", "state.a", "1", sets="1", most="3")
    for name in ("messages/clear", "sessions/status", "sessions/patch", "state/clear"):
        numbers = {"sets": "0", "most": "9", "status": "completed", "prefix": "state."}
        fixed = {key: value for key, value in numbers.items() if key in script(name).arguments}
        scripts.refused("REVISION", name, expected="99", **fixed)
    scripts("sessions/status", status="completed")
    scripts.refused("TRANSITION", "sessions/status", status="active")
    scripts.refused("NOT_ACTIVE", "messages/clear")


def test_a_deletion_takes_the_json_first(scripts: Scripts) -> None:
    """1 for what was there, 0 for nothing; the next name is as it was."""
    documents = KEYS[0]
    scripts.client.hset(documents, mapping={"n.json": "1", "n.md": "x", "m.md": "y"})
    given = {"json": "n.json", "text": "n.md"}
    assert [scripts("documents/delete", **given) for _ in range(3)] == [1, 1, 0]
    assert scripts.client.hgetall(documents) == {b"m.md": b"y"}


def test_a_category_that_was_noted_lately_is_not_forgotten(scripts: Scripts) -> None:
    """Others are; the index stays, without a TTL."""
    ids = KEYS[0]
    scripts.client.zadd(ids, {"old": 5, "other": 5})
    scripts("documents/note", category="new")
    scripts("documents/forget", "old", "new", "unknown", age="60000")
    assert set(scripts.client.zrange(ids, 0, -1)) == {b"other", b"new"}
    assert scripts.client.pttl(ids) == -1
