"""Calls that edit a transcript: replace, abandon, compact, pin, import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..._arguments import check_no_contradiction, texts
from ..._durations import whole
from ...bounds import DEFAULT_BOUNDS, StorageBounds
from ...errors import InvalidInput
from ...models.formats import format_named, format_of
from ...models.limits import LimitCheck
from ...models.messages import Message
from ...models.results import AppendResult
from ...settings import TokenCounter
from ..protocol.call import Argument, Call
from ..protocol.codec import call_hash, counted
from ..protocol.encoding import encoded_fields
from ..protocol.json_values import to_payload
from ..protocol.keys import SessionKeys
from ..protocol.scripts import script
from .guarded_write import check_incarnation, guarded_write, new_rev
from .messages import MessageLike, encode_batch, read_result
from .recorded_results import APPEND, words_of
from .session_fields import checked_text, state_field, state_fields
from .storage_bounds import bounds_argument, check_fields, check_number
from .window_blocks import vendor_message_id


class Edited(NamedTuple):
    """The outcome of an edit."""

    result: AppendResult
    incarnation: str
    waiting: str = ""
    """The revisions of earlier writes of shared scopes that were not applied yet."""


def edit(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    messages: Iterable[MessageLike],
    counter: TokenCounter,
    kind: str = APPEND,
    *,
    after_seq: int | None = None,
    last_seq: int | None = None,
    state: Mapping[str, Any] | None = None,
    remove_state: Sequence[str] = (),
    checks: Mapping[str, Argument] | None = None,
    usage: Any = None,
    fields: Mapping[str, Argument] | None = None,
    abandoned: str = "",
    seen: int = 0,
    writes: bytes = b"",
    batch_id: str | None = None,
    expected_rev: int | None = None,
    bounds: StorageBounds = DEFAULT_BOUNDS,
) -> Call[Edited]:
    """Abandon calls, remove the messages above a seq, append others, and change the state. Raises InvalidInput.

    Args:
        kind: what the caller does, as OperationConflict names it.
        after_seq: messages above it are removed. None removes none.
        last_seq: the highest seq that the session must have.
        state: values to set by name.
        remove_state: names to remove.
        checks: fields of the session, such as those of the state, and the value that each must have, '' for none.
        fields: other fields of the session to set.
        abandoned: '<hash> …' of the calls to abandon, '*' for all open calls, or ''.
        writes: of shared scopes, which the session keeps until they are applied.
    """
    checks = checks or {}
    removed = [state_field("state.", name) for name in dict.fromkeys(texts(remove_state, "remove_state"))]
    check_number(bounds, "values", len(removed), "remove_state")
    sets = state_fields(state) | dict(fields or {})
    check_no_contradiction(state or {}, remove_state)
    check_fields(bounds, sets)
    batch, encoded = encode_batch(messages, batch_id, counter, keys, bounds, minimum=0, usage=usage)
    sets = encoded_fields(keys, sets)

    def read(reply: list[Any]) -> Edited:
        result = read_result(reply[1], batch, kind=kind, duplicate=reply[2:] == [1])
        return Edited(result, reply[0].decode(), reply[3].decode() if len(reply) > 3 else "")

    pairs = [part for named in (checks, sets) for pair in named.items() for part in pair]
    call = guarded_write(
        script("messages/edit"), keys, incarnation, lease, expected_rev, read, batch=batch, operation=batch,
        after_seq=-1 if after_seq is None else whole(after_seq, "after_seq"),
        last_seq="" if last_seq is None else last_seq, seen=seen,
        check_count=len(checks), set_count=len(sets), remove_count=len(removed),
        abandoned=abandoned, format=next((one.format for one in encoded if one.format), ""),
        bounds=bounds_argument(bounds), scope_writes=writes, max_outbox=bounds.outbox_writes,
        elapsed_ms="", plan="", kind="" if kind == APPEND else f"{kind} ",
        rest=[*pairs, *removed, *[one.entry for one in encoded]],
    )  # fmt: skip
    call.stores = bool(encoded or sets or kind == APPEND)
    return call


def replace_message(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    seq: int,
    message: MessageLike,
    counter: TokenCounter,
    *,
    batch_id: str | None = None,
    expected_rev: int | None = None,
) -> Call[AppendResult]:
    """Replace one message in its place. The result is its place, which is the old one."""
    seq = whole(seq, "seq", minimum=1)
    batch, (encoded,) = encode_batch([message], batch_id, counter, keys, replaced_seq=seq)

    def read(reply: list[bytes]) -> AppendResult:
        rev, retained, dropped = map(int, words_of(reply[1], "replace_message", batch))
        return AppendResult(seq, seq, rev, retained, dropped, LimitCheck("ok"), len(reply) > 2, batch)

    call = guarded_write(
        script("messages/replace_message"), keys, incarnation, lease, expected_rev, read, batch=batch, operation=batch,
        seq=seq, entry=encoded.entry,
    )  # fmt: skip
    call.stores = False
    return call


def abandon_calls(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    call_ids: Sequence[str] | None,
    counter: TokenCounter,
    *,
    batch_id: str | None = None,
    expected_rev: int | None,
) -> Call[Edited]:
    """Give up open calls, all of them for None. The result says how many there were."""
    hashes = "*" if call_ids is None else " ".join(map(call_hash, texts(call_ids, "call_ids")))
    return edit(
        keys,
        incarnation,
        lease,
        (),
        counter,
        "abandon_calls",
        abandoned=hashes,
        batch_id=batch_id,
        expected_rev=expected_rev,
    )


def pin(
    keys: SessionKeys, incarnation: str, lease: str, seq: int, *, pinned: bool, expected_rev: int | None = None
) -> Call[int]:
    """Pin or unpin a message. The result is the new revision."""
    return guarded_write(
        script("messages/pin"), keys, incarnation, lease, expected_rev, new_rev,
        seq=whole(seq, "seq", minimum=1), pinned=int(pinned),
    )  # fmt: skip


class CompactedPart(NamedTuple):
    """The outcome of one call of a compaction."""

    first: int
    """The seq that the range began with."""
    is_last: bool
    """False if more of the range is to be replaced."""


def summary_entry(
    keys: SessionKeys,
    summary: Any,
    first: int,
    last: int,
    counter: TokenCounter,
    format: str | None,
    batch_id: str | None,
) -> tuple[str, bytes]:
    """Return the batch ID of a compaction, and its summary as scripts take it. Raises InvalidInput."""
    if not isinstance(summary, str) or not summary:
        raise InvalidInput(name="summary", detail=f"must be text of at least one character, got {summary!r}")
    facts = {"to_seq": last, **({"from_seq": first} if first else {})}
    payload = format_named(format or "plain").user_message(summary) | {"metadata": {"compaction": facts}}
    batch, (encoded,) = encode_batch([Message("user", payload=payload)], batch_id, counter, keys)
    return batch, encoded.entry


def compact(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    first: int,
    last: int,
    batch: str,
    entry: bytes,
    *,
    began: int = 0,
    part: int = 0,
    expected_rev: int | None = None,
) -> Call[CompactedPart]:
    """Replace a range, or the oldest part of it that is left, by a summary.

    Args:
        first: the seq that the range must begin with, or 0.
        entry: the summary.
        began: the seq that the first part began with, or 0 for the first part.
        part: the number of the part, from 0.
    """

    def read(reply: list[bytes]) -> CompactedPart:
        words = words_of(reply[1], "compact", batch)
        return CompactedPart(int(words[1]), len(words) == 2)

    return guarded_write(
        script("messages/compact"), keys, incarnation, lease, expected_rev, read, batch=batch, operation=batch,
        first=first, last=last, entry=entry, size=len(entry.split(b" ", 2)[2]), began=began, part=f"~{batch}.{part}",
    )  # fmt: skip


def compactable(found: list[Message], up_to_seq: int | None, keep: int | None) -> list[Message]:
    """Return the messages that a summary replaces: up to a seq, or all but the newest `keep`, so that no group is cut."""
    if up_to_seq is not None:
        return [one for one in found if one.seq <= up_to_seq and not one.pinned]
    end = len(found) - (keep or 0)
    if found and end == len(found) and _is_newest_open(found):
        end -= 1
    while 0 < end < len(found) and (found[end].continues_group or _is_of_one_message(found[end - 1], found[end])):
        end -= 1
    while end > 0 and found[end - 1].pinned:
        end -= 1
    return [one for one in found[: max(end, 0)] if not one.pinned]


def _is_of_one_message(message: Message, next_one: Message) -> bool:
    """Return whether two messages are parts of one message of the vendor."""
    id = vendor_message_id(next_one)
    return id != "" and id == vendor_message_id(message)


def _is_newest_open(found: list[Message]) -> bool:
    """Return whether the newest group waits for a result, or for the item that a reasoning item binds."""
    start = next((at for at in reversed(range(len(found))) if not found[at].continues_group), 0)
    facts = [one.facts for one in found[start:] if one.kind not in "us"]
    return sum(one.count("+") - one.count("-") for one in facts) > 0 or (facts[-1:] != [] and facts[-1].endswith("~"))


def import_messages(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    messages: Iterable[MessageLike],
    counter: TokenCounter,
    bounds: StorageBounds,
    *,
    batch_id: str | None = None,
) -> Call[Edited]:
    """Fill an empty session. The system prompt with which the messages begin becomes its own. Raises InvalidInput.

    A session that has a system prompt refuses another one.
    """
    if not isinstance(messages, Iterable) or isinstance(messages, str | Mapping):
        raise InvalidInput(name="batch", detail=f"must be a list of messages, got {messages!r:.200}")
    prompts: list[str] = []
    listed = [one if isinstance(one, Message) else Message(payload=one) for one in messages]
    while len(prompts) < len(listed) and listed[len(prompts)].kind == "s":
        prompt = listed[len(prompts)]
        prompts.append(checked_text(prompt.with_payload(to_payload(prompt.payload)).text, "message"))
    listed = listed[len(prompts) :]
    first = to_payload(listed[0].payload) if listed else {}
    split = format_of(first).split_system_prompt(first)
    if split is not None:
        prompts.append(checked_text(split[0], "message"))
        listed[0] = listed[0].with_payload(split[1])
    text = "\n\n".join(prompts)
    fields: dict[str, Argument] = {
        "system": text,
        "system_tokens": counted(counter, {"role": "system", "content": text}),
    }
    if not prompts:
        fields = {}
    return edit(
        keys,
        incarnation,
        lease,
        listed,
        counter,
        "import_messages",
        last_seq=0,
        checks={"system": ""} if prompts else None,
        fields=fields,
        batch_id=batch_id,
        bounds=bounds,
    )


def message_format(keys: SessionKeys, incarnation: str) -> Call[str]:
    """Read the name of the session's message format, '' if none is known."""

    def read(reply: list[bytes | None]) -> str:
        check_incarnation(keys, reply[0], incarnation)
        return (reply[1] or b"").decode()

    return Call(("HMGET", keys.session, "incarnation", "format"), keys, read, writes=False)
