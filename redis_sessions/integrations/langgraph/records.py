"""LangGraph's checkpoints as the checkpoints of a thread, and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    SerializerProtocol,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.base import Checkpoint as GraphCheckpoint

from redis_sessions import Checkpoint, CheckpointWrite, InvalidInput, compose_id, split_id

PAGE = 50
"""Checkpoints that are read at once."""
MAX_THREADS = 1000
"""Threads that are looked at at once."""
_LONG = "long"
_LONG_ID = "redis_sessions_thread_id"
"""The first part of the thread of a long thread ID, and the field of a stored state that has this ID."""
DELTA_COUNTERS = "counters_since_delta_snapshot"
"""The metadata that names the channels whose value needs older checkpoints."""
_ESCAPED = re.compile(r"[%\x00-\x1f]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


class Place(NamedTuple):
    """The place that a config names: a thread, a namespace and perhaps a checkpoint."""

    thread: str
    thread_id: str
    namespace: str | None
    id: str | None

    @classmethod
    def of(cls, config: RunnableConfig) -> Place:
        """Return the place that a config names. Raises KeyError without a thread, as LangGraph's own savers do."""
        configurable = config["configurable"]
        namespace = configurable.get("checkpoint_ns")
        id = get_checkpoint_id(config)
        return cls(
            thread_key(configurable["thread_id"]),
            configurable["thread_id"],
            None if namespace is None else escape(namespace),
            escape(id) if id else None,
        )


def thread_key(thread_id: Any) -> str:
    """Return the thread of a thread ID of any characters and any length. Raises InvalidInput for an empty one."""
    text = "" if thread_id is None else str(thread_id)
    if not text:
        raise InvalidInput(name="thread_id", detail=f"must not be empty, got {thread_id!r}")
    try:
        return compose_id(text)
    except InvalidInput:  # it is too long for an ID
        return compose_id(_LONG, sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def is_thread(thread: str) -> bool:
    """Return whether a thread is LangGraph's."""
    return len(_parts_of(thread)) == 1 or _is_long(thread)


def listed_id(config: RunnableConfig | None, thread: str) -> Any:
    """Return the thread ID of a thread that is listed. None for a long one, whose checkpoints say it."""
    if config is not None:
        return config["configurable"]["thread_id"]
    return None if _is_long(thread) else _parts_of(thread)[0]


def _is_long(thread: str) -> bool:
    return _parts_of(thread)[:-1] == (_LONG,)


def _parts_of(thread: str) -> tuple[str, ...]:
    try:
        return split_id(thread)
    except InvalidInput:
        return ()


def escape(name: str) -> str:
    """Return a name without control characters."""
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _unescape(name: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name) if "%" in name else name


def config_of(thread_id: str, namespace: str, id: str) -> RunnableConfig:
    """Return the config of a checkpoint."""
    names = {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": id}
    return {"configurable": names}


def config_after(config: RunnableConfig, checkpoint: GraphCheckpoint) -> RunnableConfig:
    """Return the config of a checkpoint that was stored for a config."""
    configurable = config["configurable"]
    return config_of(configurable["thread_id"], configurable.get("checkpoint_ns", ""), checkpoint["id"])


def page_arguments(config: RunnableConfig | None, before: RunnableConfig | None) -> dict[str, str | None]:
    """Return which checkpoints of a thread `list` asks for."""
    place = None if config is None else Place.of(config)
    older_than = None if before is None else get_checkpoint_id(before)
    return {
        "namespace": None if place is None else place.namespace,
        "id": None if place is None else place.id,
        "before": escape(older_than) if older_than else None,
    }


def labels_of(run_ids: Sequence[str]) -> list[str]:
    """Return the labels of the checkpoints of some runs."""
    return [escape(str(run_id)) for run_id in run_ids if run_id]


def pruned_threads(thread_ids: Sequence[str], strategy: str) -> list[str]:
    """Return the threads that `prune` names. Raises TypeError and ValueError, as LangGraph's own savers do."""
    if isinstance(thread_ids, str):
        raise TypeError("thread_ids must be a sequence of thread IDs, got a str")
    if strategy not in ("keep_latest", "delete"):
        raise ValueError(f"strategy must be 'keep_latest' or 'delete', got {strategy!r}")
    return [thread_key(thread_id) for thread_id in thread_ids]


def dump(serde: SerializerProtocol, value: Any) -> bytes:
    """Return a value as bytes: the type that the serializer names, a newline, its bytes."""
    kind, data = serde.dumps_typed(value)
    return b"\n".join((kind.encode(), data))


def load(serde: SerializerProtocol, data: bytes) -> Any:
    """Return the value that `dump` made bytes of."""
    kind, _, rest = data.partition(b"\n")
    return serde.loads_typed((kind.decode(), rest))


def put_arguments(
    serde: SerializerProtocol,
    config: RunnableConfig,
    checkpoint: GraphCheckpoint,
    metadata: CheckpointMetadata,
    new_versions: ChannelVersions,
) -> dict[str, Any]:
    """Return the arguments of `Checkpoints.put`."""
    state: dict[str, Any] = {**checkpoint}
    values = state.pop("channel_values")
    thread_id = config["configurable"]["thread_id"]
    if _is_long(thread_key(thread_id)):
        state[_LONG_ID] = str(thread_id)
    versions = checkpoint["channel_versions"]
    found = dict(get_checkpoint_metadata(config, metadata))
    run_id = found.get("run_id")
    return {
        "id": escape(checkpoint["id"]),
        "namespace": escape(config["configurable"].get("checkpoint_ns", "")),
        "parent": escape(get_checkpoint_id(config) or "") or None,
        "state": dump(serde, state),
        "metadata": dump(serde, found),
        "versions": {escape(channel): escape(str(version)) for channel, version in versions.items()},
        "blobs": {
            escape(channel): dump(serde, values[channel])
            for channel, version in new_versions.items()
            if channel in values and versions.get(channel) == version
        },
        "label": escape(run_id) if isinstance(run_id, str) and run_id else None,
    }


def writes_of(
    serde: SerializerProtocol, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
) -> list[CheckpointWrite]:
    """Return pending writes. Those of special channels, such as errors, replace present ones."""
    found = []
    for at, (channel, value) in enumerate(writes):
        number = WRITES_IDX_MAP.get(channel, at)
        data = dump(serde, value)
        found.append(CheckpointWrite(escape(task_id), number, escape(channel), data, escape(task_path), number < 0))
    return found


def metadata_of(serde: SerializerProtocol, found: Checkpoint) -> CheckpointMetadata:
    """Return the metadata of a checkpoint."""
    metadata: CheckpointMetadata = load(serde, found.metadata)
    return metadata


def pending_writes(serde: SerializerProtocol, found: Checkpoint) -> list[PendingWrite]:
    """Return the pending writes of a checkpoint, in the order of its tasks."""
    return [(_unescape(one.task), _unescape(one.channel), load(serde, one.data)) for one in found.writes]


def tuple_of(serde: SerializerProtocol, thread_id: Any, found: Checkpoint) -> CheckpointTuple:
    """Return a checkpoint as LangGraph has it. Without a thread ID the checkpoint says it."""
    namespace, state = _unescape(found.namespace), load(serde, found.state)
    long_id = state.pop(_LONG_ID, None)
    if thread_id is None:
        thread_id = long_id
    values = {_unescape(channel): load(serde, data) for channel, data in found.blobs.items()}
    return CheckpointTuple(
        config=config_of(thread_id, namespace, _unescape(found.id)),
        checkpoint={**state, "channel_values": values},
        metadata=metadata_of(serde, found),
        parent_config=None if found.parent is None else config_of(thread_id, namespace, _unescape(found.parent)),
        pending_writes=pending_writes(serde, found),
    )


def _matches(metadata: Mapping[str, Any], filter: Mapping[str, Any] | None) -> bool:
    """Return whether metadata has all values of a filter."""
    return not filter or all(metadata.get(key) == value for key, value in filter.items())


def matching(
    serde: SerializerProtocol, items: Sequence[Checkpoint], filter: Mapping[str, Any] | None, limit: int | None
) -> list[Checkpoint]:
    """Return the checkpoints that match a filter, at most `limit`."""
    return [one for one in items if _matches(metadata_of(serde, one), filter)][:limit]


def delta_channels(serde: SerializerProtocol, found: Checkpoint) -> set[str]:
    """Return the channels of a checkpoint whose value needs older checkpoints, escaped."""
    counters = metadata_of(serde, found).get(DELTA_COUNTERS) or {}
    return {escape(channel) for channel in counters} - set(found.blobs)


class DeltaHistory:
    """The history of some channels among the ancestors of a checkpoint. Take them one by one, the parent first."""

    def __init__(self, serde: SerializerProtocol, channels: Sequence[str]) -> None:
        self._serde = serde
        self._writes: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
        self._seeds: dict[str, Any] = {}

    @property
    def is_complete(self) -> bool:
        """True if each channel has a stored value, so that no older checkpoint matters."""
        return len(self._seeds) == len(self._writes)

    def take(self, found: Checkpoint) -> None:
        """Add the writes and the stored values of an ancestor."""
        wanted = [channel for channel in self._writes if channel not in self._seeds]
        for task, channel, value in reversed(pending_writes(self._serde, found)):
            if channel in wanted:
                self._writes[channel].append((task, channel, value))
        for channel in wanted:
            data = found.blobs.get(escape(channel))
            if data is not None:
                self._seeds[channel] = load(self._serde, data)

    def result(self) -> dict[str, DeltaChannelHistory]:
        """Return the history of each channel, the oldest write first."""
        found: dict[str, DeltaChannelHistory] = {}
        for channel, writes in self._writes.items():
            found[channel] = {"writes": writes[::-1]}
            if channel in self._seeds:
                found[channel]["seed"] = self._seeds[channel]
        return found


class Chain:
    """The ancestors of a checkpoint, which are read in pages of older checkpoints."""

    def __init__(self, first: Checkpoint) -> None:
        self.child = first
        self._known: dict[str, Checkpoint] = {}

    @property
    def knows_next(self) -> bool:
        """True if the next ancestor was read."""
        return self.child.parent in self._known

    @property
    def wanted(self) -> str | None:
        """The ID of the next ancestor, None behind the last one."""
        return self.child.parent

    def learn(self, items: Sequence[Checkpoint]) -> None:
        """Take checkpoints that were read."""
        self._known = {one.id: one for one in items}

    def known(self) -> Iterator[Checkpoint]:
        """Yield the next ancestors, as far as they were read."""
        while self.child.parent in self._known:
            self.child = self._known[self.child.parent]
            yield self.child
