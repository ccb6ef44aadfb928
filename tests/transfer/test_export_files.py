"""Files of exports: compressed, cut, too long, nested too deep, in another encoding, signed, and never through a link."""

from __future__ import annotations

import gzip
import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache
from redis_sessions._core.transfer import import_reader, import_source
from tests.support.command_line import run
from tests.support.exports import X, staged_keys, stored_keys, with_checksum
from tests.support.servers import Server

KEY = b"a key of 20 bytes :)"


@pytest.fixture
def fake() -> Iterator[SessionCache]:
    """Yield a cache without a server of its own."""
    with SessionCache.from_url("fake://", namespace="files") as cache:
        yield cache


@pytest.fixture
def lines(fake: SessionCache) -> list[str]:
    """Return the export of a session that is not there any more."""
    session = fake.create("a")
    session.append(X, X)
    found = list(session.export())
    session.delete()
    return found


def refusal(cache: SessionCache, lines: Any, **options: Any) -> str:
    """Return the message with which an import refuses lines. It must leave no session."""
    with pytest.raises(InvalidInput) as refused:
        cache.import_sessions(lines, **options)
    assert cache.get("a") is None
    return str(refused.value)


def file_of(lines: list[str], end: str = "\n") -> bytes:
    """Return the content of a file with lines."""
    return "".join(line + end for line in lines).encode()


def test_open_file_is_imported(fake: SessionCache, lines: list[str]) -> None:
    """A file is imported in binary or text mode, with either newline, without the last one, and compressed in parts."""
    plain = file_of(lines)
    halves = gzip.compress(plain[:90]) + gzip.compress(plain[90:])
    for file in (
        io.BytesIO(plain),
        io.BytesIO(plain[:-1]),
        io.BytesIO(file_of(lines, "\r\n")),
        io.StringIO(plain.decode()),
        io.BytesIO(gzip.compress(plain)),
        io.BytesIO(halves),
    ):
        assert fake.import_sessions(file).messages == 2
        fake.delete("a")


def test_gzip_file_that_is_cut_or_damaged_is_refused(fake: SessionCache, lines: list[str]) -> None:
    """A compressed file that was cut, changed, or followed by something else is refused with a line."""
    data = gzip.compress(file_of(lines))
    for damaged in (
        data[:-1],
        data[:40],
        data[:60] + b"\0\0\0\0" + data[64:],
        data + b"x",
        data + b"\x1f\x8b",
        b"\x1f\x8b",
    ):
        assert refusal(fake, io.BytesIO(damaged)).startswith("lines: line ")


def test_gzip_bomb_is_refused_by_its_ratio_and_its_size(
    fake: SessionCache, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compressed file that grows too much is refused before its content is in memory."""
    monkeypatch.setattr(import_source, "FREE_BYTES", 1024 * 1024)
    bomb = gzip.compress(file_of(lines[:2]) + b" " * 30_000_000)
    assert "line 3 cannot be read: the gzip file grows more than 500 times" in refusal(fake, io.BytesIO(bomb))
    monkeypatch.setattr(import_source, "MAX_FILE_BYTES", 1000)
    assert "beyond 1000 bytes" in refusal(fake, io.BytesIO(gzip.compress(file_of(lines) * 9)))


def test_line_that_is_too_long_is_refused_before_it_was_read(
    fake: SessionCache, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line above the bound is refused with its number, from a file without reading all of the line, and from a list."""
    monkeypatch.setattr(import_source, "MAX_LINE_BYTES", 100_000)
    monkeypatch.setattr(import_reader, "MAX_LINE_BYTES", 100_000)
    file = io.BytesIO(file_of(lines[:1]) + b"x" * 10_000_000)
    assert "line 2 is longer than 100000 bytes" in refusal(fake, file)
    assert file.tell() < 500_000
    assert "line 2 is longer than 100000 bytes" in refusal(fake, [lines[0], "x" * 200_000])


def test_file_with_too_many_lines_or_bytes_is_refused(
    fake: SessionCache, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of lines and the size of all lines are bounded."""
    monkeypatch.setattr(import_reader, "MAX_LINES", 3)
    assert "line 4 is one too many: an export has at most 3 lines" in refusal(fake, lines)
    monkeypatch.setattr(import_reader, "MAX_FILE_BYTES", 100)
    assert "line 2 is behind the first 100 bytes" in refusal(fake, lines)


@pytest.mark.parametrize(
    ("at", "change", "reason"),
    [
        (0, lambda line: b"\xef\xbb\xbf" + line, "line 1 is not JSON: .* byte order mark"),
        (0, lambda line: line.decode().encode("utf-16"), "line 1 is not JSON: .*not UTF-8"),
        (2, lambda line: line.replace(b'"x', b'"\xe9'), "line 3 is not JSON"),
        (2, lambda line: line + b" garbage", "line 3 is not JSON"),
        (1, lambda line: line.replace(b'"ttl":', b'"ttl":1,"ttl":'), "line 2 names a key twice"),
        (1, lambda line: line.replace(b'"status":', b'"status":"paused","status":'), "line 2 names a key twice"),
        (2, lambda line: line.replace(b'"messages"', b'"messages":[],"messages"'), "line 3 names a key twice"),
        (1, lambda line: line.replace(b'"ttl":', b'"ttl":NaN,"x":'), "line 2 has the number NaN"),
        (1, lambda line: line.replace(b'"ttl":', b'"ttl":1e999,"x":'), "line 2 has the number 1e999"),
        (1, lambda line: line.replace(b'"ttl":', b'"ttl":%b,"x":' % (b"9" * 5000)), "line 2 has a number of 5000 digits"),
        (1, lambda line: line.replace(b'"ttl":', b'"x":1,"ttl":'), "line 2 .*'x'"),
        (1, lambda line: line.replace(b'"fields":{', b'"fields":{"x":' + b"[" * 99_999), "line 2 is not JSON.*nests too deep"),
        (2, lambda line: line.replace(b'["', b"[" + b"[" * 99_999), "line 3 is not JSON.*nests too deep"),
        (1, lambda line: b"[" + b"[]," * 2_000_000 + b"[]]", "line 2 has too many values"),
        (2, lambda line: line.replace(b'"content\\":', b'"content\\":' + b"[" * 300), "JSON object as its payload"),
        (2, lambda line: line.replace(b'{\\"role', b'{\\"a\\":NaN,\\"role'), "JSON object as its payload"),
        (3, lambda line: line + b"\n" + line, "line 4 is not JSON"),
    ],
)  # fmt: skip
def test_line_that_is_no_line_of_an_export_is_refused(
    fake: SessionCache, lines: list[str], at: int, change: Any, reason: str
) -> None:
    """A line in another encoding, with a key twice, with NaN, huge numbers or deep nesting is refused with its number."""
    data = [line.encode() for line in lines]
    data[at] = change(data[at])
    with pytest.raises(InvalidInput, match=rf"^lines: (?s:.*){reason}"):
        fake.import_sessions(data)
    assert fake.get("a") is None


def test_value_that_is_too_large_for_one_command_is_refused(fake: SessionCache, lines: list[str]) -> None:
    """A message or a field of more than 8 MiB is refused, unless the importing cache allows messages of that size."""
    large = lines[2].replace('"messages":["', '"messages":["' + "x" * 9_000_000)
    assert "line 3 has a message that has 90000" in refusal(fake, [*lines[:2], large])
    field = json.loads(lines[1])
    field["fields"]["var.x"] = "x" * 9_000_000
    forged = with_checksum([lines[0], json.dumps(field), *lines[2:]])
    assert "field 'var.x' of session 'a' has 9000000 bytes, expected at most 8388608" in refusal(fake, forged)
    bounds = {"variables_bytes": 10 * 1024 * 1024}
    with SessionCache.from_url("fake://", max_message_bytes=10 * 1024 * 1024, bounds=bounds) as cache:
        assert cache.import_sessions(forged).imported == 1


def test_signed_export_is_imported_with_its_key_alone(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """A signature that is missing, wrong or unexpected is one error, and nothing is stored before the signature was checked."""
    session = cache.create("a", ttl=60)
    session.append(X)
    plain, signed = list(session.export()), list(session.export(key=KEY))
    assert list(json.loads(signed[-1])) == ["hmac"]
    forged = with_checksum([plain[0], plain[1].replace('"active"', '"paused"'), *plain[2:]])
    for lines, key, reason in (
        (plain, KEY, "line 5 is missing: a key was given, and the export has no signature"),
        (signed, None, "line 5 is a signature, and no key was given"),
        (signed, KEY + b"!", "line 5 has another signature"),
        ([*forged, signed[-1]], KEY, "line 5 has another signature"),
        ([*signed, signed[-1]], KEY, "line 6 comes after the end"),
        ([*signed[:-1], '{"hmac":7}'], KEY, "line 5 has another signature"),
        ([*signed[:-1], '{"hmac":'], KEY, "line 5 is not JSON"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            other.import_sessions(lines, key=key)
    assert stored_keys(client, other.namespace) == staged_keys(client, other.namespace) == []
    assert other.import_sessions(signed, key=KEY.decode()).imported == 1


@pytest.mark.parametrize("key", ["short", b"", b"x" * 15, 7, "\ud800" * 20])
def test_key_that_is_no_key_is_refused(fake: SessionCache, lines: list[str], key: Any) -> None:
    """A key of less than 16 bytes, or of another type, is refused before anything is read, and is not shown."""
    for use in (lambda: fake.session("a").export(key=key), lambda: fake.import_sessions(iter(lines), key=key)):
        with pytest.raises(InvalidInput, match=r"key: must (have at least 16 bytes|be bytes)") as refused:
            use()
        assert "xxx" not in str(refused.value)


def test_exported_file_belongs_to_its_owner_alone(own_server: Server, tmp_path: Path) -> None:
    """A file has mode 0600 whatever the umask, replaces a readable one, and can be compressed and signed."""
    url, file, packed, key = own_server.url, tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz", tmp_path / "key"
    key.write_bytes(KEY + b"\n")
    file.touch(mode=0o666)
    with SessionCache.from_url(url) as cache:
        cache.create("a").append(X)
    assert run("export", "a", "--url", url, "--out", str(file)).returncode == 0
    assert run("export", "a", "--url", url, "--out", str(packed), "--key-file", str(key)).returncode == 0
    assert [stat.S_IMODE(one.stat().st_mode) for one in (file, packed)] == [0o600, 0o600]
    assert len(gzip.decompress(packed.read_bytes()).splitlines()) == len(file.read_bytes().splitlines()) + 1
    refused = run("import", str(packed), "--url", url, "--namespace", "b")
    assert (refused.returncode, "no key was given" in refused.stderr) == (2, True)
    done = run("import", str(packed), "--url", url, "--namespace", "b", "--key-file", str(key))
    assert done.stdout == "sessions: 1 imported; 1 message\n"
    key.write_bytes(b"short")
    refused = run("import", str(packed), "--url", url, "--namespace", "c", "--key-file", str(key))
    assert (refused.returncode, "at least 16 bytes" in refused.stderr) == (2, True)


def test_export_never_follows_a_link(own_server: Server, tmp_path: Path) -> None:
    """A link in the place of the file or of its `.part` file is refused, and what the link names stays as it is."""
    url, precious, file = own_server.url, tmp_path / "precious", tmp_path / "a.jsonl"
    precious.write_text("precious")
    with SessionCache.from_url(url) as cache:
        cache.create("a")
    file.symlink_to(precious)
    done = run("export", "a", "--url", url, "--out", str(file))
    assert (done.returncode, "symbolic link" in done.stderr, done.stderr.count("\n")) == (2, True, 1)
    file.unlink()
    part = tmp_path / "a.jsonl.part"
    for target in (precious, tmp_path / "missing"):
        part.symlink_to(target)
        done = run("export", "a", "--url", url, "--out", str(file))
        assert (done.returncode, "a.jsonl.part exists" in done.stderr) == (2, True)
        assert part.is_symlink()
        part.unlink()
    assert (precious.read_text(), sorted(one.name for one in tmp_path.iterdir())) == ("precious", ["precious"])


def test_failed_export_leaves_no_part(own_server: Server, tmp_path: Path) -> None:
    """An export of a session that does not exist leaves neither a file nor its `.part`, also for a compressed file."""
    for name in ("a.jsonl", "a.jsonl.gz"):
        assert run("export", "none", "--url", own_server.url, "--out", str(tmp_path / name)).returncode == 1
    assert list(tmp_path.iterdir()) == []
