"""Find the session that an argument names: by its whole ID, by a short ID, or by its label."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Annotated

import typer

from .._core.commands import list_query, sessions
from .._core.commands.list_query import START, Position
from .._core.protocol.keys import session_keys
from .._sync.api.cache import SessionCache
from .._sync.api.session import Session
from ..errors import InvalidInput, SessionNotFound
from .app import escape_controls
from .connect import place_of
from .plain import CUT, PLAIN_CUT

SessionId = Annotated[
    str | None,
    typer.Argument(
        help="ID of the session, or a unique beginning or end of the ID, 4 characters or more.",
        show_default="none, with --label",
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        help="Take the session with this label: in the tree of ID, or in the namespace if no ID is given.",
        show_default="the session with the ID",
    ),
]
MIN_SHORT_LENGTH = 4
MAX_SEARCHED = 10_000
"""Sessions that are searched for a short ID, those that changed last."""
_SHOWN = 5
_LABELLED = 50
"""Sessions with the same label that are read, those that changed last."""
_SCANNED = MAX_SEARCHED * 7 // 100
"""Entries that are read of each shard at once: together a little more than are searched."""
_CHECKED = 100
_FORMS = ((0, 8), (0, 12), (0, 16), (8, 8), (8, 16), (16, 16))
"""Characters of the beginning and of the end that short forms of IDs have, the shortest first."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class LabelUnknown(LookupError):
    """No session has the label that an argument names."""


def find_session(cache: SessionCache, id: str | None, label: str | None = None) -> Session:
    """Return the session that a command line names.

    Args:
        cache: the cache of the namespace.
        id: the whole ID, a short ID, or the ID of any session of the tree in which the label is looked up.
        label: the label. Without an ID it must be unique in the namespace, active sessions first.

    Raises:
        SessionNotFound: no session has this ID, and it is short for none.
        LabelUnknown: no session has the label.
        InvalidInput: the short ID or the label names several sessions.

    Cost: one round trip for a whole ID. A short ID costs three more, and reads the 10,000 sessions that changed last.
    """
    if label is not None:
        return _find_labelled(cache, id, label)
    if id is None:
        raise InvalidInput(name="ID", detail="is missing: give the ID of a session, or --label")
    return cache.get(id) or _find_short(cache, id)


def shift_text(id: str | None, text: str | None, label: str | None) -> tuple[str | None, str | None]:
    """Return the ID and the text of a command line. With a label, a single argument is the text."""
    return (None, id) if label is not None and text is None else (id, text)


def _find_labelled(cache: SessionCache, id: str | None, label: str) -> Session:
    if id is None:
        return cache.open(_labelled_id(cache, label))
    info = find_session(cache, id).info()
    root = info.root_id or info.id
    found = cache.by_label(label, root=root)
    if found is None:
        raise LabelUnknown(f"no session of the tree of {root!r} has the label {label!r}")
    return cache.open(found.id)


def _labelled_id(cache: SessionCache, label: str) -> str:
    every = cache.list(_LABELLED, label=label).items
    active = cache.list(_SHOWN + 1, label=label, active_only=True).items
    ids = [one.id for one in active] or [one.id for one in every if one.status == "paused"] or [one.id for one in every]
    if not ids:
        raise LabelUnknown(f"no session has the label {label!r} in {place_of(cache)}")
    if len(ids) > 1:
        detail = (
            f"{label!r} is the label of several sessions: {_listed(ids)}. Give the ID of a session of the tree, too"
        )
        raise InvalidInput(name="--label", detail=detail)
    return ids[0]


def _find_short(cache: SessionCache, text: str) -> Session:
    """Return the session that a short ID stands for. Raises SessionNotFound, InvalidInput."""
    missing = SessionNotFound(session_id=text)
    if len(text) < MIN_SHORT_LENGTH:
        raise missing
    matching = [id for id in _newest_ids(cache) if is_short_for(text, id)]
    found = list(islice(_existing(cache, matching), _SHOWN + 1))
    if not found:
        raise missing
    if len(found) > 1:
        detail = f"{text!r} is short for several sessions: {_listed(found)}. Give more characters"
        raise InvalidInput(name="ID", detail=detail)
    return cache.open(found[0])


def is_short_for(text: str, id: str) -> bool:
    """Return whether text is short for an ID: its beginning, its end, or both with '…' or '~' between them.

    A number is not cut, because `user-1` must not be taken for `user-12`. The digits of a UUID can be cut anywhere.
    """
    for mark in (CUT, PLAIN_CUT):
        begin, found, end = text.partition(mark)
        if found and MIN_SHORT_LENGTH <= len(begin) + len(end) < len(id) and id.startswith(begin) and id.endswith(end):
            return True
    return (id.startswith(text) and not _cuts_number(id, len(text))) or (
        id.endswith(text) and not _cuts_number(id, len(id) - len(text))
    )


def _cuts_number(id: str, at: int) -> bool:
    if not (0 < at < len(id) and id[at - 1].isdigit() and id[at].isdigit()):
        return False
    if any(one.start() < at < one.end() for one in _UUID.finditer(id)):
        return False
    word = next(one[0] for one in re.finditer(r"[^\W_]+", id) if one.start() < at < one.end())
    return re.fullmatch(r"\D*\d+", word) is not None


def short_ids(ids: Collection[str], room: int, among: Collection[str] = ()) -> dict[str, str]:
    """Return what a screen shows for each ID: all of them whole if they fit into `room` columns, else a unique short form.

    The short form is '…' and the end of the ID, 8 characters or more. IDs with the same end keep their beginning, too.
    A short form with its '…' is accepted wherever an ID is. If no short forms are unique, all IDs stay whole.

    Args:
        ids: the IDs to show.
        room: columns.
        among: more IDs, from which the short forms differ.
    """
    shown = {id: escape_controls(id) for id in ids}
    if max(map(len, shown.values()), default=0) <= room:
        return shown
    known = {*ids, *among}
    for begin, end in _FORMS:
        if begin + end + 1 > max(room, _FORMS[0][1] + 1):
            break
        if len({_short_form(id, begin, end) for id in known}) == len(known):
            return {id: _short_form(one, begin, end) for id, one in shown.items()}
    return shown


def _short_form(id: str, begin: int, end: int) -> str:
    return id if len(id) <= begin + end + 1 else f"{id[:begin]}{CUT}{id[-end:]}"


def _newest_ids(cache: SessionCache) -> list[str]:
    """Return the IDs of the sessions that changed last, newest first. Some may be gone."""
    query = list_query.query(limit=_SCANNED)
    found: dict[str, int] = {}
    below = START
    while True:
        page = cache._lister.entries(query, below, _SCANNED)
        for entry in page.entries:
            found.setdefault(entry.id, entry.time)
        if page.is_last or len(found) >= MAX_SEARCHED:
            return list(found)[:MAX_SEARCHED]
        below = Position(*page.entries[-1])


def _existing(cache: SessionCache, ids: Sequence[str]) -> Iterator[str]:
    """Yield the IDs of sessions that exist: an index may still hold the ID of a session that is gone."""
    for first in range(0, len(ids), _CHECKED):
        some = ids[first : first + _CHECKED]
        calls = [sessions.incarnation_of(session_keys(cache.namespace, id)) for id in some]
        found = cache._executor.get_many(calls)
        yield from (id for id, incarnation in zip(some, found, strict=True) if incarnation is not None)


def _listed(ids: Sequence[str]) -> str:
    shown = ", ".join(escape_controls(id) for id in ids[:_SHOWN])
    return f"{shown} and more" if len(ids) > _SHOWN else shown
