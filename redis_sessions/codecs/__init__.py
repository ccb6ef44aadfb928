"""Codecs for payloads: compression by zstd, and encryption by AES-GCM.

cache = SessionCache.from_url(url, codecs=[Zstd(dictionary), AesGcm(KeyRing(keys, current="k2"))], encode=EVERYTHING)
"""

from .._core.protocol.chain import Binding, Codec, TagMismatch
from ..settings import ENCODABLE as EVERYTHING
from .aes_gcm import AesGcm, KeyRing
from .zstd import Zstd, train_dictionary

__all__ = ["EVERYTHING", "AesGcm", "Binding", "Codec", "KeyRing", "TagMismatch", "Zstd", "train_dictionary"]
