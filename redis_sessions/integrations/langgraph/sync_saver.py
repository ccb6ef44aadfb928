# Generated from integrations/langgraph/async_saver.py by tools/mirror.py; edit that file.
"""The methods of the saver for threads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.base import Checkpoint as GraphCheckpoint

from redis_sessions import Checkpoint, Checkpoints

from ..._core.commands.checkpoint_records import place_of
from .._shared import Caches
from . import records
from .records import MAX_THREADS, PAGE, Chain, DeltaHistory, Place


class SyncMethods(BaseCheckpointSaver[str]):
    """The methods that block their thread."""

    _caches: Caches
    _ttl: Any

    def _sync_thread(self, thread: str) -> Checkpoints:
        return self._caches.plain.checkpoints(thread, ttl=self._ttl)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint with its pending writes, or None. One round trip."""
        place = Place.of(config)
        found = self._sync_thread(place.thread).get(place.id, namespace=place.namespace or "")
        return None if found is None else records.tuple_of(self.serde, place.thread_id, found)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield the checkpoints that match, newest first. Without a config those of all threads, thread by thread.

        Cost: one round trip for each 50 checkpoints, or 1 MB. The filter is applied here.
        """
        left = limit
        for thread in self._sync_threads(config):
            asked = records.page_arguments(config, before)
            cursor = None
            while left is None or left > 0:
                size = PAGE if left is None or filter else min(left, PAGE)
                page = self._sync_thread(thread).page(size, cursor, **asked)
                for found in records.matching(self.serde, page.items, filter, left):
                    left = None if left is None else left - 1
                    yield records.tuple_of(self.serde, records.listed_id(config, thread), found)
                cursor = page.cursor
                if cursor is None:
                    break
            if left is not None and left <= 0:
                return

    def put(
        self,
        config: RunnableConfig,
        checkpoint: GraphCheckpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint with the new values of its channels. One round trip, atomic."""
        arguments = records.put_arguments(self.serde, config, checkpoint, metadata, new_versions)
        self._sync_thread(Place.of(config).thread).put(**arguments)
        return records.config_after(config, checkpoint)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store pending writes of a task, each once. One round trip, atomic."""
        place = Place.of(config)
        found = records.writes_of(self.serde, writes, task_id, task_path)
        self._sync_thread(place.thread).write(place.id or "", found, namespace=place.namespace or "")

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread with everything it has."""
        self._sync_thread(records.thread_key(thread_id)).delete()

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that some runs stored, with their pending writes. All threads of the namespace are looked at.

        Values of a DeltaChannel that needed them are lost.
        """
        labels = records.labels_of(run_ids)
        cursor = None
        while labels:
            page = self._caches.plain.threads(MAX_THREADS, cursor, labels=labels)
            for thread in page.items:
                self._sync_thread(thread).drop(labels=labels)
            cursor = page.cursor
            if cursor is None:
                return

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints of a thread with their pending writes to another thread. A call that broke off can be repeated."""
        self._sync_thread(records.thread_key(source_thread_id)).copy(records.thread_key(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete threads, or all but the newest checkpoint of each namespace.

        Older checkpoints that the newest one needs for a DeltaChannel stay.

        Args:
            thread_ids: the threads.
            strategy: "keep_latest" or "delete".
        """
        for thread in records.pruned_threads(thread_ids, strategy):
            checkpoints = self._sync_thread(thread)
            if strategy == "delete":
                checkpoints.delete()
                continue
            older = checkpoints._older(1)  # before the rest, so that what a graph stores from now on stays
            needed: set[str] = set()
            cursor = None
            while True:
                page = checkpoints.namespaces(PAGE, cursor)
                for one in page.items:
                    needed |= self._sync_needed(checkpoints, one)
                cursor = page.cursor
                if cursor is None:
                    break
            checkpoints._drop([place for place in older if place not in needed])

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what the ancestors of a checkpoint wrote to some channels. One round trip for each 50 ancestors."""
        place, history = Place.of(config), DeltaHistory(self.serde, channels)
        checkpoints = self._sync_thread(place.thread)
        target = checkpoints.get(place.id, namespace=place.namespace or "") if channels else None
        if target is not None:
            for found in self._sync_ancestors(checkpoints, target):
                history.take(found)
                if history.is_complete:
                    break
        return history.result()

    def _sync_threads(self, config: RunnableConfig | None) -> Iterator[str]:
        if config is not None:
            yield Place.of(config).thread
            return
        cursor = None
        while True:
            page = self._caches.plain.threads(MAX_THREADS, cursor)
            for thread in page.items:
                if records.is_thread(thread):
                    yield thread
            cursor = page.cursor
            if cursor is None:
                return

    def _sync_needed(self, checkpoints: Checkpoints, namespace: str) -> set[str]:
        """Return the older checkpoints that the newest one of a namespace needs for its DeltaChannels."""
        newest = checkpoints.get(namespace=namespace)
        missing = set() if newest is None else records.delta_channels(self.serde, newest)
        needed = set[str]()
        if newest is not None and missing:
            for found in self._sync_ancestors(checkpoints, newest):
                needed.add(place_of(namespace, found.id))
                missing -= set(found.blobs)
                if not missing:
                    break
        return needed

    def _sync_ancestors(self, checkpoints: Checkpoints, first: Checkpoint) -> Iterator[Checkpoint]:
        """Yield the ancestors of a checkpoint, the parent first."""
        chain = Chain(first)
        while chain.wanted is not None:
            page = checkpoints.page(PAGE, namespace=first.namespace, before=chain.child.id)
            chain.learn(page.items)
            if not chain.knows_next:
                found = checkpoints.get(chain.wanted, namespace=first.namespace)
                chain.learn([] if found is None else [found])
            if not chain.knows_next:
                return
            for ancestor in chain.known():
                yield ancestor
