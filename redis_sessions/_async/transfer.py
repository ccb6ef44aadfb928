"""Export and import: sessions leave as lines of text, and come back all at once."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from tempfile import SpooledTemporaryFile

from .._core import sessions, transfer, trees
from .._core.exports import Writer
from .._core.imports import Archive, Reader
from .._core.keys import SessionKeys, session_keys
from .._core.transfer import TRIES, Staging
from ..errors import InvalidInput, SessionChanged, SessionExists, SessionNotFound, SessionsError, StoreError
from ..models.transfer import Existing, ImportResult
from . import io
from .home import Home

_IN_MEMORY = 8 * 1024 * 1024  # of an import; what is beyond is in a file
_ASKED = 1000  # sessions that are looked for at once


class _Moved(Exception):
    """What was exported in part is gone."""


async def export(home: Home, keys: SessionKeys, life: str, tree: bool) -> AsyncIterator[str]:
    """A session's lines, or a tree's: from the root on again when somebody was spawned, or ended, meanwhile."""
    writer = Writer(keys.id)
    if not tree:
        async for line in _session(home, keys, life, writer):
            yield line
        yield writer.end()
        return
    for _ in range(TRIES):
        before = await home.calls.run(trees.members(keys, life, below=True))
        with suppress(_Moved):
            async for line in _session(home, keys, before.life, writer):
                yield line
            for member in before.members:
                async for line in _member(home, member, writer):
                    yield line
            after = await home.calls.run(trees.members(keys, before.life))
            if after.tree == before.tree:
                yield writer.end()
                return
    raise SessionChanged(session_id=keys.id, tries=TRIES)


async def _member(home: Home, member: trees.Member, writer: Writer) -> AsyncIterator[str]:
    """One that is below; nothing of one that is not there any more."""
    is_begun = False
    try:
        async for line in _session(home, home.queues.keys_of(member.id), member.run_id, writer):
            is_begun = True
            yield line
    except SessionNotFound:
        if is_begun:
            raise _Moved from None


async def _session(home: Home, keys: SessionKeys, life: str, writer: Writer) -> AsyncIterator[str]:
    """One session, from its first line on again when messages that were not read yet have left or changed."""
    for _ in range(TRIES):
        page = await home.calls.run(transfer.read(keys, life))
        first, life = page, page.life
        for line in writer.session(keys.id, page.now, page.ttl, page.fields):
            yield line
        seq, pins = page.dropped, transfer.pins_aside(page)
        while True:
            pins += transfer.pins(page)
            for line in writer.messages(keys.id, page.elements):
                yield line
            seq += len(page.elements)
            if seq == first.last or not page.elements:
                break
            page = await home.calls.run(transfer.read(keys, life, after=seq, last=first.last))
        if seq == first.last and (page.rev == first.rev or pins == transfer.pins_told(first)):
            return
    raise SessionChanged(session_id=keys.id, tries=TRIES)


async def import_sessions(home: Home, lines: io.Lines, existing: Existing) -> ImportResult:
    """Nothing is written before the last line was checked, nothing can be seen before all is staged."""
    transfer.checked_existing(existing)
    with SpooledTemporaryFile(_IN_MEMORY) as spool:
        reader = Reader(spool)
        async for line in io.each(lines):
            reader.add(line)
        return await _import(home, reader.finish(), existing)


async def _import(home: Home, archive: Archive, existing: Existing) -> ImportResult:
    there = None if existing == "replace" else await _first_there(home, list(archive.entries))
    if there is not None:
        return _met(archive, there, existing)
    staging = Staging(home.namespace, archive, secrets.token_hex(8))
    runs, verdict = archive.runs(), ""
    try:
        await _stage(home, staging)
        for run, claimable in runs:
            await home.queues.expect(run, claimable=claimable)
        verdict, number = await _move(home, staging, archive, existing == "replace")
    finally:
        if verdict != "moved":
            with suppress(SessionsError):  # else it is gone in an hour
                for call in staging.discard():
                    await home.calls.run(call)
    if verdict == "exists":
        return _met(archive, staging.entries[number - 1].id, existing)
    for run, claimable in runs:
        await home.queues.welcome(run, claimable=claimable)
    await home.indexes.settle_all([entry.id for entry in staging.entries])
    messages = sum(entry.elements for entry in staging.entries)
    return ImportResult(len(staging.entries) - number, 0, number, messages)


def _met(archive: Archive, id: str, existing: Existing) -> ImportResult:
    if existing == "refuse":
        raise SessionExists(session_id=id)
    return ImportResult(0, len(archive.entries), 0, 0)


async def _first_there(home: Home, ids: list[str]) -> str | None:
    """Before all is staged for nothing; the move looks again."""
    for first in range(0, len(ids), _ASKED):
        some = ids[first : first + _ASKED]
        found = await home.calls.run_many([sessions.life(session_keys(home.namespace, id)) for id in some])
        for id, life in zip(some, found, strict=True):
            if isinstance(life, SessionsError):
                raise life
            if life is not None:
                return id
    return None


async def _stage(home: Home, staging: Staging) -> None:
    for entry in staging.entries:
        for call in staging.stage(entry):
            if not await home.calls.run(call):
                raise _lost(home)


async def _move(home: Home, staging: Staging, archive: Archive, replace: bool) -> tuple[transfer.Verdict, int]:
    root = session_keys(home.namespace, archive.root)
    for _ in range(TRIES):
        ever, others = await _in_place(home, root, archive) if replace else ("0", [])
        move = staging.move(replace, ever, others)
        ids = [*[entry.id for entry in staging.entries], *others]
        move.ahead = [home.indexes.mark(root, ids, may_move=True)]
        verdict, number = await home.calls.run(move)
        if verdict == "lost":
            raise _lost(home)
        if verdict == "expired":
            id = staging.entries[number - 1].id
            raise InvalidInput(name="lines", detail=f"the whole life of session {id!r} (max_lifetime) is over")
        if verdict != "changed":
            return verdict, number
    raise SessionChanged(session_id=root.id, tries=TRIES)


async def _in_place(home: Home, root: SessionKeys, archive: Archive) -> tuple[str, list[str]]:
    """How many the tree that is to be replaced has spawned, and those below it that are not replaced but deleted."""
    try:
        found = await home.calls.run(trees.members(root, "", below=True))
    except SessionNotFound:
        return "0", []
    others = [member.id for member in found.members if member.id not in archive.entries]
    return found.tree.split()[0] if found.number == 0 else "0", others


def _lost(home: Home) -> StoreError:
    return StoreError(where=home.calls.where, detail="what was staged for an import is gone: import it again")
