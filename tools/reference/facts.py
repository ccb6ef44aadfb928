"""Facts of the reference that the code does not hold as values: units, advice, and who writes a key.

`write_reference.py` fails when a key, an option or an error has no entry here.
"""

from __future__ import annotations

from typing import NamedTuple

_DURATION = "duration"
UNITS = {
    "ttl": _DURATION,
    "max_lifetime": _DURATION,
    "max_messages": "messages",
    "cap_policy": "word",
    "max_turns": "turns",
    "max_entries": "messages",
    "max_duration": _DURATION,
    "limit_action": "word",
    "codecs": "list",
    "telemetry": "Telemetry",
    "encode": "set of words",
    "max_message_bytes": "bytes",
    "max_tokens": "tokens",
    "max_inbox": "messages",
    "max_depth": "levels",
    "max_children": "sessions",
    "max_active": "sessions",
    "max_descendants": "sessions",
    "max_spawned": "sessions",
    "token_budget": "tokens",
    "cost_budget": "cost",
    "budget_enforcement": "word",
    "namespace": "text, 1 to 64 characters",
    "timeout": _DURATION,
    "retry_for": _DURATION,
    "max_connections": "connections, 1 or more",
    "address_remap": "function or text",
    "token_counter": "function",
    "image_tokens": "tokens",
    "touch_on_read": "bool",
    "acks": "replicas, 0 to 100",
    "audit": "function",
    "actor": "name",
    "max_document_bytes": "bytes",
    "bounds": "StorageBounds",
}

URL_OPTIONS = {
    "timeout": "As the option of the cache.",
    "retry_for": "As the option of the cache.",
    "max_connections": "As the option of the cache.",
    "address_remap": "As the option of the cache. See [addresses](#addresses).",
    "db": "The database, if the path names none.",
    "username": "The user, if none stands before the host.",
    "password": "The password, if none stands before the host.",
    "client_name": "The name of each connection in CLIENT LIST.",
    "protocol": "The version of the protocol, for URLs that other clients share.",
    "ssl": "TLS to the sentinels. Default: as to the servers.",
    "ssl_cert_reqs": "The check of the server's certificate. Default `required`.",
    "ssl_check_hostname": "The check of the name in the certificate. Default `true`.",
    "ssl_ca_certs": "Certificates of authorities. Default: those of the system.",
    "ssl_ca_path": "A folder of such certificates.",
    "ssl_ca_data": "Such certificates as text.",
    "ssl_certfile": "The client's own certificate.",
    "ssl_keyfile": "The key of the client's own certificate, if its file does not hold the key.",
    "ssl_password": "The password of the key.",
    "ssl_min_version": "The oldest version of TLS that is spoken.",
    "ssl_ciphers": "The ciphers of TLS 1.2, in the form of OpenSSL.",
    "ssl_include_verify_flags": "Flags to add to the checks of OpenSSL.",
    "ssl_exclude_verify_flags": "Flags to take away from the checks of OpenSSL.",
}

ADVICE = {
    "SessionsError": "Catch it to handle every error of this package.",
    "AccessDenied": "Check the user, the password and the ACL."
    " See [rights of a server user](../guides/operations.md#rights-of-a-server-user).",
    "CodecMissing": "Pass the codec that `codec` names to `codecs`. See [payload codecs](../guides/codecs.md).",
    "CompactionConflict": "Read the history again, choose a range that begins at the first retained message, and compact that.",
    "ConcurrentModification": "Pause the root session, repeat the export or import, then resume the session.",
    "DecryptionError": "Put the key into the ring. If the ring has each key, treat the stored data as changed by others,"
    " because no library call writes such a value.",
    "EditConflict": "Read the history again. For `in_group`, take `before` or `after`."
    " For `other_calls`, keep the role and the calls.",
    "InvalidInput": "Correct the argument that `name` names. A repetition fails again.",
    "InvalidState": "Read the stored value. Repair it, or delete it, because the library does not overwrite it.",
    "InvalidTransition": "Treat the session as ended. Create another session to go on.",
    "JoinTimeout": "Call `join` again, or look at `children()` for the sessions in `waiting`.",
    "LeaseLost": "Stop the work. Read the session again before another attempt, because another worker may have written.",
    "BoundExceeded": "Store less, or give the cache `bounds=StorageBounds(…)` with a larger `limit`.",
    "LimitExceeded": "Look at `limit`. Raise the limit with `patch`, make room, or end the session.",
    "LoopConflict": "Read the ledger. Use another loop ID, or leave the ended loop as it is.",
    "LoopNotFound": "Start the loop with `start_loop` before you record anything for it.",
    "MessageNotFound": "Read the history for the seqs that are retained.",
    "MessageTooLarge": "Shorten the message, or raise `max_message_bytes`, at most 64 MiB.",
    "NotAnInteger": "Set the value to a whole number first.",
    "NotReplicated": "Repeat the call with `batch_id`. Check the replicas if the error stays.",
    "OutcomeUnknown": "Repeat the call with `batch_id`. If there is none, read what is stored first.",
    "ReplyTimeout": "Call `wait_for_reply` again with the same argument. The sent message stays sent.",
    "RevisionConflict": "Read the session again and repeat the change with the new revision, or use `retry_on_conflict`.",
    "SchemaMismatch": "Use the version of the library that wrote the namespace, or another namespace.",
    "SessionExists": "Use another ID, `get_or_create`, or `on_conflict` for an import.",
    "SessionLocked": "Wait for the lease, `send` the message to the inbox, or write with `lease.session`.",
    "SessionNotActive": "Resume a paused session. Create another session when this one has ended.",
    "SessionNotFound": "Create the session. If it expired too early, raise `ttl`.",
    "SessionRegressed": "Open the session again, compare the history with your own record, and append what is missing.",
    "SessionReplaced": "Open the session again. The former content is gone.",
    "SpawnRefused": "Look at `reason`. Wait for children, raise the bound at the root, or go on without the child.",
    "SessionDamaged": "Look for another program that writes to the server. Restore its keys, or delete the session.",
    "OperationConflict": "Use another batch ID. Each operation needs an ID of its own, also when one request causes several.",
    "StateConflict": "Read the state again, and repeat the call with the present value.",
    "StoreError": "Read the server's text. It names a fault of the server or of its configuration.",
    "StoreFull": "Raise `maxmemory` or free memory, then repeat the call.",
    "BlobStoreUnavailable": "Check that the blob store runs, and that this process may use its folder. The call can be repeated.",
    "StoreUnavailable": "Check that the server runs and that the URL is right. The call can be repeated.",
}


class KeyFacts(NamedTuple):
    """The facts of one key in the reference, without its meaning."""

    ttl: str
    writers: str
    kind: str = ""
    """The type, if the docstring of `keys.py` does not say it."""


_INDEX_TTL = "at least the longest session TTL written to it, plus 30 days; 10 years for a persistent session"
KEY_FACTS = {
    "<namespace>:meta": KeyFacts("none", "`namespaces/claim`, by the first write of a cache"),
    "<namespace>:{<namespace>:meta}:probe": KeyFacts("gone when the script ends", "`namespaces/claim`"),
    "<namespace>:{<tag>}:session:<id>": KeyFacts(
        "idle TTL from the last write, not past the deadline; none for a persistent session",
        "every write to the session",
    ),
    "<namespace>:{<tag>}:messages:<id>": KeyFacts(
        "the same instant as the session", "append, send, drain, edits, compact, pin, fork, spawn with `fork`, import"
    ),
    "<namespace>:{<tag>}:ledger:<id>": KeyFacts("31 days more than the session", "`loops/*`, import"),
    "<namespace>:{<tag>}:parts:<id>": KeyFacts(
        "31 days more than the session", "`parts/*`, `messages/append_new`, import"
    ),
    "<namespace>:{<tag>}:part_names:<id>": KeyFacts("31 days more than the session", "`parts/*`, import"),
    "<namespace>:{<tag>}:deltas:<id>": KeyFacts(
        "10 minutes from the last delta, at most as long as the session", "`messages/publish`"
    ),
    "<namespace>:{<tag>}:popped:<id>": KeyFacts(
        "1 minute from the last pop, at most as long as the session", "`messages/pop`"
    ),
    "<namespace>:{<tag>}:channel:<id>": KeyFacts(
        "30 days more than the longest of inactivity, TTL and lifetime", "`conversations/get_or_create`"
    ),
    "<namespace>:{<tag>}:queue:<agent>": KeyFacts(
        "30 days from the last write", "`runs/schedule`, `runs/dequeue`, `trees/spawn`"
    ),
    "<namespace>:{<tag>}:check_at:<agent>": KeyFacts(
        "30 days from the last write", "`runs/schedule`, `runs/dequeue`, `trees/spawn`"
    ),
    "<namespace>:{<tag>}:workers:<agent>": KeyFacts(
        "60 s from the last request of a worker", "`runs/dequeue`, `runs/schedule`"
    ),
    "<namespace>:{<tag>}:ready:<agent>": KeyFacts("30 days from the last write", "`runs/dequeue`, `runs/schedule`"),
    "<namespace>:{<tag>}:ranks:<agent>": KeyFacts("30 days from the last write", "`runs/dequeue`"),
    "<namespace>:{<tag>}:running:<agent>": KeyFacts("30 days from the last write", "`runs/dequeue`, `runs/schedule`"),
    "<namespace>:{<tag>}:bound:<agent>": KeyFacts("none", "`runs/set_bound`"),
    "<namespace>:{<tag>}:import-session:<nonce>:<id>, import-messages:<nonce>:<id>, import-ledger:<nonce>:<id>": KeyFacts(
        "1 hour", "`transfer/stage`; `transfer/move` renames all", "hash, list, hash"
    ),
    "<namespace>:{<tag>}:import-parts:<nonce>:<id>, import-part_names:<nonce>:<id>": KeyFacts(
        "1 hour", "`transfer/stage`; `transfer/move` renames all", "hash, zset"
    ),
    "<namespace>:{<tag>}:import:<nonce>": KeyFacts("1 hour", "`transfer/move`"),
    "<namespace>:{<tag>}:quarantine-session:<ms>:<id>, quarantine-messages:<ms>:<id>, quarantine-ledger:<ms>:<id>": KeyFacts(
        "30 days", "`sessions/set_aside` (`doctor --repair`)", "hash, list, hash"
    ),
    "<namespace>:{<tag>}:quarantine-parts:<ms>:<id>, quarantine-part_names:<ms>:<id>": KeyFacts(
        "30 days", "`sessions/set_aside` (`doctor --repair`)", "hash, zset"
    ),
    "<namespace>:{<tag>}:quarantine-values:<ms>:<id>": KeyFacts(
        "30 days from the last repair", "`sessions/replace_values`, `quarantine/keep` (`doctor --repair`)"
    ),
    "<namespace>:{<tag>}:quarantine-key:<ms>:<id>": KeyFacts("30 days", "`doctor --repair` (RENAME)"),
    "<namespace>:{<tag>}:<index>:<kind>:<active or ended>:<created or updated>:<value>": KeyFacts(
        _INDEX_TTL, "`indexes/put_entries`"
    ),
    "<namespace>:{<tag>}:shared:<scope>": KeyFacts(
        "the `ttl` of the scope from its last write; none by default", "`shared/write`, `shared/add`, `shared/rewrite`"
    ),
    "<namespace>:{<tag>}:shared-log:<scope>": KeyFacts(
        "that of the values; one day without values", "`shared/write`, `shared/add`, `shared/rewrite`"
    ),
    "<namespace>:{shared}:names": KeyFacts("none", "`shared/register`, `shared/unregister`"),
    "<namespace>:{shared}:registered": KeyFacts("none", "`shared/register`, `shared/unregister`"),
    "<namespace>:{<tag>}:checkpoints:<thread>": KeyFacts(
        "the `ttl` of the last writer, or none", "`checkpoints/put`, `checkpoints/write`, `checkpoints/drop`"
    ),
    "<namespace>:{<tag>}:checkpoint-names:<thread>": KeyFacts(
        "that of the checkpoints", "`checkpoints/put`, `checkpoints/write`, `checkpoints/drop`"
    ),
    "<namespace>:{quarantine}:keys": KeyFacts("30 days from the last repair", "`doctor --repair` (ZADD)"),
    "<namespace>:{workers}:heard_at": KeyFacts("1 hour from the last write", "`workers/heartbeat`, `workers/leave`"),
    "<namespace>:{workers}:records": KeyFacts("1 hour from the last write", "`workers/heartbeat`, `workers/leave`"),
    "<namespace>:index:leases": KeyFacts("1 day from the last write", "`leases/update_index`"),
    "<namespace>:index:agents": KeyFacts("30 days from the last write", "`runs/register_agent`"),
    "<namespace>:index:documents": KeyFacts("none", "`documents/register_category`, `documents/remove_categories`"),
    "<namespace>:index:threads": KeyFacts("none", "each first write to a thread (ZADD), `threads` (ZREM)"),
    "<namespace>:index:pruned": KeyFacts("the cooldown of `prune`", "`prune` (SET NX PX)"),
    "<namespace>:documents:<category>": KeyFacts("none", "`documents/put`, `documents/delete`"),
    "<namespace>:wake:<process>": KeyFacts("not stored", "scripts that notify (PUBLISH)"),
}

SCRIPT_FOLDERS = {
    "conversations": "The session that a channel talks in.",
    "checkpoints": "The checkpoints of a thread, with the blobs that they share and their pending writes.",
    "documents": "Documents by category and name. Their keys have no TTL.",
    "inbox": "Messages that wait for the holder of a lease.",
    "indexes": "The entries by which sessions are listed.",
    "leases": "The exclusive right to write a session.",
    "loops": "The ledger of a session: loops, steps, events and turns.",
    "messages": "The transcript of a session, and its subscribers.",
    "namespaces": "The claim of a namespace for a schema version.",
    "parts": "The parts of a session: transcripts under names of their own.",
    "quarantine": "Damaged data that a repair moved out of the way.",
    "runs": "The run queue of an agent: schedule, dequeue, claim and recover.",
    "sessions": "The session itself: create, read, patch, end, delete.",
    "shared": "Values that sessions share, by scope and name, and the writes of them that travel with an append.",
    "state": "The state (JSON) and the variables (text) of a session.",
    "transfer": "Export and import.",
    "trees": "Spawn, members, labels and cancellation of a tree.",
    "workers": "The registry of workers: what each works on, and when it was heard last.",
}
