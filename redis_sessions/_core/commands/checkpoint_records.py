"""The stored form of checkpoints, blobs and pending writes, and the checks of what a caller gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..._arguments import mapping
from ...bounds import StorageBounds
from ...errors import InvalidInput
from ...models.checkpoints import CheckpointWrite
from ..protocol.chain import Chain, RenewingChain
from ..protocol.encoding import decoded_checkpoint, encoded_checkpoint
from .storage_bounds import check_number

_HEAD = re.compile(rb"(\d+) (\d+) (\d+) (\d+)\n")
_WRITE_HEAD = re.compile(rb"(\d+) (\d+)\n")
_CONTROL = re.compile(r"[\x00-\x1f\ud800-\udfff]")
_MAX_LENGTHS = {
    "namespace": 2048, "id": 256, "parent": 256, "label": 256, "channel": 1024, "version": 256, "task": 256, "path": 4096,
}  # fmt: skip


class Record(NamedTuple):
    """A checkpoint as it is stored: '<bytes of names> <of label> <of parent> <of metadata>\\n', these, and the state."""

    versions: Mapping[str, str]
    label: str
    parent: str
    metadata: bytes
    state: bytes

    def __bytes__(self) -> bytes:
        names = "".join(f"{name}\n" for name in map(blob_name, self.versions.items())).encode()
        parts = names, self.label.encode(), self.parent.encode(), self.metadata
        return " ".join(str(len(part)) for part in parts).encode() + b"\n" + b"".join(parts) + self.state

    @classmethod
    def parse(cls, stored: bytes) -> Record:
        """Return a stored checkpoint. Raises ValueError when it is damaged."""
        names, label, parent, metadata, state = _split(_HEAD, stored)
        words = names.decode().split("\n")
        versions = dict(zip(words[:-1:2], words[1::2], strict=True))
        return cls(versions, label.decode(), parent.decode(), metadata, state)


def _split(head: re.Pattern[bytes], stored: bytes) -> list[bytes]:
    found = head.match(stored)
    if found is None:
        raise ValueError("it has no head")
    at, parts = found.end(), []
    for length in map(int, found.groups()):
        parts.append(stored[at : at + length])
        at += length
    if at > len(stored):
        raise ValueError("it was cut")
    return [*parts, stored[at:]]


def line(text: object, name: str, *, minimum: int = 1) -> str:
    """Return a text without control characters that scripts use as a name. Raises InvalidInput."""
    maximum = _MAX_LENGTHS[name]
    if not isinstance(text, str) or not minimum <= len(text) <= maximum or _CONTROL.search(text):
        detail = f"must be text of {minimum} to {maximum} characters without control characters, got {text!r:.80}"
        raise InvalidInput(name=name, detail=detail)
    return text


def place_of(namespace: str, id: str) -> str:
    """Return the place of a checkpoint in its thread. Raises InvalidInput."""
    return f"{line(namespace, 'namespace', minimum=0)}\n{line(id, 'id')}"


def places_of(pairs: Iterable[tuple[str, str]], name: str) -> list[str]:
    """Return the places of pairs of a namespace and an ID. Raises InvalidInput."""
    listed = list(pairs) if isinstance(pairs, Iterable) else None
    if listed is None or not all(isinstance(one, tuple) and len(one) == 2 for one in listed):
        raise InvalidInput(name=name, detail=f"must be a list of tuples (namespace, ID), got {pairs!r:.200}")
    return [place_of(namespace, id) for namespace, id in listed]


def blob_name(version: tuple[str, str]) -> str:
    """Return the name of a blob in its namespace from its channel and version."""
    return "\n".join(version)


def checked_bytes(data: object, name: str, bounds: StorageBounds, bound: str) -> bytes:
    """Return bytes that a bound allows. Raises InvalidInput."""
    if not isinstance(data, bytes):
        raise InvalidInput(name=name, detail=f"must be bytes, got {type(data).__name__}")
    check_number(bounds, bound, len(data), name)
    return data


def stored_record(
    chain: Chain | None, thread: str, place: str, bounds: StorageBounds, *, versions: Mapping[str, str],
    label: str | None, parent: str | None, metadata: bytes, state: bytes,
) -> bytes:  # fmt: skip
    """Return a checkpoint as it is stored. Raises InvalidInput."""
    check_number(bounds, "checkpoint_blobs", len(mapping(versions, "versions")), "versions")
    for channel, version in versions.items():
        line(channel, "channel", minimum=0)
        line(version, "version")
    record = Record(
        versions,
        "" if label is None else line(label, "label"),
        "" if parent is None else line(parent, "parent"),
        checked_bytes(metadata, "metadata", bounds, "checkpoint_bytes"),
        checked_bytes(state, "state", bounds, "checkpoint_bytes"),
    )
    check_number(bounds, "checkpoint_bytes", len(bytes(record)), "checkpoint")
    return bytes(_encoded_record(chain, thread, place, record))


def read_record(chain: Chain | None, thread: str, place: str, stored: bytes) -> Record:
    """Return a checkpoint as it was given. Raises DecryptionError, CodecMissing and ValueError."""
    record = Record.parse(stored)
    metadata, state = (
        decoded_checkpoint(chain, thread, f"{part} {place}", getattr(record, part)) for part in ("metadata", "state")
    )
    return record._replace(metadata=metadata, state=state)


def _encoded_record(chain: Chain | None, thread: str, place: str, record: Record) -> Record:
    metadata, state = (
        encoded_checkpoint(chain, thread, f"{part} {place}", getattr(record, part)) for part in ("metadata", "state")
    )
    return record._replace(metadata=metadata, state=state)


def stored_blobs(
    chain: Chain | None, thread: str, namespace: str, bounds: StorageBounds, versions: Mapping[str, str],
    blobs: Mapping[str, bytes],
) -> dict[str, bytes]:  # fmt: skip
    """Return blobs as they are stored, by '<channel>\\n<version>'. Raises InvalidInput."""
    found = {}
    for channel, data in mapping(blobs, "blobs").items():
        if channel not in versions:
            raise InvalidInput(name="blobs", detail=f"must be of channels that versions names, got {channel!r:.80}")
        name = blob_name((channel, versions[channel]))
        checked_bytes(data, f"blob of {channel!r:.80}", bounds, "blob_bytes")
        found[name] = encoded_checkpoint(chain, thread, f"blob {namespace}\n{name}", data)
    return found


def read_blob(chain: Chain | None, thread: str, namespace: str, name: str, stored: bytes) -> bytes:
    """Return a blob as it was given. Raises DecryptionError, CodecMissing and ValueError."""
    return decoded_checkpoint(chain, thread, f"blob {namespace}\n{name}", stored)


def stored_writes(
    chain: Chain | None, thread: str, place: str, bounds: StorageBounds, writes: Sequence[CheckpointWrite]
) -> list[tuple[str, bool, bytes]]:
    """Return the names, the modes and the stored forms of pending writes. Raises InvalidInput."""
    if not isinstance(writes, Sequence):
        raise InvalidInput(name="writes", detail=f"must be a list of CheckpointWrite, got {type(writes).__name__}")
    check_number(bounds, "checkpoint_writes", len(writes), "writes")
    return [_stored_write(chain, thread, place, bounds, write) for write in writes]


def _stored_write(
    chain: Chain | None, thread: str, place: str, bounds: StorageBounds, write: CheckpointWrite
) -> tuple[str, bool, bytes]:
    if not isinstance(write, CheckpointWrite):
        raise InvalidInput(name="writes", detail=f"must be CheckpointWrite, got {type(write).__name__}")
    if isinstance(write.number, bool) or not isinstance(write.number, int) or abs(write.number) > 10**9:
        raise InvalidInput(
            name="number", detail=f"must be a whole number up to 1,000,000,000, got {write.number!r:.80}"
        )
    name = f"{line(write.task, 'task')}\n{write.number}"
    parts = line(write.channel, "channel", minimum=0).encode(), line(write.path, "path", minimum=0).encode()
    data = checked_bytes(write.data, f"write to {write.channel!r:.80}", bounds, "blob_bytes")
    data = encoded_checkpoint(chain, thread, f"write {place}\n{name}", data)
    return name, write.replaces, " ".join(str(len(part)) for part in parts).encode() + b"\n" + b"".join(parts) + data


def read_write(chain: Chain | None, thread: str, field: str, stored: bytes) -> CheckpointWrite:
    """Return a pending write from its field. Raises DecryptionError, CodecMissing and ValueError."""
    channel, path, data = _split(_WRITE_HEAD, stored)
    task, index = field.rsplit("\n", 2)[1:]
    data = decoded_checkpoint(chain, thread, f"write {field[2:]}", data)
    return CheckpointWrite(task, int(index), channel.decode(), data, path.decode())


def blob_fields(field: str, stored: bytes) -> list[str]:
    """Return the fields of the blobs that a stored checkpoint names, none for another value. Raises ValueError for damage."""
    kind, _, place = field.partition("\n")
    if kind != "c":
        return []
    namespace = place.partition("\n")[0]
    return [f"b\n{namespace}\n{blob_name(one)}" for one in Record.parse(stored).versions.items()]


def renewed(chain: RenewingChain, thread: str, field: str, stored: bytes) -> bytes:
    """Return a stored value of a thread with the present codecs and the current key. The same value if it has them."""
    kind, _, place = field.partition("\n")

    def part(context: str, data: bytes) -> bytes:
        plain = decoded_checkpoint(chain, thread, context, data)
        return chain.chosen(data, encoded_checkpoint(chain, thread, context, plain))

    if kind == "b":
        return part(f"blob {place}", stored)
    if kind == "c":
        record = Record.parse(stored)
        metadata = part(f"metadata {place}", record.metadata)
        return bytes(record._replace(metadata=metadata, state=part(f"state {place}", record.state)))
    if kind == "w":
        *_, data = _split(_WRITE_HEAD, stored)
        return stored[: len(stored) - len(data)] + part(f"write {place}", data)
    return stored


def parts_of(values: Iterable[tuple[str, bytes]], max_bytes: int, max_count: int) -> list[list[tuple[str, bytes]]]:
    """Return named values in parts that one call carries, at least one part. A single value may be larger."""
    parts: list[list[tuple[str, bytes]]] = [[]]
    size = 0
    for name, data in values:
        if parts[-1] and (size + len(data) > max_bytes or len(parts[-1]) >= max_count):
            parts.append([])
            size = 0
        parts[-1].append((name, data))
        size += len(data)
    return parts
