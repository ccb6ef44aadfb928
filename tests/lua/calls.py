"""Call the scripts by the names of their arguments, as a client in any language would."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from redis_sessions._core.protocol.scripts import script

KEYS = ["ns:{t}:session:a", "ns:{t}:messages:a"]
FORK = ["ns:{t}:session:b", "ns:{t}:messages:b"]
"""The keys of a session to be made by a fork."""
MORE = [
    *KEYS,
    *FORK,
    *[
        f"ns:{{t}}:{kind}"
        for kind in ("queue:x", "check_at:x", "workers:x", "import-messages:fork:b", "import-session:fork:b")
    ],
]
CREATE = {"incarnation": "L1", "on_existing": "error", "caps": "3 tool_safe 100", "ttl_ms": "60000", "lifetime_ms": "0"}


class Scripts:
    """Call a script by the names of its arguments."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def __call__(self, name: str, /, *rest: str, **arguments: str) -> Any:
        found = script(name)
        assert set(arguments) <= set(found.fixed_arguments)
        values = [arguments.get(argument, "") for argument in found.fixed_arguments]
        return self.client.eval(found.source, len(found.keys), *MORE[: len(found.keys)], *values, *rest)

    def create(self, *fields: str, **changed: str) -> Any:
        """Create the session."""
        return self("sessions/create", *fields, **{**CREATE, **changed})

    def append(self, *entries: str, **changed: str) -> Any:
        """Append a batch to the session."""
        return self("messages/append", *entries, **{"operation_id": "b", "seen": "0", **changed})

    def refused(self, refusal: str, name: str, /, *rest: str, **arguments: str) -> None:
        """Call a script that must refuse with a declared word and leave the session as it was."""
        assert refusal in script(name).errors
        before = self.client.dump(KEYS[0]), self.client.lrange(KEYS[1], 0, -1)
        with pytest.raises(redis.ResponseError, match=f"^{refusal} "):
            self(name, *rest, **arguments)
        assert (self.client.dump(KEYS[0]), self.client.lrange(KEYS[1], 0, -1)) == before


# A value for every argument that must not be empty.
VALUES = {
    "seen": "0",
    "after": "0",
    "below": "0",
    "limit": "1",
    "set_count": "0",
    "merge_count": "0",
    "bounds": "99 99 99 9",
    "max_subscribers": "9",
    "max_agents": "9",
    "max_categories": "9",
    "max_documents": "9",
}
VALUES |= {"operation_id": "new", "seq": "1", "amount": "1", "entry": "u@1 new {}", "number": "1", "max_scanned": "9"}
VALUES |= {"nonce": "n1", "owner": "me", "ttl_ms": "5000", "wait_ms": "0", "channel": "ns:wake:p"}
VALUES |= {"counts_receivers": "1", "max_waiters": "9", "fence": "0", "check_count": "0", "remove_count": "0"}
VALUES |= {
    "after_seq": "0",
    "budget": "99",
    "max_bytes": "9999",
    "new_incarnation": "F1",
    "up_to": "-1",
}
VALUES |= {"first_seq": "0", "newest_seq": "0", "keep_ms": "60000"}
VALUES |= {"lifetime_ms": "0", "outcome": "finished", "delay_ms": "0"}
VALUES |= {"began": "0", "part": "new.0", "copied": "0", "copied_rev": "0", "rev": "0", "behind": "0", "turn": "0"}


def values(name: str, /, **changed: str) -> dict[str, str]:
    """Return a value for each fixed argument of a script."""
    return {argument: (VALUES | changed).get(argument, "") for argument in script(name).fixed_arguments}


def entries(name: str) -> list[str]:
    """Return the messages that a call of a script needs."""
    return ["u@1 new {}"] if name == "messages/append" else []
