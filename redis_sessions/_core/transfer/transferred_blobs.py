"""Files of a blob store in exports and imports: which ones a session refers to, and references to the files of the importer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..protocol.blobs import BlobRef, ref_of, with_ref
from ..protocol.codec import split_payload

_MARK = b"\1"


def payload_at(name: bytes, value: bytes) -> int:
    """Return where the payload of a stored value begins. `name`: the field, b"" for a message of the list."""
    word = name.partition(b".")[0]
    if name and not (word in (b"kept", b"inbox", b"message") and b"." in name):
        return 0
    return len(split_payload(value, has_time=word != b"inbox")[0])


def refs_of(named: Iterable[tuple[bytes, bytes]]) -> Iterator[BlobRef]:
    """Yield the references of stored values, each with the name of its field, b"" for a message of the list."""
    for name, value in named:
        if _MARK in value:
            ref = ref_of(value[payload_at(name, value) :])
            if ref is not None:
                yield ref


def refs_of_elements(elements: Iterable[bytes]) -> Iterator[BlobRef]:
    """Yield the references of messages of the list."""
    return refs_of((b"", element) for element in elements)


def referring(name: bytes, value: bytes, references: Mapping[str, bytes]) -> bytes:
    """Return a stored value that refers to another file, by the references for the files of the export."""
    if _MARK not in value:
        return value
    at = payload_at(name, value)
    ref = ref_of(value[at:])
    return value if ref is None else value[:at] + with_ref(value[at:], references[ref.file])
