"""State: the calls on a session's variables (texts) and its state (JSON), and the reading of their replies."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidInput
from .calls import Call, invoke
from .ids import check_id, new_operation_id
from .keys import SessionKeys
from .scripts import script
from .sessions import MOST_FIELDS, belongs, change, revision
from .units import whole


def field(prefix: str, name: str) -> str:
    """The field of the session's hash that holds a name."""
    if not isinstance(name, str) or not 1 <= len(name) <= 256 or not name.isprintable():
        raise InvalidInput(name="name", detail=f"{name!r} must be 1 to 256 printable characters")
    return prefix + name


def get(keys: SessionKeys, life: str, prefix: str, name: str) -> Call[bytes | None]:
    """Reads as the stored bytes, or None."""

    def read(reply: list[bytes | None]) -> bytes | None:
        belongs(keys, reply[0], life)
        return reply[1]

    return Call(("HMGET", keys.session, "life", field(prefix, name)), keys, read, writes=False)


def get_all(keys: SessionKeys, life: str, prefix: str) -> Call[dict[str, bytes]]:
    """Reads as name -> stored bytes."""

    def read(reply: list[bytes]) -> dict[str, bytes]:
        return {name.decode(): value for name, value in zip(reply[1::2], reply[2::2], strict=True)}

    return invoke(script("state/read"), keys, read, life=life, prefix=prefix, writes=False)


def clear(keys: SessionKeys, life: str, lease: str, prefix: str, expected_rev: int | None) -> Call[int]:
    """Reads as how many there were."""

    return change(
        script("state/clear"),
        keys,
        life,
        lease,
        expected_rev,
        _second,
        prefix=prefix,
    )


def add(
    keys: SessionKeys, life: str, lease: str, name: str, amount: int, batch_id: str | None, expected_rev: int | None
) -> Call[int]:
    """Reads as the sum."""
    operation = new_operation_id() if batch_id is None else check_id(batch_id, "batch_id", 128)
    return invoke(
        script("state/add"),
        keys,
        _second,
        life=life,
        lease=lease,
        expected=revision(expected_rev),
        field=field("state.", name),
        amount=whole(amount, "amount", least=-(2**53)),
        batch=f"{{{name.encode().hex()}}}{operation}",  # no id has braces: an append may use the same batch id
        most=MOST_FIELDS,
        operation=operation,
    )


def _second(reply: Any) -> int:
    """What a change answers beside the rev."""
    return int(reply[1].split()[1])
