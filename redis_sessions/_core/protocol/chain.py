"""Encode payloads and values by a chain of codecs, in the client, and decode them.

An encoded value is '\\1<letters> <place> <data>'. The letters name the codecs in the order in which the value went through
them. `place` is a number that the value is bound to: the place of a message in its batch, '=<seq>' for a message that
replaced another, or the size of the text of a result. A value without a mark is plain, so values of both kinds can be mixed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Protocol

from ...bounds import MAX_WIRE_BYTES
from ...errors import CodecMissing, InvalidInput
from ...settings import ENCODABLE, Encodable
from .blobs import BlobStep

MARK = b"\1"
PLAIN_HEAD = b"\1 0 "
"""The head of a plain text that begins with the mark."""
MAX_OVERHEAD_BYTES = 1024
"""The most bytes that a chain may add to a value."""
HEAD = re.compile(rb"\x01([a-z]{0,8}) (=?\d{1,16}) ")


class Binding(NamedTuple):
    """The place that a value is bound to. A codec that encrypts refuses the value anywhere else."""

    namespace: str
    session_id: str
    context: str


class Codec(Protocol):
    """One step of a chain. It knows its own data only."""

    @property
    def letter(self) -> str:
        """One lower-case letter, which is recorded with each value."""

    def encode(self, data: bytes, binding: Binding) -> bytes | None:
        """Return the encoded data, or None to leave the data as it is."""

    def decode(self, data: bytes, binding: Binding) -> bytes:
        """Return the data. Raises TagMismatch, DecryptionError, CodecMissing, or ValueError for damaged data."""


class TagMismatch(Exception):
    """A ciphertext does not belong to the key and the binding. The session may be a fork of the one for which it was encoded."""


class Chain:
    """The codecs of a cache."""

    def __init__(self, namespace: str, codecs: Sequence[Codec], kinds: Collection[Encodable]) -> None:
        """Take the codecs in the order in which values go through them. Raises InvalidInput."""
        codecs = [bind(namespace) if (bind := getattr(one, "for_namespace", None)) else one for one in codecs]
        letters = [codec.letter for codec in codecs]
        if len(set(letters)) != len(letters) or not all(
            isinstance(one, str) and re.fullmatch("[a-z]", one) for one in letters
        ):
            detail = f"must have different letters from a to z, got {', '.join(map(repr, letters))}"
            raise InvalidInput(name="codecs", detail=detail)
        if len(letters) > 8:
            raise InvalidInput(name="codecs", detail=f"must be at most 8 codecs, got {len(letters)}")
        if isinstance(kinds, str) or not isinstance(kinds, Collection) or any(one not in ENCODABLE for one in kinds):
            raise InvalidInput(name="encode", detail=f"must be a set of {', '.join(ENCODABLE)}, got {kinds!r}")
        self.namespace = namespace
        self.kinds = frozenset(kinds)
        self.codecs = tuple(codecs)
        self._by_letter = dict(zip(letters, codecs, strict=True))
        steps: list[Any] = [one for one in codecs if hasattr(one, "adopt")]
        if steps and steps != [codecs[-1]]:
            raise InvalidInput(
                name="codecs", detail="must have Offload as the last one, because it stores what the others made"
            )
        self.blobs: BlobStep | None = steps[0] if steps else None
        """The codec that stores large values in files, if there is one."""

    def encode(self, data: bytes, session_id: str, context: str, place: str = "0") -> bytes:
        """Return data as it is stored. Raises InvalidInput for more than decoding would return."""
        if len(data) > MAX_WIRE_BYTES:
            detail = f"must have at most {MAX_WIRE_BYTES} bytes before it is encoded, got {len(data)}"
            raise InvalidInput(name=context.partition(" ")[0], detail=detail)
        letters = ""
        for codec in self.codecs:
            found = codec.encode(data, Binding(self.namespace, session_id, f"{letters} {place} {context}"))
            if found is not None:
                data, letters = found, letters + codec.letter
        if not letters and data[:1] != MARK:
            return data
        return f"\1{letters} {place} ".encode() + data

    def decode(
        self, letters: str, place: str, data: bytes, session_id: str, context: str, namespace: str | None = None
    ) -> bytes:
        """Return the data of an encoded value. Raises what codecs raise."""
        namespace = namespace or self.namespace
        for at in range(len(letters) - 1, -1, -1):
            codec = self._by_letter.get(letters[at])
            if codec is None:
                raise CodecMissing(session_id=session_id, codec=letters[at])
            data = self.decode_layer(codec, data, Binding(namespace, session_id, f"{letters[:at]} {place} {context}"))
        return data

    def decode_layer(self, codec: Codec, data: bytes, binding: Binding) -> bytes:
        """Return the data of one codec."""
        return codec.decode(data, binding)

    def renewing(self) -> RenewingChain:
        """Return a chain with these codecs that notes what is old."""
        return RenewingChain(self.namespace, self.codecs, self.kinds)

    @property
    def can_bind(self) -> bool:
        """True if a codec of the chain binds values to their place."""
        return any(getattr(codec, "binds", False) for codec in self.codecs)

    def is_bound(self, value: bytes) -> bool:
        """Return whether a value went through a codec that binds values to their place, if the chain has one."""
        binding = {codec.letter for codec in self.codecs if getattr(codec, "binds", False)}
        head = HEAD.match(value)
        return not binding or (head is not None and bool(binding & set(head[1].decode())))


class RenewingChain(Chain):
    """A chain that notes whether a value that it decodes has an old key or an old dictionary."""

    has_old = False

    def decode_layer(self, codec: Codec, data: bytes, binding: Binding) -> bytes:
        """Return the data of one codec, and note whether it is not current."""
        is_current = getattr(codec, "is_current", None)
        self.has_old = self.has_old or (is_current is not None and not is_current(data))
        return super().decode_layer(codec, data, binding)

    def chosen(self, before: bytes, after: bytes) -> bytes:
        """Return a value as it was stored if it went through the same codecs and has nothing old, else the new one."""
        has_old, self.has_old = self.has_old, False
        if has_old or _letters(before) != _letters(after):
            return after
        if self.blobs is not None and before != after:
            self.blobs.pending.discard(after)
        return before


def _letters(value: bytes) -> bytes:
    head = HEAD.match(value)
    return head[1] if head else b""


def is_encoded(data: bytes) -> bool:
    """Return whether a stored value is encoded."""
    return data[:1] == MARK and HEAD.match(data) is not None


def place_of(data: bytes) -> str:
    """Return the place that an encoded value is bound to, '0' for a plain value."""
    head = HEAD.match(data)
    return head[2].decode() if head else "0"


def _is_codec(given: Any) -> bool:
    methods = (getattr(given, name, None) for name in ("encode", "decode"))
    return hasattr(given, "letter") and all(map(callable, methods))


def checked_chain(namespace: str, codecs: Any, kinds: Any) -> Chain | None:
    """Return the chain of a cache, None without codecs. Raises InvalidInput."""
    listed = list(codecs) if isinstance(codecs, list | tuple) else None
    if listed is None or not all(_is_codec(one) or hasattr(one, "for_namespace") for one in listed):
        raise InvalidInput(name="codecs", detail=f"must be a list of codecs, got {type(codecs).__name__}")
    return Chain(namespace, listed, kinds) if listed else None
