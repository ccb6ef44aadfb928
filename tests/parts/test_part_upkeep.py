"""Parts in exports, imports, reencryption, forget, repairs and deletions."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._sync.services import part_export
from redis_sessions.cli.repair import Repairer
from tests.conftest import Engines, fake_client
from tests.parts.test_parts import texts, user

REAL = ["fake", "redis-6.2", "cluster"]


def with_parts(cache: SessionCache, id: str = "s", **given: Any) -> Any:
    """Create a session with three parts, of which one was cleared, and with an ID of its own."""
    session = cache.create(id, **given)
    session.append_new(user("main"), ids=["m1"])
    session.part("a").append(user("one"), user("two"), ids=["1", None], batch_id="job")
    session.part("cleared").append(user("x"), ids=["x"])
    session.part("cleared").clear()
    session.part("gone").append(user("y"))
    session.part("gone").delete()
    session.part("wide").append(*[user(str(number)) for number in range(700)])
    return session


def stored(cache: SessionCache, engine: str, engines: Engines, id: str = "s") -> dict[str, list[Any]]:
    """Return the names of the fields of the parts of a session, and the names of its parts, as they are stored."""
    keys = session_keys(cache.namespace, id)
    found: dict[str, list[Any]] = {"fields": [], "names": []}
    for client in [node.client for node in engines.nodes[engine]] or [fake_client(cache)]:
        if client.exists(keys.parts) if engine != "cluster" else keys.parts.encode() in client.keys("*"):
            found["fields"] += client.hkeys(keys.parts)
            found["names"] += client.zrange(keys.part_names, 0, -1)
    return found


@pytest.mark.parametrize("engine", REAL, indirect=True)
def test_import_brings_all_parts_back(cache: SessionCache) -> None:
    """An imported session has the parts, messages, seqs and IDs of the exported one."""
    session = with_parts(cache)
    infos, lines = session.parts().items, list(session.export())
    session.part("later").append(user("x"))
    cache.import_sessions(lines, on_conflict="replace")
    assert session.parts().items == infos
    session.delete()
    cache.import_sessions(lines)
    found = cache.session("s")
    assert found.parts().items == infos
    assert texts(found.part("a").history()) == ["one", "two"]
    assert len(found.part("wide").history()) == 700
    assert found.part("a").append(user("one"), ids=["1"]).left_out == 1
    assert found.append_new(user("main"), ids=["m1"]).left_out == 1
    assert found.part("cleared").append(user("z"), ids=["x"]).first_seq == 2
    assert found.part("a").append(user("one"), user("two"), batch_id="job").duplicate


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("message.1 1", "x"),
        ("message.9 1", "!!!!!!!0u@1 b {}"),
        ("part.a", "1 1 9 10 0 0"),
        ("part.b", "1 1 2 10 0 0"),
        ("totals", "9 9 9 9 9"),
        ("totals", "nonsense"),
        ("id.1 2", "7"),
        ("id.0 ~x", "1"),
        ("unknown", "1"),
        ("batches.1", "x"),
        ("batches.2", ""),
        ("batches.\u0662", ""),
        ("gone", "1:1-9"),
    ],
)
def test_damaged_parts_are_refused(name: str, value: str) -> None:
    """An import refuses parts whose fields do not belong together, and writes nothing."""
    import json

    from tests.support.exports import with_checksum

    with SessionCache.from_url("fake://") as cache:
        session = cache.create("s")
        session.part("a").append(user("one"), user("two"), ids=["1", None])
        lines = list(session.export())
        at = next(at for at, line in enumerate(lines) if '"parts":' in line)
        line = json.loads(lines[at])
        line["parts"] = {**line["parts"], name: value} if name in line["parts"] else {name: value, **line["parts"]}
        session.delete()
        with pytest.raises(InvalidInput, match=r"line [34] "):
            cache.import_sessions(with_checksum([*lines[:at], json.dumps(line), *lines[at + 1 :]]))
        with pytest.raises(InvalidInput, match="parts"):
            cache.import_sessions(with_checksum([line for line in lines if '"parts":' not in line]))
        assert cache.get("s") is None


def test_export_begins_again_when_a_part_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that meets a part which was cleared after its record was read has the state after that."""
    with SessionCache.from_url("fake://") as cache:
        session = with_parts(cache)
        original, calls = part_export._messages, []

        def clear_first(executor: Any, keys: Any, part: Any) -> Any:
            calls.append(part)
            if len(calls) == 1:
                session.part("a").clear()
            return original(executor, keys, part)

        monkeypatch.setattr(part_export, "_messages", clear_first)
        lines = list(session.export())
        session.delete()
        cache.import_sessions(lines)
        assert cache.session("s").part("a").history() == []
        assert len(cache.session("s").part("wide").history()) == 700


@pytest.mark.parametrize("engine", REAL, indirect=True)
def test_deletion_leaves_no_part(cache: SessionCache, engine: str, engines: Engines) -> None:
    """The keys of parts are gone when `delete` returns, and when a user was forgotten."""
    with_parts(cache, "s").delete()
    assert stored(cache, engine, engines) == {"fields": [], "names": []}
    with_parts(cache, "s", user_id="mia")
    cache.forget("mia")
    assert stored(cache, engine, engines) == {"fields": [], "names": []}


def test_child_is_deleted_with_its_parts(cache: SessionCache, engine: str, engines: Engines) -> None:
    """The parts of the members of a tree go with the root."""
    root = cache.create("root")
    child = cache.session(root.spawn("worker", mode="session").session_key or "")
    child.part("p").append(user("a"))
    root.delete()
    assert stored(cache, engine, engines, child.id) == {"fields": [], "names": []}


def test_fork_has_no_parts(cache: SessionCache) -> None:
    """A fork copies messages, not parts."""
    assert with_parts(cache).fork().parts().items == []


@pytest.mark.parametrize("engine", ["fake", "redis-6.2"], indirect=True)
def test_repair_moves_damaged_parts(cache: SessionCache, engine: str, engines: Engines) -> None:
    """A damaged message of a part is replaced by one that says so. Parts whose records are damaged leave with the session."""
    session = with_parts(cache)
    client = engines.nodes[engine][0].client if engines.nodes[engine] else fake_client(cache)
    keys = session_keys(cache.namespace, "s")
    client.hset(keys.parts, "message.1 2", b"damaged")
    found = list(Repairer(cache, dry_run=False).run(lambda _: None))
    assert [one.kind for one in found] == ["message"]
    assert texts(session.part("a").history()) == ["one", "[damaged message]"]
    assert not list(Repairer(cache, dry_run=False).run(lambda _: None))
    client.hset(keys.parts, "part.a", b"nonsense")
    found = list(Repairer(cache, dry_run=False).run(lambda _: None))
    assert [one.kind for one in found] == ["session"]
    assert cache.get("s") is None
    assert not client.exists(keys.parts, keys.part_names)
