"""The codecs alone: keys, rings, dictionaries, bad input, and what they cost in size."""

from __future__ import annotations

import json
import pickle
import sys
from typing import Any

import pytest

from redis_sessions import CodecMissing, DecryptionError, InvalidInput, SessionCache
from redis_sessions._core.protocol.chain import Chain
from redis_sessions.codecs import AesGcm, Binding, KeyRing, TagMismatch, Zstd, train_dictionary
from tests.codecs.conftest import cipher

PLACE = Binding("sessions", "s-1", "message b-1")
TEXT = json.dumps({"role": "user", "content": "compress me, please. " * 20}).encode()


def samples(count: int = 400) -> list[bytes]:
    """Return payloads that resemble each other."""
    return [
        json.dumps(
            {"role": "assistant", "content": f"Your flight {n} leaves at {n % 24}:{n % 60:02} from gate {n % 7}"}
        ).encode()
        for n in range(count)
    ]


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31, 33, 64])
def test_key_of_wrong_length_is_refused(size: int) -> None:
    """A key has 16, 24 or 32 bytes, and the error names the key and the length, and not the key itself."""
    with pytest.raises(InvalidInput, match=f"keys: key 'k1' must have 16, 24 or 32 bytes, got {size} bytes") as caught:
        KeyRing({"k1": b"s" * size}, current="k1")
    assert "sss" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "current", "text"),
    [
        ({}, "k1", "keys: must be a dict of at least one key"),
        ({"k1": "x" * 32}, "k1", "must have 16, 24 or 32 bytes, got a str"),
        ({"k 1": b"x" * 32}, "k 1", "must have IDs of 1 to 64 letters"),
        ({"": b"x" * 32}, "", "must have IDs of 1 to 64 letters"),
        ({"k" * 65: b"x" * 32}, "k" * 65, "must have IDs of 1 to 64 letters"),
        ({"k1": b"x" * 32}, "k2", r"current: must be the ID of a key of the ring \(k1\), got 'k2'"),
    ],
)
def test_bad_ring_is_refused(keys: Any, current: str, text: str) -> None:
    """A ring needs keys of the right form, and a current one of them."""
    with pytest.raises(InvalidInput, match=text):
        KeyRing(keys, current=current)


def test_ring_and_codec_show_no_key() -> None:
    """The repr of a ring and of a codec shows IDs alone."""
    assert repr(cipher("k1", "k2")) == "AesGcm(KeyRing(k1, k2, current='k1'))"


def test_ciphertext_opens_at_its_place_only() -> None:
    """Another namespace, session or context, a flipped bit and a shorter text are refused."""
    codec = cipher()
    stored = codec.encode(b"secret", PLACE)
    assert codec.decode(stored, PLACE) == b"secret"
    for place in (
        PLACE._replace(namespace="other"), PLACE._replace(session_id="s-2"), PLACE._replace(context="message b-2"),
        Binding("sessions s-1", "message", "b-1"),
    ):  # fmt: skip
        with pytest.raises(TagMismatch):
            codec.decode(stored, place)
    with pytest.raises(TagMismatch):
        codec.decode(stored[:-1] + bytes([stored[-1] ^ 1]), PLACE)
    for size in range(len(stored) - 6):
        with pytest.raises(DecryptionError):
            codec.decode(stored[:size], PLACE)


def test_same_text_has_another_ciphertext_each_time() -> None:
    """Each value has a nonce of its own, and each session a key of its own."""
    codec = cipher()
    assert len({codec.encode(b"x", PLACE) for _ in range(100)}) == 100
    assert len({codec.encode(b"x", PLACE)[3:15] for _ in range(100)}) == 100


def test_value_grows_by_key_nonce_and_tag() -> None:
    """Encryption adds 29 bytes and the ID of the key, and the chain a head."""
    assert len(cipher().encode(b"x" * 400, PLACE)) == 400 + 29 + len("k1")
    assert len(Chain("n", [cipher()], ["messages"]).encode(b"x" * 400, "s", "message b")) == 400 + 31 + len("\1a 0 ")


def test_compression_with_dictionary_is_smaller() -> None:
    """A dictionary makes short payloads smaller, and each value names its dictionary."""
    dictionary = train_dictionary(samples(), 2048)
    payload = samples(500)[-1]
    plain, trained = Zstd(), Zstd(dictionary)
    short = trained.encode(payload, PLACE)
    assert short is not None
    assert len(short) < len(payload) / 2
    assert len(plain.encode(TEXT, PLACE) or TEXT) < len(TEXT) / 2
    assert trained.decode(short, PLACE) == payload
    assert Zstd(older=[dictionary]).decode(short, PLACE) == payload
    with pytest.raises(CodecMissing, match=r"codec 'z with dictionary \d+'"):
        plain.decode(short, PLACE)


@pytest.mark.parametrize("data", [b"", b"x", b"{}", bytes(range(256)) * 2])
def test_data_that_does_not_become_smaller_is_left(data: bytes) -> None:
    """Data that is short, or that zstd cannot make smaller, stays plain."""
    assert Zstd().encode(data[:40], PLACE) is None


def test_frame_with_a_huge_size_is_damaged() -> None:
    """A frame that claims more than 64 MiB is refused before memory is taken."""
    huge = b"\xa0" + (200 * 1024 * 1024).to_bytes(4, "little") + b"\x03\x00\x00x"
    with pytest.raises(ValueError, match="more than 67108864"):
        Zstd().decode(huge, PLACE)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00 garbage that is no frame", b"\x20\x04\x21\x00\x00ab"])
def test_damaged_frame_is_damaged(data: bytes) -> None:
    """Data that is not a whole frame raises ValueError, which makes the message damaged."""
    with pytest.raises(ValueError, match=r"it cannot be decompressed|its text has"):
        Zstd().decode(data, PLACE)


def test_bad_dictionaries_are_refused() -> None:
    """A dictionary is what training made, and two have different IDs."""
    dictionary = train_dictionary(samples(), 2048)
    with pytest.raises(InvalidInput, match="dictionary: must be a zstd dictionary"):
        Zstd(b"not a dictionary")
    with pytest.raises(InvalidInput, match="dictionary: must be 1 byte to"):
        Zstd("text")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="older: must hold dictionaries with different IDs"):
        Zstd(dictionary, older=[dictionary])
    with pytest.raises(InvalidInput, match=r"samples: must be enough for a dictionary of 65536 bytes, got 2"):
        train_dictionary(samples(2))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"codecs": "zstd"}, "codecs: must be a list of codecs, got str"),
        ({"codecs": [b"key"]}, "codecs: must be a list of codecs, got list"),
        ({"codecs": [Zstd(), Zstd()]}, "codecs: must have different letters from a to z, got 'z', 'z'"),
        ({"codecs": [Zstd()], "encode": "state"}, "encode: must be a set of messages, state, .*, got 'state'"),
        ({"codecs": [Zstd()], "encode": None}, "encode: must be a set of messages, state, .*, got None"),
        ({"encode": {"state"}}, "encode: needs codecs"),
        ({"codecs": [Zstd()], "encode": [[]]}, r"encode: must be a set of messages, state, .*, got \[\[\]\]"),
        ({"codecs": [Zstd()], "encode": {"names"}}, r"encode: must be a set of messages, state, .*, got \{'names'\}"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], text: str) -> None:
    """Codecs are a list, each with a letter of its own, and `encode` names kinds of values."""
    with pytest.raises(InvalidInput, match=text):
        SessionCache.from_url("fake://", **options)


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [("zstandard", Zstd, "zstd"), ("cryptography", lambda: cipher(), "encryption")],
)
def test_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch, module: str, make: Any, extra: str) -> None:
    """Without its library a codec says which extra installs it."""
    for name in [one for one in sys.modules if one.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'redis-sessions\[{extra}\]'"):
        make()


def test_codecs_are_pickled_with_their_cache() -> None:
    """A cache with codecs can be sent to another process, as one without."""
    first, second = Zstd(train_dictionary(samples(), 2048)), AesGcm(KeyRing({"k1": b"1" * 32}, current="k1"))
    zstd, aes = pickle.loads(pickle.dumps([first, second]))
    stored = first.encode(TEXT, PLACE)
    assert stored is not None
    assert zstd.decode(stored, PLACE) == TEXT
    assert aes.decode(second.encode(TEXT, PLACE), PLACE) == TEXT
