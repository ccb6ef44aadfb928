"""Compare the journals of the writers with the transcripts: each acknowledged message once, at its seq, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from redis_sessions import Message, SessionInfo


@dataclass
class Ledger:
    """The acknowledgements that the writers got for one session."""

    acknowledged: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The first and last seq of each batch."""
    sent: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    """Batches of which the cap dropped all traces before the writer could learn their outcome."""
    begun: set[str] = field(default_factory=set)
    """Turns. Those that are not finished may end with a message that was not acknowledged."""
    finished: set[str] = field(default_factory=set)
    doubled: list[str] = field(default_factory=list)


def ledgers_of(slot: str, events: Iterable[dict[str, Any]], ledgers: dict[str, Ledger]) -> None:
    """Add the events of a slot to the ledgers of the sessions."""
    for event in events:
        kind = event["what"]
        if kind not in ("appended", "sent", "unknown", "begun", "written", "finished"):
            continue
        ledger = ledgers[event["session"]]
        batch = f"{slot}.{event['number']}"
        if kind == "appended":
            if batch in ledger.acknowledged:
                ledger.doubled.append(f"{batch} was acknowledged twice")
            ledger.acknowledged[batch] = (event["first"], event["last"])
        elif kind == "written":
            ledger.acknowledged[f"{event['turn']}.{event['part']}"] = (event["seq"], event["seq"])
        elif kind in ("sent", "unknown"):
            (ledger.sent if kind == "sent" else ledger.unknown).add(batch)
        else:
            (ledger.begun if kind == "begun" else ledger.finished).add(event["turn"])


def check_session(id: str, ledger: Ledger, history: list[Message], info: SessionInfo) -> list[str]:
    """Return every broken promise of a session."""
    stored: dict[str, list[int]] = defaultdict(list)
    for message in history:
        stored[message.batch_id].append(message.seq)
    is_capped = info.max_messages is not None
    found = [
        *ledger.doubled,
        *_check_places(ledger, stored, is_capped=is_capped),
        *_check_seqs(ledger, [message.seq for message in history], info.last_seq, is_capped=is_capped),
        *check_order(history),
        *_check_turns(ledger, history),
        *_check_counters(history, info, is_capped=is_capped),
    ]
    return [f"{id}: {text}" for text in found]


def _check_places(ledger: Ledger, stored: dict[str, list[int]], *, is_capped: bool) -> list[str]:
    """Each batch is stored once, where it was acknowledged. Nothing else is stored."""
    found = []
    for batch, (first, last) in ledger.acknowledged.items():
        seqs, wanted = stored.get(batch, []), list(range(first, last + 1))
        if seqs != wanted and not (is_capped and seqs == wanted[len(wanted) - len(seqs) :]):
            found.append(f"{batch} was acknowledged at {first} to {last}, is at {seqs}")
    for batch in ledger.sent:
        if len(stored.get(batch, [])) != 1:
            found.append(f"{batch} was sent, is at {stored.get(batch)}")
    for batch, seqs in stored.items():
        if batch in ledger.acknowledged or batch in ledger.sent:
            continue
        is_unresolved = batch in ledger.unknown or batch.rpartition(".")[0] in ledger.begun - ledger.finished
        if not is_unresolved or seqs != list(range(seqs[0], seqs[0] + len(seqs))):
            found.append(f"{batch} was never acknowledged, and is at {seqs}")
    return found


def _check_seqs(ledger: Ledger, retained: list[int], last_seq: int, *, is_capped: bool) -> list[str]:
    """No seq is missing or used twice."""
    found = []
    if retained != sorted(set(retained)):
        found.append("seqs do not ascend")
    if retained and retained[-1] != last_seq:
        found.append(f"ends at {retained[-1]}, the highest seq is {last_seq}")
    if not is_capped:
        if retained != list(range(1, last_seq + 1)):
            found.append(f"retains {len(retained)} messages up to seq {last_seq}")
        return found
    covered = sorted(ledger.acknowledged.values())
    missing, end = 0, 0
    for first, last in covered:
        if first <= end:
            found.append(f"seq {first} was acknowledged for two batches")
        missing, end = missing + max(first - end - 1, 0), max(last, end)
    missing += last_seq - end
    if missing > 4 * len(ledger.unknown):
        found.append(f"{missing} seqs belong to no batch, and {len(ledger.unknown)} batches have an unknown outcome")
    return found


def check_order(history: list[Message]) -> list[str]:
    """The messages of a writer are in the writer's order. What was sent may wait in the inbox, so it has an order of its own."""
    found = []
    newest: dict[tuple[str, bool], tuple[int, int]] = {}
    for message in history:
        payload = message.payload
        place, key = (payload["number"], payload["part"]), (payload["writer"], payload["kind"] == "send")
        if place <= newest.get(key, (-1, -1)) and not _is_next_turn(payload, newest[key]):
            found.append(f"{payload['writer']}.{place} is out of its writer's order")
        newest[key] = place
    return found


def _is_next_turn(payload: dict[str, Any], before: tuple[int, int]) -> bool:
    """Return whether a message begins another attempt at a turn that a killed process left half written."""
    return (payload["kind"], payload["part"], payload["number"]) == ("turn", 0, before[0])


def _check_turns(ledger: Ledger, history: list[Message]) -> list[str]:
    """Turns are contiguous, and fences never decrease."""
    found, fence, present = [], 0, ""
    seen: set[str] = set()
    for message in history:
        turn = message.payload.get("turn", "")
        if turn != present and turn in seen:
            found.append(f"turn {turn} is torn apart at seq {message.seq}")
        present = turn
        if not turn:
            continue
        if turn not in seen and message.payload["fence"] <= fence:
            found.append(f"fence {message.payload['fence']} of turn {turn} comes after {fence}")
        fence = message.payload["fence"]
        seen.add(turn)
    return found


def _check_counters(history: list[Message], info: SessionInfo, *, is_capped: bool) -> list[str]:
    """The counters of a session are those of what is stored."""
    roles = [message.role for message in history]
    users, assistants = roles.count("user"), roles.count("assistant")
    if is_capped:  # they count dropped messages, too
        users, assistants = info.last_seq - info.assistant_messages, info.assistant_messages
    counted = {
        "count": (info.count, len(history)),
        "dropped": (info.dropped, info.last_seq - len(history)),
        "entries": (info.entries, info.last_seq),
        "user_messages": (info.user_messages, users),
        "assistant_messages": (info.assistant_messages, assistants),
        "tokens": (info.tokens, sum(message.tokens or 0 for message in history)),
        "inbox_size": (info.inbox_size, 0),
    }
    return [f"{name} is {has}, must be {should}" for name, (has, should) in counted.items() if has != should]
