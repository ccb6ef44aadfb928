"""Calls that append and read messages, and that wait for the next one. `edits.py` has those that change a transcript."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from ...bounds import DEFAULT_BOUNDS, StorageBounds
from ...errors import InvalidInput
from ...models.formats import MessageFormat, format_named
from ...models.limits import LimitCheck
from ...models.messages import KIND_OF_ROLE, KIND_OF_TYPE, KINDS, Message
from ...models.results import AppendResult
from ...settings import TokenCounter
from ..protocol.call import Call, invoke
from ..protocol.codec import Encoded, decode, decode_newest, encode
from ..protocol.encoding import decoded_field, drop_unsent
from ..protocol.ids import operation_id_of
from ..protocol.keys import SessionKeys
from ..protocol.records import parse_gaps, seqs_from
from ..protocol.scripts import script
from .guarded_write import expected_argument
from .model_usage import with_usage
from .recorded_results import APPEND, words_of
from .storage_bounds import check_transcript_batch

T = TypeVar("T")
MessageLike: TypeAlias = Message | dict[str, Any] | Any
"""A message, its payload, or an SDK's object that stands for it."""
PAGE = 1000
"""Messages of one page of the history."""
MAX_SCANNED_MESSAGES = 3000
"""Messages that one filtered read looks at. The rest is read with the next call."""
PAGE_BYTES = 1024 * 1024
"""Bytes at which a page of messages is full."""
_WITHOUT_TOOLS = "".join(kind for kind in KINDS if kind not in "tcr")
_OK = LimitCheck("ok")


def encode_batch(
    messages: Iterable[MessageLike], batch_id: str | None, counter: TokenCounter, keys: SessionKeys,
    bounds: StorageBounds = DEFAULT_BOUNDS, *, minimum: int = 1, usage: Any = None, replaced_seq: int | None = None,
) -> tuple[str, list[Encoded]]:  # fmt: skip
    """Return the batch ID, a new one if none is given, and the messages as scripts take them. Raises InvalidInput.

    Args:
        usage: the usage of the model call whose answer is in the batch. Its output tokens are those of the answer.
        replaced_seq: the message that the only message of the batch replaces.
    """
    batch = operation_id_of(batch_id)
    messages = messages if usage is None else with_usage(messages, usage, counter)
    encoded: list[Encoded] = []
    try:
        for at, message in enumerate(messages):
            encoded.append(encode(message, batch, counter, keys, at if replaced_seq is None else f"={replaced_seq}"))
        if len(encoded) < minimum:
            detail = f"a batch must have {minimum} to {bounds.batch_messages} messages, got {len(encoded)}"
            raise InvalidInput(name="messages", detail=detail)
        if len(encoded) > 1:
            check_transcript_batch(bounds, [one.entry for one in encoded])
    except BaseException:
        drop_unsent(keys, (one.entry for one in encoded))
        raise
    return batch, encoded


def append(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    messages: Iterable[MessageLike],
    counter: TokenCounter,
    *,
    batch_id: str | None = None,
    expected_rev: int | None = None,
    seen: int = 0,
    knows_format: bool = False,
    usage: Any = None,
    bounds: StorageBounds = DEFAULT_BOUNDS,
) -> Call[tuple[AppendResult, str]]:
    """Append one batch. The result is its place, and the incarnation that took it. Raises InvalidInput.

    Args:
        knows_format: the session's message format is stored already.
    """
    batch, encoded = encode_batch(messages, batch_id, counter, keys, bounds, usage=usage)
    entries, format = [], ""
    for entry, its_format in encoded:
        entries.append(entry)
        format = format or its_format

    def read(reply: Any) -> tuple[AppendResult, str]:
        if isinstance(reply, list):
            found, seq, rev, retained = reply
            return AppendResult(seq, seq, rev, retained, seq - retained, _OK, False, batch), found.decode()
        found, duplicate, result = reply.split(b" ", 2)
        return read_result(result, batch, duplicate=duplicate == b"1"), found.decode()

    return invoke(
        script("messages/append"),
        keys,
        read,
        incarnation=incarnation,
        operation_id=batch,
        lease=lease,
        expected_rev="" if expected_rev is None else expected_argument(expected_rev),
        seen=seen,
        elapsed_ms="",
        format="" if knows_format else format,
        rest=entries,
        operation=batch,
    )


def read_result(text: bytes, batch: str, *, kind: str = APPEND, duplicate: bool = False) -> AppendResult:
    """Return the result of an append or an edit. Raises OperationConflict for that of another kind of operation.

    The text is '[<kind of edit> ]<first> <last> <rev> <count> <dropped> [over <n>] [abandoned <n>] <limit state>'.
    """
    first, last, rev, retained, dropped, *state = words_of(text, kind, batch)
    over_cap = abandoned = 0
    if state[0] == b"over":
        over_cap, state = int(state[1]), state[2:]
    if state[0] == b"abandoned":
        abandoned, state = int(state[1]), state[2:]
    limit = _OK if state == [b"ok"] else LimitCheck.parse(b" ".join(state).decode())
    return AppendResult(
        int(first), int(last), int(rev), int(retained), int(dropped), limit, duplicate, batch, over_cap, abandoned
    )


class Page(NamedTuple):
    """Messages in order, and where to go on."""

    messages: list[Message]
    below: int
    """The seq to go on below. 0 when there is nothing older."""
    last_seq: int
    """The highest seq of the session."""
    retained: int = 0
    """All messages that the session retains."""
    head: int = 0
    """The seq from which on the messages are in the list. The cap kept others of before, such as pinned ones."""


class WindowPage(NamedTuple):
    """The newest messages, and what else a window needs."""

    newest_first: list[Message]
    below: int
    """The seq to go on below. 0 when there is nothing older."""
    last_seq: int
    system_prompt: str | None
    prompt_tokens: int
    format: MessageFormat | None
    max_tokens: int
    user_message: Message | None
    """The newest user message, if it is older than the messages."""


def read(
    keys: SessionKeys,
    incarnation: str,
    *,
    limit: int,
    after: int = 0,
    below: int = 0,
    extend: bool = False,
    skip_damaged: bool = False,
) -> Call[Page]:
    """Read the newest messages of a range, oldest first. A damaged message raises InvalidState, or is skipped."""
    return read_range(
        keys, lambda reply: read_page(keys, reply, skip_damaged), incarnation, limit=limit, after=after, below=below,
        extend=extend,
    )  # fmt: skip


def read_range(
    keys: SessionKeys,
    read: Callable[[Any], T],
    incarnation: str,
    *,
    limit: int,
    after: int,
    below: int,
    extend: bool,
    more: Literal["", "change", "fields"] = "",
) -> Call[T]:
    """Read the newest messages of a range, and more of the session as of the same moment. `read` takes the reply."""
    return invoke(
        script("messages/read"), keys, read, incarnation=incarnation, after=after, below=below, limit=limit,
        extend=int(extend), max_bytes=PAGE_BYTES, more=more, writes=False,
    )  # fmt: skip


def read_page(keys: SessionKeys, reply: Any, skip_damaged: bool) -> Page:
    """Return the page that a reply stands for. Raises InvalidState for a damaged message, unless these are skipped."""
    found, last, dropped, low, listed, kept_seqs, kept, gaps, kept_count, is_full = reply
    seqs: Sequence[int] = range(low, low + len(listed))
    removed = parse_gaps(gaps.decode())
    if removed:
        seqs = seqs_from(low, len(listed), removed)
    if kept_seqs:
        seqs, listed = [*map(int, kept_seqs), *seqs], kept + listed
    messages, left = decode_newest(keys, seqs, listed, found.decode(), skip_damaged)
    is_full = is_full or left > 0
    head = dropped - sum(last_gap - first_gap + 1 for first_gap, last_gap in removed) + 1
    return Page(messages, seqs[left] if is_full and seqs else 0, last, last - dropped + kept_count, head)


def read_filtered(
    keys: SessionKeys,
    incarnation: str,
    *,
    kinds: str,
    limit: int,
    after: int = 0,
    below: int = 0,
    skip_damaged: bool = False,
) -> Call[Page]:
    """Read the newest messages of some kinds, oldest first. A damaged message raises InvalidState, or is skipped."""

    def page(reply: Any) -> Page:
        found, last, next_below, seqs, elements = reply
        if len(seqs) == limit:
            next_below = seqs[-1]
        seqs, elements = seqs[::-1], elements[::-1]
        messages, left = decode_newest(keys, seqs, elements, found.decode(), skip_damaged)
        return Page(messages, seqs[left] if left else next_below, last)

    return invoke(
        script("messages/read_filtered"), keys, page, incarnation=incarnation, after=after, below=below, limit=limit,
        kinds=kinds, max_scanned=MAX_SCANNED_MESSAGES, max_bytes=PAGE_BYTES, writes=False,
    )  # fmt: skip


def read_window(
    keys: SessionKeys, incarnation: str, *, budget: int | None, below: int = 0, format: str | None = None
) -> Call[WindowPage]:
    """Read the newest messages until a budget of tokens is spent. None for the session's `max_tokens`."""
    chosen = None if format is None else format_named(format)

    def page(reply: Any) -> WindowPage:
        found, last, system, prompt_tokens, stored, max_tokens, next_below, seqs, elements, user_seq, user = reply
        incarnation = found.decode()
        seqs, elements = seqs[::-1], elements[::-1]
        messages, left = decode_newest(keys, seqs, elements, incarnation, False)
        return WindowPage(
            messages[::-1],
            seqs[left] if left else next_below,
            last,
            decoded_field(keys, "system", system).decode() or None,
            int(prompt_tokens),
            chosen or (_stored_format(stored.decode()) if stored else None),
            int(max_tokens),
            decode(user, user_seq, incarnation, keys) if user else None,
        )

    return invoke(
        script("messages/read_window"), keys, page, incarnation=incarnation, below=below,
        budget="" if budget is None else budget, max_bytes=PAGE_BYTES, max_scanned=MAX_SCANNED_MESSAGES, writes=False,
    )  # fmt: skip


def _stored_format(name: str) -> MessageFormat | None:
    try:
        return format_named(name)
    except InvalidInput:  # a format of another process, which this one did not register
        return None


class SessionPosition(NamedTuple):
    """The incarnation of a session and its highest seq."""

    incarnation: str
    last_seq: int


def subscribe(
    keys: SessionKeys,
    incarnation: str,
    nonce: str,
    wait_ms: int,
    channel: str,
    counts_receivers: bool,
    purpose: Literal["message", "watch"],
    max_subscribers: int,
) -> Call[SessionPosition]:
    """Register this process for the session's next message, or for everything that happens, for `wait_ms`. 0 ends that."""
    return invoke(
        script("messages/subscribe"),
        keys,
        lambda reply: SessionPosition(reply[0].decode(), int(reply[1])),
        incarnation=incarnation,
        nonce=nonce,
        wait_ms=wait_ms,
        counts_receivers=int(counts_receivers),
        channel=channel,
        purpose=purpose,
        max_subscribers=max_subscribers,
    )


def find_reply(messages: list[Message], batch_id: str | None) -> Message | None:
    """Return the first assistant message that makes no call, behind the message with a batch ID if one is given."""
    batches = [message.batch_id for message in messages]
    if batch_id is not None and batch_id not in batches:
        return None
    start = 0 if batch_id is None else batches.index(batch_id) + 1
    return next(
        (one for one in messages[start:] if one.kind == "a" and "+" not in one.facts and "!" not in one.facts), None
    )


def kinds_of(role: str | None, include_tools: bool) -> str:
    """Return the kind letters that a role or an entry type selects. All of them for None. Raises InvalidInput."""
    if role is None:
        chosen = "".join(KINDS)
    elif role in KIND_OF_ROLE:
        chosen = "".join(kind for kind, (its_role, _) in KINDS.items() if its_role == role)
    elif role in KIND_OF_TYPE:
        chosen = KIND_OF_TYPE[role]
    else:
        names = ", ".join([*KIND_OF_ROLE, *KIND_OF_TYPE])
        raise InvalidInput(name="role", detail=f"must be one of {names}, got {role!r}")
    return chosen if include_tools else "".join(kind for kind in chosen if kind in _WITHOUT_TOOLS)
