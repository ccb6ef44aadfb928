"""Sessions to export, what servers store of them, and lines of exports that are changed on purpose."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from redis_sessions import Session, SessionCache
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._core.transfer.export_format import WAITER_FIELDS

X = {"role": "user", "content": "x"}


def create_full_session(cache: SessionCache) -> Session:
    """Create the session `root` with a value of every kind, and with a tree of two sessions below it."""
    session = cache.create("root", user_id="mia", system_prompt="Be brief.", max_messages=6, metadata={"a": [1]})
    for n in range(5):
        session.append({"role": "user", "content": f"q{n} é\u2028\x85"}, {"role": "assistant", "content": f"a{n}"})
        if n == 0:
            session.pin(1)
    session.state.put("plan", {"step": 2})
    session.variables.put("language", "de")
    session.state.add("visits", 3, batch_id="visit")
    loop = session.start_loop("l1", config={"model": "m", "provider": "p"})
    loop.record_usage("s1", {"total": 7, "cost": 0.5})
    loop.add_event({"type": "x"})
    child = session.spawn("researcher", task="find it", label="bags", batch_id="spawn-1").raise_if_refused()
    assert child.session_key is not None
    cache.session(child.session_key).spawn("reader", mode="session").raise_if_refused()
    session.append(X, batch_id="job-7")
    with session.lease():
        pass
    return session


def stored_session(client: Any, namespace: str, id: str) -> tuple[dict[bytes, bytes], list[bytes], dict[bytes, bytes]]:
    """Return the fields of a session, without the waiters, its messages, and its ledger, as a server stores them."""
    keys = session_keys(namespace, id)
    fields = {name: value for name, value in client.hgetall(keys.session).items() if name not in WAITER_FIELDS}
    return fields, client.lrange(keys.messages, 0, -1), client.hgetall(keys.ledger)


def stored_keys(client: Any, namespace: str) -> list[str]:
    """Return the keys that an import makes, without its outcome and the hints of runs."""
    found = [key.decode() for key in client.scan_iter(match=f"{namespace}:*")]
    return sorted(name for name in found if ":session:" in name or ":messages:" in name or ":import-" in name)


def staged_keys(client: Any, namespace: str) -> list[str]:
    """Return the keys of staged sessions."""
    return [name for name in stored_keys(client, namespace) if ":import-" in name]


def with_checksum(lines: list[str]) -> list[str]:
    """Return lines that were changed, with the checksum that fits them."""
    end = json.loads(lines[-1])["end"]
    end["sha256"] = sha256("".join(f"{line}\n" for line in lines[:-1]).encode()).hexdigest()
    return [*lines[:-1], json.dumps({"end": end})]


def with_fields(lines: list[str], at: int, **fields: Any) -> list[str]:
    """Return lines with other fields of the session that begins at an index. None removes a field."""
    line = json.loads(lines[at])
    line["fields"] = {name: value for name, value in {**line["fields"], **fields}.items() if value is not None}
    return with_checksum([*lines[:at], json.dumps(line), *lines[at + 1 :]])
