"""Encryption by AES-GCM, with a key for each session that is derived from a master key of a ring."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .._core.protocol.chain import Binding, TagMismatch
from .._extras import import_extra
from ..errors import DecryptionError, InvalidInput

KEY_BYTES = (16, 24, 32)
MAX_KEY_ID_CHARACTERS = 64
NONCE_BYTES = 12
TAG_BYTES = 16
_MAX_CACHED_KEYS = 4096


class KeyRing:
    """Master keys by ID. New values are encrypted with the current key, and each key of the ring decrypts."""

    def __init__(self, keys: Mapping[str, bytes], *, current: str) -> None:
        """Take the keys.

        Args:
            keys: a key of 16, 24 or 32 random bytes for each ID. An ID is stored with each value: 1 to 64 letters, digits,
                `-`, `_` and `.`.
            current: the ID of the key that encrypts.

        Raises:
            InvalidInput: a key or an ID is not valid.
        """
        if not isinstance(keys, Mapping) or not keys:
            raise InvalidInput(name="keys", detail=f"must be a dict of at least one key, got a {type(keys).__name__}")
        for id, key in keys.items():
            if not _is_key_id(id):
                detail = f"must have IDs of 1 to {MAX_KEY_ID_CHARACTERS} letters, digits, '-', '_' and '.', got {id!r}"
                raise InvalidInput(name="keys", detail=detail)
            if not isinstance(key, bytes) or len(key) not in KEY_BYTES:
                found = f"{len(key)} bytes" if isinstance(key, bytes) else f"a {type(key).__name__}"
                raise InvalidInput(name="keys", detail=f"key {id!r} must have 16, 24 or 32 bytes, got {found}")
        if current not in keys:
            detail = f"must be the ID of a key of the ring ({', '.join(keys)}), got {current!r}"
            raise InvalidInput(name="current", detail=detail)
        self._keys = dict(keys)
        self.current = current
        """The ID of the key that encrypts."""

    @property
    def ids(self) -> list[str]:
        """The IDs of all keys."""
        return list(self._keys)

    def key(self, id: str) -> bytes | None:
        """Return a key, None for an ID that the ring does not have."""
        return self._keys.get(id)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)}, current={self.current!r})"


class AesGcm:
    """Encrypt with AES-GCM. A value is bound to its namespace, its session, its batch and its place in the batch.

    The key of a session is derived from the master key by HKDF with SHA-256. Each value has a random nonce of 12 bytes. It
    costs 29 bytes, the ID of the key, and its head.
    """

    letter = "a"
    binds = True
    """A value is refused at any place but the one for which it was encoded."""

    def __init__(self, ring: KeyRing) -> None:
        """Take the ring. Raises ModuleNotFoundError without the extra `encryption`, and InvalidInput."""
        if not isinstance(ring, KeyRing):
            raise InvalidInput(name="ring", detail=f"must be a KeyRing, got a {type(ring).__name__}")
        self.ring = ring
        self._cipher = lru_cache(maxsize=_MAX_CACHED_KEYS)(self._derived_cipher)
        aead = import_extra("cryptography.hazmat.primitives.ciphers.aead", "AesGcm", "encryption")
        self._aead, self._invalid_tag = (
            aead.AESGCM,
            import_extra("cryptography.exceptions", "AesGcm", "encryption").InvalidTag,
        )
        self._current = ring.current.encode()
        self._head = bytes([len(self._current)]) + self._current

    def encode(self, data: bytes, binding: Binding) -> bytes:
        """Return the head with the ID of the key, the nonce, the ciphertext and the tag."""
        namespace, session_id, context = binding
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._cipher(self.ring.current, namespace, session_id)
        ciphertext: bytes = cipher.encrypt(nonce, data, f"{namespace} {session_id} {context}".encode())
        return self._head + nonce + ciphertext

    def decode(self, data: bytes, binding: Binding) -> bytes:
        """Return the plain data. Raises DecryptionError for a key that the ring lacks, and TagMismatch."""
        namespace, session_id, context = binding
        behind = 1 + data[0] if data else 0
        if len(data) < behind + NONCE_BYTES + TAG_BYTES:
            raise DecryptionError(session_id=session_id, detail=f"its ciphertext is cut after {len(data)} bytes")
        key_id, nonce = data[1:behind].decode("ascii", "replace"), data[behind : behind + NONCE_BYTES]
        if self.ring.key(key_id) is None:
            shown = repr(key_id[:MAX_KEY_ID_CHARACTERS])
            detail = f"its key {shown} is not in the ring ({', '.join(self.ring.ids)})"
            raise DecryptionError(session_id=session_id, detail=detail)
        cipher = self._cipher(key_id, namespace, session_id)
        try:
            plain: bytes = cipher.decrypt(
                nonce, data[behind + NONCE_BYTES :], f"{namespace} {session_id} {context}".encode()
            )
        except self._invalid_tag:
            raise TagMismatch from None
        return plain

    def is_current(self, data: bytes) -> bool:
        """Return whether a value is encrypted with the current key."""
        return data.startswith(self._head)

    def _derived_cipher(self, key_id: str, namespace: str, session_id: str) -> Any:
        hashes = import_extra("cryptography.hazmat.primitives.hashes", "AesGcm", "encryption")
        hkdf = import_extra("cryptography.hazmat.primitives.kdf.hkdf", "AesGcm", "encryption")
        key = self.ring.key(key_id)
        assert key is not None
        info = f"redis-sessions {namespace} {session_id}".encode()
        return self._aead(hkdf.HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(key))

    def __reduce__(self) -> tuple[Any, ...]:
        return AesGcm, (self.ring,)

    def __repr__(self) -> str:
        return f"AesGcm({self.ring!r})"


def _is_key_id(id: object) -> bool:
    return (
        isinstance(id, str)
        and 1 <= len(id) <= MAX_KEY_ID_CHARACTERS
        and id.isascii()
        and id.replace("-", "").replace("_", "").replace(".", "").isalnum()
    )
