"""Calls that store, read, list and drop checkpoints of a thread, and that list threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ...bounds import StorageBounds
from ...models.checkpoints import Checkpoint
from ..protocol.call import Argument, Call, invoke
from ..protocol.chain import Chain
from ..protocol.keys import CheckpointKeys, IndexKeys
from ..protocol.scripts import script
from . import checkpoint_records as records
from .session_fields import checked_text

MAX_CALL_BYTES = 1024 * 1024
"""Bytes that one call carries, in each direction. A single value may be larger."""
MAX_CALL_VALUES = 500
"""Values that one call stores."""
WAIT_MS = 3_600_000
"""The time for which a blob of a large put waits for its checkpoint."""
UNREGISTERED = -1
"""The result of a call that would create a thread that is not in the index of threads. The call wrote nothing."""
_MAX_READ_VALUES = 1000
MAX_PAGE = 1000
_MAX_STEPS = 1500
"""Pending writes and blobs that one call removes."""
_AFTER_LINE = "\x0b"
"""The character behind the newline that ends a name: the end of a range of names that begin with a line."""


class Stored(NamedTuple):
    """A checkpoint as a script returned it. Values that did not fit are missing in `values`."""

    place: str
    record: bytes
    fields: list[str]
    """The fields of blobs that exist, and of pending writes."""
    values: dict[str, bytes]

    @property
    def missing(self) -> list[str]:
        """The fields whose values must still be read."""
        return [field for field in self.fields if field not in self.values]


class StoredPage(NamedTuple):
    """A page as a script returned it."""

    last: str
    """The last name of the page, '' at the end of the range."""
    items: list[Stored]


def put(
    keys: CheckpointKeys, place: str, record: bytes, stored: Sequence[str], blobs: Sequence[tuple[str, bytes]],
    ttl_ms: int, bounds: StorageBounds, *, creates: bool,
) -> Call[int]:  # fmt: skip
    """Store a checkpoint with its new blobs. The result is 0 if a blob that was stored before is gone, or UNREGISTERED.

    Args:
        creates: the thread is in the index, so that it may be created.
        stored: names of blobs that `store_blobs` stored.
        blobs: names and bytes of the other new blobs.
    """
    namespace, _, id = place.partition("\n")
    return invoke(
        script("checkpoints/put"), keys, int, namespace=namespace, id=id, record=record,
        stored="".join(f"{name}\n" for name in stored), max_checkpoints=bounds.checkpoints, ttl_ms=ttl_ms,
        creates=int(creates),
        rest=[part for blob in blobs for part in blob],
    )  # fmt: skip


def store_blobs(
    keys: CheckpointKeys, namespace: str, blobs: Sequence[tuple[str, bytes]], ttl_ms: int, *, creates: bool
) -> Call[int]:
    """Store blobs before the checkpoint that names them. The result is 1 or UNREGISTERED."""
    return invoke(
        script("checkpoints/store_blobs"), keys, int, namespace=namespace, ttl_ms=ttl_ms, creates=int(creates),
        wait_ms=WAIT_MS, rest=[part for blob in blobs for part in blob],
    )  # fmt: skip


def write(
    keys: CheckpointKeys,
    place: str,
    writes: Sequence[tuple[str, bool, bytes]],
    ttl_ms: int,
    bounds: StorageBounds,
    *,
    creates: bool,
) -> Call[int]:
    """Store pending writes. The result is how many were new, or UNREGISTERED."""
    rest: list[Argument] = [part for name, replaces, data in writes for part in (name, "1" if replaces else "0", data)]
    return invoke(
        script("checkpoints/write"),
        keys,
        int,
        place=place,
        max_writes=bounds.checkpoint_writes,
        ttl_ms=ttl_ms,
        creates=int(creates),
        rest=rest,
    )


def get(keys: CheckpointKeys, namespace: str, id: str | None) -> Call[Stored | None]:
    """Read a checkpoint, the newest of the namespace without an ID. Raises InvalidInput."""
    return invoke(
        script("checkpoints/get"), keys, lambda reply: None if reply is None else _stored(reply), writes=False,
        namespace=records.line(namespace, "namespace", minimum=0), id="" if id is None else records.line(id, "id"),
        max_bytes=MAX_CALL_BYTES,
    )  # fmt: skip


def page(
    keys: CheckpointKeys, names: tuple[str, str], cursor: str | None, limit: int, *, with_blobs: bool = True
) -> Call[StoredPage]:
    """Read checkpoints in a range of names, the highest name first. `cursor` is the last name of the page before."""

    def read(reply: Any) -> StoredPage:
        seen: dict[str, bytes] = {}
        return StoredPage(reply[0].decode(), [_stored(one, seen) for one in reply[1]])

    low, high = names
    if cursor is not None:
        checked_text(cursor, "cursor")
    return invoke(
        script("checkpoints/page"), keys, read, writes=False, low=low, high=high if cursor is None else f"({cursor}",
        limit=limit, max_bytes=MAX_CALL_BYTES, with_blobs="1" if with_blobs else "0",
    )  # fmt: skip


def names_of(namespace: str | None, id: str | None, before: str | None) -> tuple[str, str]:
    """Return the range of names of checkpoints. Raises InvalidInput.

    Args:
        namespace: only those of this namespace. None for all: the range is ordered by ID, then by namespace.
        id: only those with this ID.
        before: only those with a lower ID.
    """
    prefix = "i\n" if namespace is None else f"c\n{records.line(namespace, 'namespace', minimum=0)}\n"
    if id is None:
        high = f"({prefix[:-1]}{_AFTER_LINE}" if before is None else f"({prefix}{records.line(before, 'id')}"
        return f"[{prefix}", high
    exact = f"{prefix}{records.line(id, 'id')}"
    if before is not None and id >= before:
        return f"({exact}", f"({exact}"
    return (f"[{exact}", f"[{exact}") if namespace is not None else (f"[{exact}\n", f"({exact}{_AFTER_LINE}")


def read_values(keys: CheckpointKeys, fields: Sequence[str]) -> Call[list[bytes | None]]:
    """Read values that did not fit into a page. The result may be shorter than the fields."""
    return invoke(
        script("checkpoints/read_values"), keys, list, writes=False, max_bytes=MAX_CALL_BYTES,
        rest=fields[:_MAX_READ_VALUES],
    )  # fmt: skip


def drop(keys: CheckpointKeys, places: Sequence[str]) -> Call[tuple[int, int]]:
    """Remove checkpoints. The result is how many places are done, and how many of them were checkpoints."""
    return invoke(
        script("checkpoints/drop"), keys, lambda reply: (reply[0], reply[1]), max_steps=_MAX_STEPS, rest=places
    )


def list_names(keys: CheckpointKeys, after: str | None) -> Call[list[str]]:
    """Read the names of checkpoints and pending writes behind a name, ascending."""
    low = "-" if after is None else f"({after}"
    command = ("ZRANGEBYLEX", keys.names, low, "+", "LIMIT", 0, MAX_PAGE)
    return Call(command, keys, lambda reply: [name.decode() for name in reply], writes=False)


def list_namespaces(keys: CheckpointKeys, after: str | None) -> Call[tuple[list[str], bool]]:
    """Read the next checkpoint namespaces behind a namespace, ascending. Return them, and whether there are no more."""
    low = "[c\n" if after is None else f"(c\n{checked_text(after, 'cursor')}{_AFTER_LINE}"
    command = ("ZRANGEBYLEX", keys.names, low, f"(c{_AFTER_LINE}", "LIMIT", 0, MAX_PAGE)

    def read(reply: list[bytes]) -> tuple[list[str], bool]:
        return list(dict.fromkeys(name.decode().split("\n")[1] for name in reply)), len(reply) < MAX_PAGE

    return Call(command, keys, read, writes=False)


def delete(keys: CheckpointKeys) -> Call[bool]:
    """Delete a thread. The result is whether it existed."""
    return Call(("UNLINK", keys.values, keys.names), keys, lambda reply: reply > 0)


def count_labels(keys: CheckpointKeys, labels: Sequence[str]) -> Call[int]:
    """Count the checkpoints of a thread that have one of some labels."""
    fields = [f"l\n{records.line(label, 'label')}" for label in labels]
    return Call(("HMGET", keys.values, *fields), keys, lambda reply: sum(int(one or 0) for one in reply), writes=False)


def exists(keys: CheckpointKeys) -> Call[bool]:
    """Read whether a thread exists."""
    return Call(("EXISTS", keys.values), keys, lambda reply: reply == 1, writes=False)


def list_threads(index: IndexKeys, after: str | None, limit: int) -> Call[list[str]]:
    """Read threads behind a thread from the index, ascending. Some may be gone."""
    low = "-" if after is None else f"({checked_text(after, 'cursor')}"
    command = ("ZRANGEBYLEX", index.ids, low, "+", "LIMIT", 0, limit)
    return Call(command, index, lambda reply: [name.decode() for name in reply], writes=False)


def register_thread(index: IndexKeys, thread: str, done: Callable[[], None]) -> Call[bool]:
    """Put a thread into the index. `done` is called when the server has done so."""

    def read(reply: Any) -> bool:
        done()
        return True

    return Call(("ZADD", index.ids, 0, thread), index, read)


def unregister_threads(index: IndexKeys, threads: Sequence[str]) -> Call[int]:
    """Take threads out of the index."""
    return Call(("ZREM", index.ids, *threads), index, int)


def _stored(reply: Any, seen: dict[str, bytes] | None = None) -> Stored:
    place, record, blobs, writes, values = reply
    place = place.decode()
    namespace = place.partition("\n")[0]
    names = map(records.blob_name, records.Record.parse(record).versions.items())
    found = [(f"b\n{namespace}\n{name}", blob) for name, blob in zip(names, blobs, strict=False)]
    found += [(name.decode(), value) for name, value in zip(writes, values, strict=True)]
    fields = [field for field, value in found if value is not None]
    known = {} if seen is None else seen
    known |= {field: value for field, value in found if isinstance(value, bytes)}
    return Stored(place, record, fields, {field: known[field] for field in fields if field in known})


def checkpoint(chain: Chain | None, thread: str, stored: Stored) -> Checkpoint:
    """Return a checkpoint whose values were all read. Raises DecryptionError, CodecMissing and ValueError."""
    namespace, _, id = stored.place.partition("\n")
    record = records.read_record(chain, thread, stored.place, stored.record)
    blobs = {}
    for channel, version in record.versions.items():
        name = records.blob_name((channel, version))
        value = stored.values.get(f"b\n{namespace}\n{name}")
        if value is not None:
            blobs[channel] = records.read_blob(chain, thread, namespace, name, value)
    writes = [
        records.read_write(chain, thread, field, value)
        for field, value in stored.values.items()
        if field.startswith("w\n")
    ]
    return Checkpoint(
        namespace, id, record.parent or None, record.state, record.metadata, record.label or None, record.versions, blobs,
        tuple(sorted(writes, key=lambda write: (write.path, write.task, write.number))),
    )  # fmt: skip
