"""Export and import: the calls that read a session as it is stored, stage one, and move what is staged in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

from ..errors import InvalidInput
from ..models.transfer import Existing
from .calls import Argument, Call, invoke
from .codec import PINNED
from .exports import LINE_BYTES
from .imports import Archive, Entry
from .keys import ImportKeys, SessionKeys, StagedKeys, import_keys, session_keys, staged_keys
from .scripts import script

TRIES = 5
"""How often an export begins again when what it reads has changed."""
PAGE = 1000
PAGE_BYTES = 4 * LINE_BYTES
KEPT_MS = 3600 * 1000
"""How long what a broken import staged is kept."""
_FIELDS = 1000


class Page(NamedTuple):
    """Some messages of a session as they are stored; the first page has its fields, too."""

    life: str
    now: int
    rev: int
    last: int
    dropped: int
    ttl: int | None
    elements: list[bytes]
    fields: dict[bytes, bytes]


def read(keys: SessionKeys, life: str, *, after: int = -1, last: int = 0) -> Call[Page]:
    """The first page, or that after a seq, up to a last one."""

    def page(reply: Any) -> Page:
        found, now, counts, left, elements, fields = reply
        rev, newest, dropped, *_ = map(int, counts.split())
        named = dict(zip(fields[::2], fields[1::2], strict=True))
        return Page(found.decode(), int(now), rev, newest, dropped, left if left >= 0 else None, elements, named)

    return invoke(
        script("transfer/read"),
        keys,
        page,
        life=life,
        after=after,
        last=last,
        limit=PAGE,
        size=PAGE_BYTES,
        writes=False,
    )


def pins(page: Page) -> int:
    """How many of its messages are pinned."""
    return sum(element[14] & PINNED for element in page.elements)


def pins_aside(first: Page) -> int:
    """How many pinned ones the cap moved aside."""
    return len(first.fields.get(b"aside", b"").split())


def pins_told(first: Page) -> int:
    """How many are pinned in all, as the session says."""
    return int(first.fields.get(b"pins", b"0"))


def checked_existing(existing: str) -> None:
    if existing not in get_args(Existing):
        raise InvalidInput(name="existing", detail=f"{existing!r} is none of {', '.join(get_args(Existing))}")


class Staging:
    """One import: where its sessions are until all are there."""

    def __init__(self, namespace: str, archive: Archive, nonce: str) -> None:
        self.keys: ImportKeys = import_keys(namespace, archive.root, nonce)
        self.entries = list(archive.entries.values())
        self._archive = archive
        self._namespace = namespace
        self._nonce = nonce

    def stage(self, entry: Entry) -> Iterator[Call[bool]]:
        """Calls that stage one session, in order; each reads as whether what went before is still there."""
        keys = staged_keys(self._namespace, entry.id, self._nonce)
        fields, batches = self._archive.read(entry)
        pairs = list(fields.items())
        for first in range(0, len(pairs), _FIELDS):
            yield _stage(keys, 0, pairs[first : first + _FIELDS], [])
        at = 0
        for elements in batches:
            yield _stage(keys, at, [], elements)
            at += len(elements)

    def move(self, replace: bool, ever: str, others: Sequence[str]) -> Call[tuple[Verdict, int]]:
        """Reads as what came of it, and how many it replaced or which session is why not. `others` are deleted with it."""
        named: list[str] = []
        for entry in self.entries:
            staged, keys = self._staged(entry.id), session_keys(self._namespace, entry.id)
            named += [staged.fields, staged.elements, keys.session, keys.messages]
        for id in others:
            keys = session_keys(self._namespace, id)
            named += [keys.session, keys.messages]
        return invoke(
            script("transfer/move"),
            self.keys,
            lambda reply: (reply[0].decode(), reply[1]),
            rest_keys=named,
            replace=int(replace),
            ever=ever,
            keep=KEPT_MS,
            rest=[f"{entry.life} {entry.fields} {entry.elements}" for entry in self.entries],
        )

    def discard(self) -> Iterator[Call[None]]:
        """Calls that delete what is staged."""
        for first in range(0, len(self.entries), 500):
            staged = [self._staged(entry.id) for entry in self.entries[first : first + 500]]
            named = [key for keys in staged for key in (keys.fields, keys.elements)]
            yield Call(("DEL", *named), self.keys, lambda reply: None)

    def _staged(self, id: str) -> StagedKeys:
        return staged_keys(self._namespace, id, self._nonce)


Verdict = Literal["moved", "exists", "expired", "lost", "changed"]


def _stage(keys: StagedKeys, at: int, pairs: Sequence[tuple[bytes, bytes]], elements: Iterable[bytes]) -> Call[bool]:
    rest: list[Argument] = [part for pair in pairs for part in pair]
    return invoke(
        script("transfer/stage"), keys, lambda reply: reply == 1, ttl=KEPT_MS, at=at, sets=len(pairs),
        rest=[*rest, *elements],
    )  # fmt: skip
