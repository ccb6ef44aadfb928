# Generated from _async/services/export_import.py by tools/mirror.py; edit that file.
"""Export and import: sessions leave as lines of text, and come back all at once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from tempfile import SpooledTemporaryFile

from ..._core.commands import sessions, trees
from ..._core.protocol.keys import SessionKeys, session_keys
from ..._core.transfer import import_staging
from ..._core.transfer.export_format import Writer, checked_key
from ..._core.transfer.import_archive import Archive
from ..._core.transfer.import_bounds import Bounds
from ..._core.transfer.import_reader import Reader
from ..._core.transfer.import_source import file_lines, is_file
from ..._core.transfer.import_staging import MAX_ATTEMPTS, Staging
from ..._core.transfer.import_tree import is_recorded
from ..._core.transfer.transferred_blobs import refs_of, refs_of_elements
from ...errors import (
    ConcurrentModification,
    InvalidInput,
    SessionDamaged,
    SessionExists,
    SessionNotFound,
    SessionsError,
    StoreError,
)
from ...models.transfer import ImportResult, OnConflict
from ..transport import primitives
from .blob_export import FileGone, read_file
from .context import CacheContext
from .ledger_export import ledger_fields
from .part_export import PartsChanged, part_fields
from .tree_members import list_members

_MEMORY_BYTES = 8 * 1024 * 1024
"""The maximum size in bytes that an import keeps in memory. The rest is in a temporary file."""
_BATCH = 1000


class _Vanished(Exception):
    """A session that was exported in part is gone."""


def export(
    context: CacheContext, keys: SessionKeys, incarnation: str, tree: bool, key: str | bytes | None
) -> Iterator[str]:
    """Return the lines of a session, or of its tree. Raises InvalidInput for a key that is too short."""
    return _export(context, keys, incarnation, tree, Writer(keys.id, context.namespace, checked_key(key)))


def _export(context: CacheContext, keys: SessionKeys, incarnation: str, tree: bool, writer: Writer) -> Iterator[str]:
    """Yield the lines. Begin again at the root when a session was spawned or ended in between."""
    if not tree:
        for line in _session_lines(context, keys, incarnation, writer):
            yield line
        for line in writer.end():
            yield line
        return
    for _ in range(MAX_ATTEMPTS):
        before = list_members(context.executor, keys, incarnation, recursive=True)
        with suppress(_Vanished):
            for line in _session_lines(context, keys, before.incarnation, writer):
                yield line
            for member in before.members:
                for line in _member_lines(context, member, writer):
                    yield line
            after = context.executor.run(trees.list_members(keys, before.incarnation))
            if after.tree == before.tree:
                for line in writer.end():
                    yield line
                return
    raise ConcurrentModification(session_id=keys.id, tries=MAX_ATTEMPTS)


def _member_lines(context: CacheContext, member: trees.Member, writer: Writer) -> Iterator[str]:
    """Yield the lines of a session below the root. None if it is gone."""
    is_begun = False
    try:
        keys = context.run_queues.keys_of(member.id)
        for line in _session_lines(context, keys, member.run_id, writer):
            is_begun = True
            yield line
    except SessionNotFound:
        if is_begun:
            raise _Vanished from None


def _session_lines(context: CacheContext, keys: SessionKeys, incarnation: str, writer: Writer) -> Iterator[str]:
    """Yield the lines of one session. Begin again when messages that were not read yet have left or changed."""
    gone: SessionDamaged | None = None
    for _ in range(MAX_ATTEMPTS):
        page = context.executor.run(import_staging.read(keys, incarnation))
        incarnation, found = page.incarnation, _PagesRead(page)
        for line in writer.session(keys.id, page.now_ms, page.ttl_ms, page.fields):
            yield line
        while True:
            found.add(page)
            for line in writer.messages(keys.id, page.elements):
                yield line
            if page.last_seq >= found.last_seq or not page.elements:
                break
            call = import_staging.read(keys, incarnation, after=page.last_seq, last=found.last_seq)
            page = context.executor.run(call)
        if found.are_of_one_moment():
            try:
                for line in _other_lines(context, keys, found, writer):
                    yield line
                return
            except PartsChanged:
                pass
            except FileGone as problem:
                if str(problem.damage) == str(gone):
                    raise problem.damage from None
                gone = problem.damage  # the value may have been replaced since, and a sweep may have removed its file
    raise ConcurrentModification(session_id=keys.id, tries=MAX_ATTEMPTS)


class _PagesRead:
    """The pages that were read of a session's messages, and the files of the blob store that these refer to."""

    def __init__(self, first: import_staging.Page) -> None:
        self.first = self._newest = first
        self.last_seq = first.counters.last_seq
        self.files = {ref.file: ref for ref in refs_of(first.fields.items())}
        self._count = 0
        self._marks = import_staging.MessageMarks(first.fields)

    def add(self, page: import_staging.Page) -> None:
        """Take note of a page."""
        self._newest = page
        self._count += len(page.elements)
        self._marks.add(page.elements)
        self.files |= {ref.file: ref for ref in refs_of_elements(page.elements)}

    def are_of_one_moment(self) -> bool:
        """Return whether all messages were read, and none of them left or changed in between."""
        first, newest = self.first, self._newest
        marks = [(page.counters.rev, page.counters.bytes) for page in (first, newest)]  # reencrypt leaves the revision
        is_same = marks[0] == marks[1] or self._marks.agree_with_fields()
        return self._count == self.last_seq - first.counters.dropped and newest.change == first.change and is_same


def _other_lines(context: CacheContext, keys: SessionKeys, found: _PagesRead, writer: Writer) -> Iterator[str]:
    """Yield the lines of the ledger, the parts and the files of a session. Raises PartsChanged."""
    executor, first, files = context.executor, found.first, {**found.files}
    for some in ledger_fields(executor, keys, first.incarnation, first.fields):
        for line in writer.fields_of(keys.id, "ledger", some):
            yield line
    for some in part_fields(executor, keys, first.incarnation, first.fields):
        files |= {ref.file: ref for ref in refs_of((name.encode(), value) for name, value in some)}
        for line in writer.fields_of(keys.id, "parts", some):
            yield line
    for ref in files.values():
        for line in writer.blob(keys.id, ref.file, read_file(context, keys, ref)):
            yield line


def import_sessions(
    context: CacheContext, lines: primitives.Lines, on_conflict: OnConflict, key: str | bytes | None
) -> tuple[ImportResult, str]:
    """Import sessions. Nothing is written before the last line was checked, and nothing is visible before all is staged.

    Return what was imported, and the ID of the root.
    """
    import_staging.checked_on_conflict(on_conflict)
    bounds = Bounds.of(context.settings, context.bounds)
    with SpooledTemporaryFile(_MEMORY_BYTES) as spool:
        reader = Reader(spool, bounds, checked_key(key))
        for line in primitives.each(file_lines(lines) if is_file(lines) else lines):
            reader.add(line)
        archive = reader.finish()
        return _import(context, archive, on_conflict), archive.root


def _import(context: CacheContext, archive: Archive, on_conflict: OnConflict) -> ImportResult:
    existing = None if on_conflict == "replace" else _find_existing(context, list(archive.entries))
    if existing is not None:
        return _conflict(archive, existing, on_conflict)
    _check_outside_sessions(context, archive)
    staging = Staging(context.namespace, archive, secrets.token_hex(8), context.chain)
    runs, verdict = archive.runs(), ""
    try:
        _stage(context, staging)
        for agent, run, claimable in runs:
            context.run_queues.reserve_import(agent, run, claimable=claimable)
        verdict, number = _move(context, staging, archive, on_conflict == "replace")
    finally:
        if verdict != "moved":
            with suppress(SessionsError):  # else the staged sessions expire in an hour
                for call in staging.discard():
                    context.executor.run(call)
    if verdict == "exists":
        return _conflict(archive, staging.entries[number - 1].id, on_conflict)
    with suppress(SessionsError):  # the sessions are there, and the reservations of their work run out by themselves
        for agent, run, claimable in runs:
            context.run_queues.confirm_import(agent, run, claimable=claimable)
    context.indexer.repair_all(list(staging.records))
    messages = sum(entry.messages for entry in staging.entries)
    return ImportResult(len(staging.entries) - number, 0, number, messages)


def _conflict(archive: Archive, id: str, on_conflict: OnConflict) -> ImportResult:
    if on_conflict == "error":
        raise SessionExists(session_id=id)
    return ImportResult(0, len(archive.entries), 0, 0)


def _find_existing(context: CacheContext, ids: list[str]) -> str | None:
    """Return the first session that exists, so that nothing is staged in vain. The move checks again."""
    for first in range(0, len(ids), _BATCH):
        batch = ids[first : first + _BATCH]
        calls = [sessions.incarnation_of(session_keys(context.namespace, id)) for id in batch]
        for id, incarnation in zip(batch, context.executor.get_many(calls), strict=True):
            if incarnation is not None:
                return id
    return None


def _check_outside_sessions(context: CacheContext, archive: Archive) -> None:
    """Refuse an import that names a session which the server has, and which is another one than the import says."""
    tree = archive.tree
    assert tree is not None
    outside = tree.outside(archive.entries)
    for first in range(0, len(outside), _BATCH):
        batch = outside[first : first + _BATCH]
        calls = [import_staging.read_outside_session(session_keys(context.namespace, member.id)) for _, member in batch]
        for (number, member), found in zip(batch, context.executor.get_many(calls), strict=True):
            if found is not None and not tree.is_member(number, member, found):
                raise _another_session(f"member {number} of session {archive.root!r}, {member.id!r},")
    if tree.top is None:
        return
    entries = list(archive.entries.values())
    root = session_keys(context.namespace, tree.top.ancestors[-1])
    call = import_staging.read_recorded(root, [entry.number for entry in entries])
    incarnation, *records = context.executor.run(call)
    for entry, record in zip(entries, records, strict=True):
        is_known = not record or is_recorded(entry.id, entry.incarnation, record)  # a record may have been pruned
        if incarnation and not (is_known and incarnation == tree.top.root_incarnation):
            raise _another_session(f"the root {root.id!r} of session {entry.id!r}")


def _another_session(name: str) -> InvalidInput:
    detail = f"line 2 names another session than the server has: {name} is not in the export, and differs on the server"
    return InvalidInput(name="lines", detail=detail)


def _stage(context: CacheContext, staging: Staging) -> None:
    for entry in staging.entries:
        for call in staging.stage(entry):
            if not context.executor.run(call):
                raise _staging_lost(context)


def _move(
    context: CacheContext, staging: Staging, archive: Archive, may_replace: bool
) -> tuple[import_staging.Verdict, int]:
    root = session_keys(context.namespace, archive.root)
    for _ in range(MAX_ATTEMPTS):
        tree_total, others = _present_tree(context, root, archive) if may_replace else (0, [])
        move = staging.move(may_replace, tree_total, others)
        context.indexer.learn(others)
        context.indexer.announce(staging.records)
        try:
            verdict, number = context.executor.run(move)
        finally:
            context.indexer.repair_later(staging.records)  # also what a refused import raised
        context.indexer.repair_later(others, may_be_new=False)
        if verdict == "lost":
            raise _staging_lost(context)
        if verdict == "expired":
            id = staging.entries[number - 1].id
            raise InvalidInput(name="lines", detail=f"the max_lifetime of session {id!r} is over")
        if verdict != "changed":
            return verdict, number
    raise ConcurrentModification(session_id=root.id, tries=MAX_ATTEMPTS)


def _present_tree(context: CacheContext, root: SessionKeys, archive: Archive) -> tuple[int, list[str]]:
    """Return how many sessions the tree to be replaced has spawned, and those that are deleted, not replaced."""
    try:
        found = list_members(context.executor, root, "", recursive=True)
    except SessionNotFound:
        return 0, []
    others = [member.id for member in found.members if member.id not in archive.entries]
    return found.tree.total if found.number == 0 else 0, others


def _staging_lost(context: CacheContext) -> StoreError:
    return StoreError(where=context.executor.where, detail="staged sessions of an import are gone: import again")
