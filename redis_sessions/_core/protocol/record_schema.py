"""The words of each packed record of a session's hash: the schema that the scripts, `records.py` and the storage reference share.

A record is one field of words separated by a space. Lua parses and formats each record in one file of `lua/lib/records`, Python
in one class of `records.py`. A test compares both with `SCHEMA`. CONTRIBUTING.md lists the files that a new word takes.
"""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """One word of a record."""

    name: str
    type: str
    """number, signed (it can be negative), hex, text, or digits: a number that scripts keep as text.

    With a question mark: or '-' for none.
    """
    meaning: str


class Record(NamedTuple):
    """One packed record: the field that holds it, and its words in order."""

    field: str
    words: tuple[Word, ...]
    note: str = ""


def _words(*rows: tuple[str, str, str]) -> tuple[Word, ...]:
    return tuple(Word(*row) for row in rows)


SCHEMA: dict[str, Record] = {
    "counters": Record(
        "counters",
        _words(
            ("last_seq", "number", "the highest seq"),
            ("count", "number", "messages in the list; `dropped` is `last_seq` minus `count`"),
            ("bytes", "number", "bytes of the retained messages, as stored"),
            ("tokens", "number", "tokens of the retained messages"),
            ("user_messages", "number", "user messages since the last clear"),
            ("assistant_messages", "number", "assistant messages since the last clear"),
            ("turns", "number", "turns that an assistant message completed"),
            ("pending_turn", "number", "1 while a user message waits for its answer, else 0"),
            (
                "user_back",
                "number",
                "`last_seq` minus the seq of the newest retained user message that starts a group, or 0",
            ),
            ("updated_us", "hex", "time of the last change, µs since the epoch"),
            ("rev_ahead", "signed", "`rev`, the changes so far, minus `last_seq`"),
            ("operations_ahead", "signed", "operations so far, which number the recorded results, minus `rev`"),
            (
                "plain_after",
                "number",
                "listed messages above this seq start groups, and have neither a pin nor the flag of a summary",
            ),
        ),
    ),
    "layout": Record(
        "layout",
        _words(
            ("open", "text", "'<hash>:<seq>,…' of the calls without a result, or '-'"),
            ("group", "number", "seq of the first message of the newest group while it is open, else 0"),
            (
                "marks",
                "text",
                "b: the newest message binds the next one. r: the newest call binds another. p: pinned. Or '-'",
            ),
            ("kept", "number", "number of the messages that the hash holds"),
            ("task", "number", "seq of the user message that is kept for its turn, or 0"),
            ("gaps", "text", "'<first>-<last>,…' of the removed seqs between retained messages, or '-'"),
        ),
        "absent for a plain list of complete messages",
    ),
    "settings": Record(
        "settings",
        _words(
            ("max_messages", "number", "the cap, 0 for none"),
            ("cap_policy", "text", "oldest, tool_safe or turn"),
            ("max_message_bytes", "number", "largest payload in bytes"),
            ("ttl_ms", "number", "idle life, 0 for none"),
            ("deadline_ms", "number?", "end of the whole life, ms since the epoch"),
        ),
    ),
    "limits": Record(
        "limits",
        _words(
            ("max_turns", "number?", ""),
            ("max_entries", "number?", ""),
            ("max_duration_ms", "number?", ""),
            ("action", "text", "error, end_session or ignore"),
        ),
        "absent without limits",
    ),
    "lease": Record(
        "lease",
        _words(
            ("fence", "number", "grows with every grant"),
            (
                "nonce",
                "text",
                "of the holder's request, '-' when the lease is free, '+' when the rest of a long inbox enters first",
            ),
            ("deadline_ms", "number", "ms since the epoch, 0 when the lease is free"),
            ("since_ms", "number", "time of the grant, which renewals keep, ms since the epoch"),
            ("counts_receivers", "text", "1 if PUBLISH returning 0 proves that the holder's process is gone"),
            ("channel", "text", "on which the holder's process hears, or '-'"),
            ("owner", "text", "name of the holder, '-' when the lease is free"),
        ),
        "the last grant; absent before the first; a free lease is '<fence> - 0 0 0 - -'",
    ),
    "waiter": Record(
        "lease_waiters, join_waiters, subscribers; workers:<agent>",
        _words(
            ("nonce", "text", "of the waiter"),
            ("until_ms", "number", "end of the wait, ms since the epoch"),
            ("counts_receivers", "text", "1 if PUBLISH returning 0 proves that the waiter is gone"),
            ("channel", "text", "on which the waiter hears"),
            (
                "detail",
                "text",
                "lease: '<ttl_ms> <owner>'; join: '<target>'; subscriber: message or watch; worker: '-'",
            ),
        ),
        "several records, each ends in a newline; the detail is the rest of the line",
    ),
    "lineage": Record(
        "lineage",
        _words(
            ("number", "digits", "in the tree, from 1"),
            ("root_incarnation", "text", ""),
            ("path", "text", "/0/3/7/: the numbers from the root to the session"),
            ("id", "text", "of the session"),
            ("ancestors", "text", "IDs, the parent's first; the rest of the record"),
        ),
        "of a child",
    ),
    "run": Record(
        "run",
        _words(
            ("attempts", "number", "attempts that failed, or whose worker died"),
            ("max_attempts", "digits?", "none when no worker may claim it"),
            ("deadline_ms", "number?", "of the present claim, ms since the epoch"),
            ("limit_ms", "number?", "the parent's deadline, ms since the epoch"),
            ("timeout_ms", "number", "of each claim, 0 for none"),
            (
                "available_ms",
                "number",
                "time before which no worker may claim it, ms since the epoch; 10^12 less if it became available at once; or 0",
            ),
            ("fence", "number", "of the last claim"),
            ("turn", "number?", "none for a run; seq of the first message of the open turn, or 0"),
            ("retries", "number", "retries after the run had failed"),
            ("has_died", "digits", "1 if the worker of the last attempt died"),
        ),
        "of a child, and of a session that an agent answers",
    ),
    "spawn_counts": Record(
        "children, tree",
        _words(("total", "number", "ever spawned"), ("active", "number", "not ended")),
        "children: of one parent; tree: of the root, for all below it",
    ),
    "member": Record(
        "member.<number>",
        _words(
            ("id", "text", ""),
            ("parent", "digits", "number of its parent"),
            ("status", "text", "a status, or deleted"),
            ("on_parent_end", "text", "c (cancel), d (detach) or r (request_cancel)"),
            ("incarnation", "text", "the run ID"),
            ("reference", "text", "JSON of the tool call that spawned it, or '-'; the rest of the record"),
        ),
        "of the root",
    ),
    "loop": Record(
        "loop.<id>",
        _words(
            ("status", "text", "pending, running, completed, rejected or aborted"),
            ("created", "digits", "ms since the epoch"),
            ("started", "digits?", "ms since the epoch"),
            ("finished", "digits?", "ms since the epoch"),
            ("events", "number", ""),
            ("turns", "number", ""),
            ("steps", "number", "steps with usage"),
            ("usage", "text", "a usage record; the rest of this one"),
        ),
    ),
    "part": Record(
        "part.<name>",
        _words(
            ("number", "number", "of the part, from 1, which names its fields"),
            ("first_seq", "number", "seq of the first message, `last_seq` plus 1 when there is none"),
            ("last_seq", "number", "seq of the last message"),
            ("bytes", "number", "bytes of its messages, as stored"),
            ("created_ms", "number", "ms since the epoch"),
            ("updated_ms", "number", "ms since the epoch"),
        ),
        "of the parts of a session",
    ),
    "part_totals": Record(
        "totals",
        _words(
            ("numbers", "number", "parts that were ever made"),
            ("parts", "number", ""),
            ("messages", "number", "messages of all parts"),
            ("bytes", "number", "bytes of these messages, as stored"),
            ("ids", "number", "IDs of messages of the session itself"),
        ),
        "of the parts of a session",
    ),
    "inbox": Record(
        "inbox",
        _words(
            ("first", "number", "number of the first message"),
            ("last", "number", "number of the last"),
            ("results", "number", "how many of them are results of children, which `max_inbox` does not count"),
        ),
        "absent when the inbox is empty",
    ),
    "usage": Record(
        "usage, step.<loop> <step>",
        _words(
            *[
                (name, "number", "tokens")
                for name in ("input", "output", "reasoning", "cache_read", "cache_write", "total")
            ],
            ("cost", "number", "in millionths"),
        ),
    ),
    "tree_limits": Record(
        "tree_limits",
        _words(
            *[
                (name, "number?", "")
                for name in ("max_depth", "max_children", "max_active", "max_descendants", "max_spawned")
            ]
        ),
        "of a root; absent for the defaults",
    ),
    "budget": Record(
        "budget",
        _words(
            ("tokens", "number?", ""), ("cost", "number?", "in millionths"), ("enforcement", "text", "spawn or append")
        ),
    ),
    "spent": Record("spent", _words(("tokens", "number", ""), ("cost", "number", "in millionths"))),
    "status_log": Record(
        "status_log",
        _words(
            ("number", "number", "of the change, from 1"),
            ("last_seq", "number", "the highest seq then"),
            ("at_ms", "number", "ms since the epoch"),
            ("status", "text", "the new status, or edited:<seq> for messages from a seq on"),
        ),
        "the records of the last 1,000 bytes, each ends in a newline",
    ),
}
