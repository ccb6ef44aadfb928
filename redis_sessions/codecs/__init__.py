"""Codecs for payloads: compression by zstd, encryption by AES-GCM, and offload of large values to a blob store.

cache = SessionCache.from_url(url, codecs=[Zstd(dictionary), AesGcm(KeyRing(keys, current="k2"))], encode=EVERYTHING)
"""

from .._core.protocol.chain import Binding, Codec, TagMismatch
from ..settings import ENCODABLE as EVERYTHING
from .aes_gcm import AesGcm, KeyRing
from .offload import Offload
from .zstd import Zstd, train_dictionary

__all__ = ["EVERYTHING", "AesGcm", "Binding", "Codec", "KeyRing", "Offload", "TagMismatch", "Zstd", "train_dictionary"]
