"""Calls of exports and imports: read a session as it is stored, stage one, and move all staged sessions into place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from ...errors import CodecMissing
from ...models.transfer import OnConflict
from ..commands.index_entries import IndexRecord
from ..commands.session_fields import checked_choice
from ..protocol.call import Argument, Call, invoke
from ..protocol.chain import Chain
from ..protocol.codec import FACTS_FLAG, FLAGS_AT, PINNED_FLAG, split_payload
from ..protocol.encoding import check_codecs, decoded_origins, encoded_origins
from ..protocol.keys import ImportKeys, SessionKeys, StagedKeys, import_keys, session_keys, staged_keys
from ..protocol.records import Counters, Layout, Settings, join_words
from ..protocol.scripts import script
from .export_format import MAX_LINE_BYTES
from .import_archive import Archive, Pairs
from .import_blobs import read_blob
from .import_fields import Entry
from .import_tree import OutsideSession
from .transferred_blobs import referring, refs_of

MAX_ATTEMPTS = 5
"""The maximum number of times that an export or import begins again because the sessions changed."""
PAGE = 1000
PAGE_BYTES = MAX_LINE_BYTES
STAGED_TTL_MS = 3600 * 1000
"""The time for which staged sessions of a broken import stay."""
_FACT = re.compile(rb"([-+?!])(\w{8})")
_PARTS_PER_CALL = 1000
"""The most fields or messages that one call stages."""
_BYTES_PER_CALL = 512 * 1024
"""The size at which the parts of one call are enough: the server stays free for others between the calls."""
_PARTS_PER_DELETION = 20_000
T = TypeVar("T")
Verdict = Literal["moved", "exists", "expired", "lost", "changed"]


class Page(NamedTuple):
    """Some messages of a session as they are stored. The first page also has its fields."""

    incarnation: str
    now_ms: int
    counters: Counters
    ttl_ms: int | None
    elements: list[bytes]
    fields: dict[bytes, bytes]
    last_seq: int
    """The seq of the last message of the page."""
    change: int
    """The number of the last status change or edit."""


def read(keys: SessionKeys, incarnation: str, *, after: int = -1, last: int = 0) -> Call[Page]:
    """Read the first page, or the page behind a seq, up to a last seq."""

    def page(reply: Any) -> Page:
        found, now_ms, counters, left, elements, fields, last_seq, change = reply
        by_name = dict(zip(fields[::2], fields[1::2], strict=True))
        ttl_ms = left if left >= 0 else None
        return Page(
            found.decode(), int(now_ms), Counters.parse(counters), ttl_ms, elements, by_name, last_seq, int(change)
        )

    return invoke(
        script("transfer/read"), keys, page, incarnation=incarnation, after=after, last=last, limit=PAGE,
        max_bytes=PAGE_BYTES, writes=False,
    )  # fmt: skip


class MessageMarks:
    """The bytes, pins and calls of the messages that were read, which a writer may have changed since the fields were read."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields
        self._pins = self._bytes = 0
        self._signs: dict[bytes, bytes] = {}
        self.add(value for name, value in fields.items() if name.startswith(b"kept."))

    def add(self, elements: Iterable[bytes]) -> None:
        """Take the next messages, in order."""
        for element in elements:
            self._bytes += len(element)
            words = element.split(b" ", 3)
            if len(words[0]) <= FLAGS_AT:
                continue  # damaged: an import refuses it by its line
            flags = element[FLAGS_AT]
            self._pins += flags & PINNED_FLAG
            if flags & FACTS_FLAG and len(words) > 2:
                self._signs |= {hash: sign for sign, hash in _FACT.findall(words[2])}

    def agree_with_fields(self) -> bool:
        """Return whether the fields count the same bytes and pins, and no open call of the fields was abandoned or answered."""
        calls = [call.partition(":")[0].encode() for call in Layout.parse(self._fields.get(b"layout")).open.split(",")]
        is_open = all(self._signs.get(call, b"+") == b"+" for call in calls)
        counts = Counters.parse(self._fields[b"counters"]).bytes, int(self._fields.get(b"pins", b"0"))
        return is_open and (self._bytes, self._pins) == counts


def read_outside_session(keys: SessionKeys) -> Call[OutsideSession | None]:
    """Read the identity of a session that an import names, or None when the session does not exist."""

    def read(reply: list[bytes | None]) -> OutsideSession | None:
        incarnation, lineage = (part.decode(errors="replace") if part else "" for part in reply)
        return OutsideSession(incarnation, lineage) if incarnation else None

    return Call(("HMGET", keys.session, "incarnation", "lineage"), keys, read, writes=False)


def read_recorded(root: SessionKeys, numbers: Sequence[int]) -> Call[list[str]]:
    """Read the incarnation of a root, and its records of members. '' for what does not exist."""
    fields = [f"member.{number}" for number in numbers]
    return Call(
        ("HMGET", root.session, "incarnation", *fields), root,
        lambda reply: [part.decode(errors="replace") if part else "" for part in reply], writes=False,
    )  # fmt: skip


def checked_on_conflict(on_conflict: str) -> None:
    """Raise InvalidInput for an unknown word."""
    checked_choice(on_conflict, "on_conflict", get_args(OnConflict))


class Staging:
    """One import: its sessions are staged under a nonce until all are there."""

    def __init__(self, namespace: str, archive: Archive, nonce: str, chain: Chain | None) -> None:
        self.keys: ImportKeys = import_keys(namespace, archive.root, nonce)
        self.entries = list(archive.entries.values())
        self._archive = archive
        self._namespace = namespace
        self._nonce = nonce
        self._chain = chain
        self._field_counts: dict[str, int] = {}
        self._lifetimes: dict[str, str] = {}
        """The ttl and the deadline of each session that was staged."""
        self.records: dict[str, IndexRecord] = {}
        """The values that each session that was staged is to be listed under."""

    def stage(self, entry: Entry) -> Iterator[Call[bool]]:
        """Yield the calls that stage one session, in order. The result of each is whether the parts before are still there."""
        keys = staged_keys(self._namespace, entry.id, self._nonce)
        fields, batches, ledger, parts = self._archive.read(entry)
        is_foreign = self._archive.namespace not in (None, self._namespace)
        for value in fields.values() if is_foreign else ():
            check_codecs(self._chain, entry.id, value)
        self._set_origins(entry.id, fields)
        pairs = list(fields.items())
        self._field_counts[entry.id] = len(pairs)
        self.records[entry.id] = IndexRecord.of({name.decode(errors="replace"): value for name, value in pairs})
        settings, at = Settings.parse(fields[b"settings"]), 0
        self._lifetimes[entry.id] = join_words(settings.ttl_ms, settings.deadline_ms)
        new = _NewFiles(self._chain, entry, self._archive)
        for some in _slices(pairs, new.size_of):
            yield _stage(keys, at, new.stored(some), [])
            at += len(some)
        at = 0
        for batch in batches:
            for element in batch if is_foreign else ():
                check_codecs(self._chain, entry.id, split_payload(element)[2])
            for elements in _slices([(b"", element) for element in batch], new.size_of):
                yield _stage(keys, at, [], [element for _, element in new.stored(elements)])
                at += len(elements)
        at = 0
        for pairs in ledger:
            for some in _slices(pairs, lambda pair: len(pair[0]) + len(pair[1])):
                yield _stage(keys._replace(fields=keys.ledger), at, some, [])
                at += len(some)
        yield from self._stage_parts(keys, parts, new, is_foreign)

    def _stage_parts(
        self, keys: StagedKeys, parts: Iterator[Pairs], new: _NewFiles, is_foreign: bool
    ) -> Iterator[Call[bool]]:
        at = names_at = 0
        for pairs in parts:
            for name, value in pairs if is_foreign else ():
                if name.startswith(b"message."):
                    check_codecs(self._chain, keys.id, split_payload(value)[2])
            for some in _slices(pairs, new.size_of):
                yield _stage(keys._replace(fields=keys.parts), at, new.stored(some), [])
                at += len(some)
            names = [name.removeprefix(b"part.") for name, _ in pairs if name.startswith(b"part.")]
            for few in _slices(names, len):
                yield _stage(keys._replace(elements=keys.part_names), names_at, [], few, is_set=True)
                names_at += len(few)

    def _set_origins(self, id: str, fields: dict[bytes, bytes]) -> None:
        """Say in a session from another namespace for which namespace its values were encoded. Raises DecryptionError."""
        source = self._archive.namespace
        if self._chain is None or source in (None, self._namespace):
            return
        assert source is not None
        keys = session_keys(self._namespace, id)
        keys.chain = self._chain
        before = decoded_origins(keys, fields.get(b"origins"), source)
        fields[b"origins"] = encoded_origins(self._chain, id, [(source, id), *before])

    def move(self, may_replace: bool, tree_total: int, others: Sequence[str]) -> Call[tuple[Verdict, int]]:
        """Move all staged sessions into place, and delete `others`. The result is the verdict, and how many were replaced or
        which session is the reason."""
        named: list[str] = []
        for entry in self.entries:
            staged, keys = self._staged(entry.id), session_keys(self._namespace, entry.id)
            named += [*staged[2:], *_places(keys)]
        for id in others:
            keys = session_keys(self._namespace, id)
            named += _places(keys)
        return invoke(
            script("transfer/move"),
            self.keys,
            lambda reply: (reply[0].decode(), reply[1]),
            rest_keys=named,
            may_replace=int(may_replace),
            tree_total=tree_total,
            keep_ms=STAGED_TTL_MS,
            rest=[
                f"{entry.messages} {self._lifetimes[entry.id]} {entry.ledger_fields} {entry.part_fields} {entry.part_names}"
                for entry in self.entries
            ],
        )

    def discard(self) -> Iterator[Call[None]]:
        """Yield the calls that delete what is staged, each a bounded number of fields and messages, or one session."""
        named: list[str] = []
        parts = 0
        for entry in self.entries:
            if entry.id not in self._field_counts:  # not begun, and neither are those behind
                break
            staged = self._staged(entry.id)
            named += staged[2:]
            parts += self._field_counts[entry.id] + entry.messages + entry.ledger_fields + entry.part_fields
            if parts >= _PARTS_PER_DELETION:
                yield Call(("UNLINK", *named), self.keys, lambda reply: None)
                named, parts = [], 0
        if named:
            yield Call(("UNLINK", *named), self.keys, lambda reply: None)

    def _staged(self, id: str) -> StagedKeys:
        return staged_keys(self._namespace, id, self._nonce)


class _NewFiles:
    """The files of one session of an import, under new names. A sweep does not touch them, because they are young."""

    def __init__(self, chain: Chain | None, entry: Entry, archive: Archive) -> None:
        self._chain = chain
        self._entry = entry
        self._archive = archive
        self._references: dict[str, bytes] = {}

    def size_of(self, pair: tuple[bytes, bytes]) -> int:
        """Return the bytes of a value with its name, and with the file that it refers to."""
        name, value = pair
        return len(name) + len(value) + sum(ref.size for ref in refs_of([pair]))

    def stored(self, pairs: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
        """Return values that refer to new files, whose bytes wait to be stored. Raises CodecMissing without a blob store."""
        refs = list(refs_of(pairs))
        if not refs:
            return pairs
        blobs = None if self._chain is None else self._chain.blobs
        if blobs is None:
            raise CodecMissing(session_id=self._entry.id, codec="o")
        for ref in refs:
            if ref.file not in self._references:
                data = read_blob(self._archive.spool, self._entry.blobs[ref.file])
                self._references[ref.file] = blobs.adopt(data, self._entry.id)
        return [(name, referring(name, value, self._references)) for name, value in pairs]


def read_staged_user(keys: StagedKeys) -> Call[str]:
    """Read the user of a session that is staged, or ''."""
    return Call(
        ("HGET", keys.fields, "user"), keys, lambda reply: reply.decode(errors="replace") if reply else "", writes=False
    )


def discard_staged(keys: StagedKeys) -> Call[None]:
    """Delete one session that is staged. Its import then fails."""
    return Call(("DEL", *keys[2:]), keys, lambda reply: None)


def _slices(parts: Sequence[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Yield parts in slices of a bounded number and size. A slice has at least one part."""
    first = size = 0
    for at, part in enumerate(parts):
        size += size_of(part)
        if at > first and (size > _BYTES_PER_CALL or at - first == _PARTS_PER_CALL):
            yield parts[first:at]
            first, size = at, size_of(part)
    if first < len(parts):
        yield parts[first:]


def _places(keys: SessionKeys) -> list[str]:
    """Return the keys of a session, in the order of the keys where it is staged."""
    return [keys.session, keys.messages, keys.ledger, keys.parts, keys.part_names]


def _stage(
    keys: StagedKeys, at: int, pairs: Sequence[tuple[bytes, bytes]], elements: Iterable[bytes], *, is_set: bool = False
) -> Call[bool]:
    rest: list[Argument] = [part for pair in pairs for part in pair]
    return invoke(
        script("transfer/stage"), keys, lambda reply: reply == 1, ttl_ms=STAGED_TTL_MS, staged=at,
        set_count=len(pairs), is_set=int(is_set), rest=[*rest, *elements],
    )  # fmt: skip
