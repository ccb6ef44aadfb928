# Generated from _async/services/blob_sweeper.py by tools/mirror.py; edit that file.
"""Remove the files of a blob store to which nothing refers any more, while the fleet works.

A file is removed if its name is older than the grace, no value of the namespace refers to it, and no session of its folder was
copied since the values were read. A value that moves during the sweep is found, because its old key is read before its new key,
and a copy marks the folders of its session before it copies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from ..._core.commands import blob_marks, reencryption
from ..._core.commands.blob_marks import Place, Slice
from ..._core.protocol.blobs import BlobStep, files_in, made_at_ms, now_ms
from ..._core.protocol.found_keys import every_value
from ..._core.protocol.keys import SessionKeys
from ..._durations import Duration, milliseconds
from ...errors import InvalidInput, SessionNotFound, SessionsError
from ...models.transfer import BlobSweepResult
from ..transport.blob_files import ask
from .context import CacheContext
from .mistyped_keys import run_or_default
from .unlisted import scan

MIN_GRACE_MS = 10 * 60 * 1000
"""The shortest grace: longer than the time from encoding a value to the end of its write, and than clocks may differ."""
COPY_MARGIN_MS = 3600 * 1000
"""The time by which a copy may have begun before the values were read."""
MAX_CANDIDATES = 200_000
"""Old files that one reading of all values checks. Each takes about 150 bytes."""
_REMOVED_AT_ONCE = 100
Progress = Callable[[BlobSweepResult], object]


def forget_files(
    context: CacheContext, sessions: Collection[str], categories: Collection[str], *, find_copies: bool
) -> tuple[int, int]:
    """Remove the files of sessions and categories that are gone. Return how many were removed, and how many stay.

    Args:
        find_copies: read all values, because a copy of a session may refer to its files. Else all files stay.
    """
    if context.chain is None or context.chain.blobs is None:
        return 0, 0
    return BlobSweeper(context, MIN_GRACE_MS / 1000).forget(sessions, categories, find_copies=find_copies)


class BlobSweeper:
    """One sweep over the files of a namespace."""

    def __init__(
        self, context: CacheContext, grace: Duration, dry_run: bool = False, progress: Progress | None = None
    ) -> None:
        blobs = None if context.chain is None else context.chain.blobs
        if blobs is None:
            raise InvalidInput(
                name="codecs", detail="must have Offload, because a sweep removes files of its blob store"
            )
        self._context = context
        self._blobs: BlobStep = blobs
        self._grace_ms = milliseconds(grace, "grace", minimum=MIN_GRACE_MS, bounds="at least 10 minutes")
        self._dry_run = dry_run
        self._progress = progress
        self._result = BlobSweepResult(0, 0, 0, 0, 0)

    def run(self) -> BlobSweepResult:
        """Return the counts."""
        blobs, retry_for = self._blobs, self._context.executor.retry_for
        oldest_young = now_ms() - self._grace_ms
        candidates: set[str] = set()
        ask(blobs, blobs.copied_folders, now_ms() - COPY_MARGIN_MS, retry_for=retry_for)  # removes old notes
        for shard in ask(blobs, blobs.shards, retry_for=retry_for):
            for file in ask(blobs, blobs.files_of, shard, retry_for=retry_for):
                is_old = (made_at_ms(file) or 0) < oldest_young
                self._count(files=1, young=int(not is_old))
                if is_old:
                    candidates.add(file)
                if len(candidates) == MAX_CANDIDATES:
                    self._sweep(candidates)
                    candidates = set()
            self._tell()
        if candidates:
            self._sweep(candidates)
        return self._result

    def forget(self, sessions: Collection[str], categories: Collection[str], *, find_copies: bool) -> tuple[int, int]:
        """Remove the files of sessions and categories that are gone. See `forget_files`."""
        blobs, retry_for = self._blobs, self._context.executor.retry_for
        files = ask(blobs, blobs.files_of_owners, list(sessions), list(categories), retry_for=retry_for)
        old = {file for file in files if (made_at_ms(file) or 0) < now_ms() - self._grace_ms}
        if old and find_copies:
            self._sweep(old)
        return self._result.removed, len(files) - self._result.removed

    def _sweep(self, candidates: set[str]) -> None:
        """Remove those of some old files to which nothing refers."""
        blobs, retry_for = self._blobs, self._context.executor.retry_for
        began = now_ms()
        for values in self._values():
            for file in files_in(values):
                if file in candidates:
                    candidates.discard(file)
                    self._count(referenced=1)
            if not candidates:
                return
        folders = ask(blobs, blobs.copied_folders, began - COPY_MARGIN_MS, retry_for=retry_for)
        copied = {file for file in candidates if file.partition("/")[0] in folders}
        self._count(copied=len(copied))
        left = sorted(candidates - copied)
        for first in range(0, len(left), _REMOVED_AT_ONCE):
            some = left[first : first + _REMOVED_AT_ONCE]
            gone = len(some) if self._dry_run else ask(blobs, blobs.remove, some, retry_for=retry_for)
            self._count(removed=gone)
            self._tell()

    def _values(self) -> Iterator[list[bytes]]:
        """Yield everything that may refer to a file, slice by slice."""
        namespace = self._context.namespace
        for pattern in every_value(namespace):
            for key in scan(self._context, pattern, twice=True):
                for place in blob_marks.places_of(namespace, key):
                    for values in self._values_of(place):
                        yield values
                self._count(keys=1)
                if self._result.keys % 1000 == 0:
                    self._tell()

    def _values_of(self, place: Place) -> Iterator[list[bytes]]:
        if not place.is_list:
            cursor = -1
            while cursor:
                call = blob_marks.scan_hash(place, max(cursor, 0))
                some = run_or_default(self._context.executor, call, Slice(0, []))
                yield some.values
                cursor = some.cursor
            return
        if isinstance(place.keys, SessionKeys) and place.key == place.keys.messages:
            is_whole = True
            try:
                for values in self._messages(place.keys):
                    yield values
            except SessionNotFound:
                pass
            except SessionsError:  # no script writes a session that none can read, so its list can be read by place
                is_whole = False
            if is_whole:
                return
        read = 0
        while values := run_or_default(self._context.executor, blob_marks.read_list(place, read), []):
            yield values
            read += len(values)

    def _messages(self, keys: SessionKeys) -> Iterator[list[bytes]]:
        """Yield the listed messages, the newest first by their seqs, so that none is passed over when others leave."""
        below = 0
        while True:
            page = self._context.executor.run(reencryption.read_messages(keys, "", below))
            yield [value for _, value in page.values]
            below = page.below
            if not below:
                return

    def _count(self, **more: int) -> None:
        self._result = self._result._replace(
            **{name: getattr(self._result, name) + added for name, added in more.items()}
        )

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._result)
