"""Checkpoints of a thread: versions of a graph's state that share the blobs of their channels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from ..._arguments import texts
from ..._core.commands import checkpoint_records as records
from ..._core.commands import checkpoints
from ..._core.commands.checkpoints import Stored
from ..._core.protocol.call import Call
from ..._core.protocol.keys import CheckpointKeys, checkpoint_keys
from ..._durations import whole
from ..._pickling import NotPicklable
from ...errors import ConcurrentModification, InvalidInput, SessionDamaged
from ...models.checkpoints import Checkpoint, CheckpointWrite
from ...models.pages import Page
from ..services.context import CacheContext

_TRIES = 5
"""Attempts of a call that others disturb by drops."""


class AsyncCheckpoints(NotPicklable):
    """The checkpoints of one thread, by checkpoint namespace and ID.

    A checkpoint names the version of each channel of a graph. The blob of a version is stored once, and shared by all checkpoints
    that name it. The library reads neither states nor blobs. Names are lines of text without control characters.
    """

    _instead = "send its `thread`, and call `checkpoints(thread)` of a cache there"

    def __init__(self, context: CacheContext, keys: CheckpointKeys, ttl_ms: int) -> None:
        self._context = context
        self._keys = keys
        self._ttl_ms = ttl_ms
        self.thread = keys.id
        """The thread."""

    async def put(
        self,
        id: str,
        *,
        namespace: str = "",
        parent: str | None = None,
        state: bytes,
        metadata: bytes = b"",
        versions: Mapping[str, str] | None = None,
        blobs: Mapping[str, bytes] | None = None,
        label: str | None = None,
    ) -> None:
        """Store a checkpoint, or replace the one with the same namespace and ID. A repeated call changes nothing.

        Args:
            id: the ID. Checkpoints of a namespace are ordered by it.
            namespace: the checkpoint namespace.
            parent: the ID of the checkpoint before it.
            state: the state.
            metadata: the metadata.
            versions: the version of each channel, also of those that did not change.
            blobs: the blobs of the channels that have a new version.
            label: a word by which `drop` and `threads` find the checkpoint, such as the ID of a run.

        Raises:
            InvalidInput: a name or a size is not valid.
            BoundExceeded: the thread has `checkpoints` checkpoints already. Blobs of more than 1 MB were stored: a later put of
                more than 1 MB removes them after an hour, as it does after the death of a process, and so does `delete`.
            ConcurrentModification: others dropped blobs of more than 1 MB again and again.

        Cost: one round trip, and one more for each 1 MB of blobs. One more for the first write of this process to the thread
        within an hour. Atomic: no reader sees a part.
        """
        bounds, chain, versions = self._context.bounds, self._context.chain, {} if versions is None else versions
        place = records.place_of(namespace, id)
        record = records.stored_record(
            chain, self.thread, place, bounds, versions=versions, label=label, parent=parent, metadata=metadata,
            state=state,
        )  # fmt: skip
        stored = records.stored_blobs(chain, self.thread, namespace, bounds, versions, {} if blobs is None else blobs)
        await self._put(place, record, stored)

    async def _put(self, place: str, record: bytes, blobs: Mapping[str, bytes]) -> None:
        *before, last = records.parts_of(
            blobs.items(), max(1, checkpoints.MAX_CALL_BYTES - len(record)), checkpoints.MAX_CALL_VALUES
        )
        names = [name for part in before for name, _ in part]
        bounds = self._context.bounds
        for _ in range(_TRIES):
            for part in before:
                await self._send(
                    partial(checkpoints.store_blobs, self._keys, place.partition("\n")[0], part, self._ttl_ms)
                )
            if await self._send(partial(checkpoints.put, self._keys, place, record, names, last, self._ttl_ms, bounds)):
                return
        raise ConcurrentModification(session_id=self.thread, tries=_TRIES)

    async def write(self, id: str, writes: Sequence[CheckpointWrite], *, namespace: str = "") -> int:
        """Store pending writes of a checkpoint. Each number of a task is stored once. Return how many were new.

        The checkpoint may be stored later.

        Args:
            id: the checkpoint.
            writes: the writes.
            namespace: the checkpoint namespace.

        Raises:
            InvalidInput: a name or a size is not valid.
            BoundExceeded: the checkpoint would have more than `checkpoint_writes` pending writes. Of more than 1 MB the first
                ones were stored.

        Cost: one round trip. One for each 1 MB, each of them atomic.
        """
        bounds, place = self._context.bounds, records.place_of(namespace, id)
        found = records.stored_writes(self._context.chain, self.thread, place, bounds, writes)
        modes = {name: (name, replaces) for name, replaces, _ in found}
        parts = records.parts_of(
            ((name, data) for name, _, data in found), checkpoints.MAX_CALL_BYTES, checkpoints.MAX_CALL_VALUES
        )
        new = 0
        for part in parts if writes else ():
            given = [(*modes[name], data) for name, data in part]
            new += await self._send(partial(checkpoints.write, self._keys, place, given, self._ttl_ms, bounds))
        return new

    async def get(self, id: str | None = None, *, namespace: str = "") -> Checkpoint | None:
        """Return a checkpoint with its blobs and pending writes, or None.

        Args:
            id: the checkpoint. Default: the newest of the namespace.
            namespace: the checkpoint namespace.

        Raises:
            InvalidInput: a name is not valid.
            SessionDamaged: the stored checkpoint cannot be read.
            DecryptionError, CodecMissing: the stored checkpoint cannot be decoded.

        Cost: one round trip, and one more for each 1 MB.
        """
        for _ in range(_TRIES):
            stored = await self._context.executor.run(checkpoints.get(self._keys, namespace, id))
            if stored is None:
                return None
            if await self._complete([stored]):
                return await self._read(stored)
        raise ConcurrentModification(session_id=self.thread, tries=_TRIES)

    async def page(
        self,
        limit: int = 50,
        cursor: str | None = None,
        *,
        namespace: str | None = None,
        id: str | None = None,
        before: str | None = None,
    ) -> Page[Checkpoint]:
        """Return a page of checkpoints with their blobs and pending writes, newest first. A page ends early at 1 MB.

        Args:
            limit: checkpoints of the page, 1 to 1,000.
            cursor: the cursor of the page before, with the same arguments.
            namespace: the checkpoint namespace. Default: all namespaces. The order is by ID, then by namespace.
            id: return only checkpoints with this ID.
            before: return only checkpoints with a lower ID.

        Cost: one round trip, and one more for each 1 MB. The number of other checkpoints does not matter.
        """
        whole(limit, "limit", minimum=1, maximum=checkpoints.MAX_PAGE)
        names = checkpoints.names_of(namespace, id, before)
        page = await self._context.executor.run(checkpoints.page(self._keys, names, cursor, limit))
        items = page.items
        if not await self._complete(items):
            found = [
                await self.get(one.place.partition("\n")[2], namespace=one.place.partition("\n")[0]) for one in items
            ]
            return Page([one for one in found if one is not None], page.last or None)
        return Page([await self._read(one) for one in items], page.last or None)

    async def drop(
        self,
        *,
        ids: Collection[tuple[str, str]] = (),
        keep: int | None = None,
        labels: Collection[str] = (),
        exclude: Collection[tuple[str, str]] = (),
    ) -> int:
        """Remove checkpoints with their pending writes, and the blobs that no other checkpoint names. Return how many.

        Args:
            ids: namespaces and IDs of checkpoints to be removed.
            keep: remove all but the newest `keep` checkpoints of each namespace, 0 or more.
            labels: remove the checkpoints that have one of these labels.
            exclude: namespaces and IDs of checkpoints that stay in any case.

        Raises:
            InvalidInput: an argument is not valid, or several of ids, keep and labels are given.

        Cost: one round trip for about 1,000 checkpoints of the thread that are looked at, and for about 100 that are removed.
        Each checkpoint is removed in one step. A call that broke off can be repeated.
        """
        named, stay = records.places_of(ids, "ids"), set(records.places_of(exclude, "exclude"))
        wanted = {records.line(label, "label") for label in texts(labels, "labels")}
        if (bool(named) + (keep is not None) + bool(wanted)) > 1:
            raise InvalidInput(name="drop", detail="takes one of ids, keep and labels, got several")
        if keep is not None:
            places = await self._older(whole(keep, "keep"))
        elif wanted:
            places = await self._labelled(wanted)
        else:
            places = named
        return await self._drop([place for place in places if place not in stay])

    async def copy(self, thread: str) -> int:
        """Copy all checkpoints with their pending writes to another thread. Return how many checkpoints there were.

        The oldest checkpoint comes first, so a checkpoint of the copy has all checkpoints before it. A call that broke off can be
        repeated. Checkpoints that the other thread has stay, unless one of this thread has the same namespace and ID.

        Args:
            thread: the other thread.

        Cost: two round trips for each checkpoint, and one for each page of them. A blob is sent once.
        """
        target = AsyncCheckpoints(self._context, checkpoint_keys(self._context.namespace, thread), self._ttl_ms)
        sent: set[tuple[str, str, str]] = set()
        copied = 0
        places = await self._places()
        for place in (place for place, is_checkpoint in places.items() if is_checkpoint):
            namespace, _, id = place.partition("\n")
            found = await self.get(id, namespace=namespace)
            if found is None:
                continue
            blobs = {
                channel: data
                for channel, data in found.blobs.items()
                if (namespace, channel, found.versions[channel]) not in sent
            }
            await target.put(
                id, namespace=namespace, parent=found.parent, state=found.state, metadata=found.metadata,
                versions=found.versions, blobs=blobs, label=found.label,
            )  # fmt: skip
            sent.update((namespace, channel, found.versions[channel]) for channel in blobs)
            await target.write(id, found.writes, namespace=namespace)
            copied += 1
        return copied

    async def namespaces(self, limit: int = 50, cursor: str | None = None) -> Page[str]:
        """Return a page of the checkpoint namespaces of the thread, ascending.

        Args:
            limit: namespaces of the page, 1 to 1,000.
            cursor: the cursor of the page before.

        Cost: one round trip for each 1,000 checkpoints. A namespace with more costs one.
        """
        whole(limit, "limit", minimum=1, maximum=checkpoints.MAX_PAGE)
        found: list[str] = []
        after = cursor
        while len(found) <= limit:
            names, is_last = await self._context.executor.run(checkpoints.list_namespaces(self._keys, after))
            found += names
            if is_last:
                break
            after = names[-1]
        return Page(found[:limit], found[limit - 1] if len(found) > limit else None)

    async def delete(self) -> bool:
        """Delete the thread with everything it has. Return whether it existed. Two or three round trips. Atomic."""
        existed = await self._context.executor.run(checkpoints.delete(self._keys))
        await self._context.threads.remove(self._context.executor, [self.thread])
        return existed

    async def _send(self, make: Callable[..., Call[int]]) -> int:
        """Send a write. A thread that is to be created is put into the index first, also if this process did so before."""
        while True:
            hints = self._context.threads.hints(self.thread)
            call = make(creates=bool(hints))
            call.hints = hints
            result = await self._context.executor.run(call)
            if result != checkpoints.UNREGISTERED:
                return result
            self._context.threads.forget(self.thread)

    # -- parts -------------------------------------------------------------------------------------------------------

    async def _complete(self, items: Sequence[Stored]) -> bool:
        """Read the values that did not fit into a reply. Return False if one of them is gone."""
        fields = list(dict.fromkeys(field for one in items for field in one.missing))
        values: dict[str, bytes] = {}
        while fields:
            found = await self._context.executor.run(checkpoints.read_values(self._keys, fields))
            if not found or None in found:
                return False
            values |= {field: value for field, value in zip(fields, found, strict=False) if value is not None}
            fields = fields[len(found) :]
        for one in items:
            one.values.update({field: values[field] for field in one.missing})
        return True

    async def _read(self, stored: Stored) -> Checkpoint:
        read = partial(checkpoints.checkpoint, self._context.chain, self.thread, stored)
        try:
            return await self._context.executor.decode(read, [stored.record, stored.values])
        except (ValueError, LookupError) as problem:
            detail = f"the checkpoint {stored.place!r} cannot be read: {problem}"
            raise SessionDamaged(session_id=self.thread, detail=detail) from None

    async def _places(self) -> dict[str, bool]:
        """Return the places of checkpoints and pending writes, ascending, and whether there is a checkpoint."""
        found: dict[str, bool] = {}
        after: str | None = None
        while True:
            names = await self._context.executor.run(checkpoints.list_names(self._keys, after))
            for name in names:
                kind, *parts = name.split("\n")
                if kind in "cw":
                    place = "\n".join(parts[:2])
                    found[place] = found.get(place, False) or kind == "c"
            if len(names) < checkpoints.MAX_PAGE:
                return found
            after = names[-1]

    async def _older(self, keep: int) -> list[str]:
        """Return the places of all but the newest checkpoints of each namespace, and those of writes before them."""
        places = await self._places()
        if keep == 0:
            return list(places)
        stored: dict[str, list[str]] = {}
        for place in (place for place, is_checkpoint in places.items() if is_checkpoint):
            stored.setdefault(place.partition("\n")[0], []).append(place)
        first_kept = {namespace: found[-keep] for namespace, found in stored.items() if len(found) >= keep}
        return [place for place in places if place < first_kept.get(place.partition("\n")[0], "")]

    async def _labelled(self, labels: set[str]) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        names = checkpoints.names_of(None, None, None)
        while True:
            call = checkpoints.page(self._keys, names, cursor, checkpoints.MAX_PAGE, with_blobs=False)
            page = await self._context.executor.run(call)
            found += [one.place for one in page.items if records.Record.parse(one.record).label in labels]
            if not page.last:
                return found
            cursor = page.last

    async def _drop(self, places: Sequence[str]) -> int:
        removed = 0
        left = list(places)
        while left:
            done, gone = await self._context.executor.run(checkpoints.drop(self._keys, left[:100]))
            removed += gone
            left = left[done:]
        return removed
