"""Each script on its own, called as any language would: its replies, its refusals, the lifetimes it sets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import redis

from redis_sessions._core.protocol.message_times import read_time
from redis_sessions._core.protocol.scripts import names, script
from tests.lua.calls import CREATE, KEYS, Scripts, entries, values
from tests.support.servers import await_true


def test_append_returns_place_and_state(scripts: Scripts) -> None:
    """An append replies '<incarnation> <is_duplicate> <first> <last> <rev> <count> <dropped> <limit state>'."""
    scripts.create()
    assert scripts.append("u@1 b {}", "a@2 b {}") == b"L1 0 1 2 1 2 0 ok"
    assert scripts.append("u@1 b {}") == b"L1 1 1 2 1 2 0 ok"
    ttls_ms = [scripts.client.pttl(key) for key in KEYS]
    assert all(59_000 < ttl_ms <= 60_000 for ttl_ms in ttls_ms)
    element = bytes(scripts.client.lrange(KEYS[1], 0, 0)[0])  # type: ignore[arg-type]
    assert element[8:] == b"u@1 b {}"
    assert abs(read_time(element) - time.time() * 1000) < 60_000


def test_append_of_one_message_returns_numbers_once(scripts: Scripts) -> None:
    """An append of one message replies {incarnation, seq, rev, count}, and its repetition with the words of any append."""
    scripts.create()
    assert scripts.append("u@1 b {}") == [b"L1", 1, 1, 1]
    assert scripts.append("u@1 b {}") == b"L1 1 1 1 1 1 0 ok"
    assert scripts.append("u@1 c {}", operation_id="c", format="anthropic") == b"L1 0 2 2 2 2 0 ok"


def test_batch_ids_with_one_mark_are_told_apart(scripts: Scripts) -> None:
    """Batch IDs that end in the same two bytes have one mark. Each of them is appended once, and found when it is repeated."""
    scripts.create(caps="0 tool_safe 100")
    ids = [f"{number}-ab" for number in range(5)]
    for seq, batch in enumerate(ids, 1):
        assert scripts.append(f"u@1 {batch} {{}}", operation_id=batch) == [b"L1", seq, seq, seq]
    for seq, batch in enumerate(ids, 1):
        assert scripts.append(f"u@1 {batch} {{}}", operation_id=batch) == f"L1 1 {seq} {seq} {seq} {seq} 0 ok".encode()
    assert scripts.client.llen(KEYS[1]) == 5


@pytest.mark.parametrize("name", [name for name in names() if "SESSION_NOT_FOUND" in script(name).errors])
def test_missing_session_is_refused_and_not_created(scripts: Scripts, name: str) -> None:
    """A script that needs a session refuses with SESSION_NOT_FOUND and creates no key."""
    scripts.refused("SESSION_NOT_FOUND", name, *entries(name), **values(name))
    assert scripts.client.keys() == []


@pytest.mark.parametrize("name", [name for name in names() if "SESSION_REPLACED" in script(name).errors])
def test_other_incarnation_is_refused(scripts: Scripts, name: str) -> None:
    """A script refuses with SESSION_REPLACED when the caller knows another incarnation, and changes nothing."""
    scripts.create()
    scripts.append("u@1 b {}")
    scripts.refused("SESSION_REPLACED", name, *entries(name), **values(name, incarnation="other"))


CHECKED = [
    name
    for name in names()
    if {"operation_id", "INVALID_INPUT"} <= {*script(name).arguments, *script(name).errors} and name != "runs/advance"
]
"""The scripts that check their operation ID first. `runs/advance` checks it with the messages that finish a turn."""


@pytest.mark.parametrize("name", CHECKED)
def test_operation_id_with_space_is_refused(scripts: Scripts, name: str) -> None:
    """A script refuses an operation ID with a space, because results are stored as words."""
    scripts.create()
    scripts.append("u@1 b {}")
    scripts.refused("INVALID_INPUT", name, *entries(name), **values(name, operation_id="a b"))


@pytest.mark.parametrize("name", ["messages/edit", "messages/pin", "sessions/patch", "state/clear", "state/add"])
def test_repeated_write_returns_first_result(scripts: Scripts, name: str) -> None:
    """A repeated write returns its first result, marked as repeated, even when the expected rev has passed."""
    scripts.create()
    scripts.append("u@1 b {}", "u@1 b {}")
    given = values(name, pinned="1", prefix="state.", field="state.n", expected_rev="1")
    first = scripts(name, **given)
    scripts.append("u@1 c {}", operation_id="c")
    assert scripts(name, **given) == [*first, 1]
    assert scripts.client.llen(KEYS[1]) == (1 if name == "messages/edit" else 3)


def test_append_with_several_faults_refuses_by_first(scripts: Scripts) -> None:
    """An append checks incarnation, known batch, status, rev, lost messages and size in this order."""
    scripts.create()
    scripts.append("u@1 b {}")
    bad = {"operation_id": "new", "expected_rev": "9", "seen": "7"}
    large = "u@1 new " + "x" * 101
    scripts.refused("SESSION_REPLACED", "messages/append", large, incarnation="other", **bad)
    assert scripts.append(large, **{**bad, "operation_id": "b"}).split()[1] == b"1"
    scripts("sessions/set_status", status="paused")
    scripts.refused("SESSION_NOT_ACTIVE", "messages/append", large, **bad)
    scripts("sessions/set_status", status="active")
    scripts.refused("REVISION_CONFLICT", "messages/append", large, **bad)
    scripts.refused("SESSION_REGRESSED", "messages/append", large, **{**bad, "expected_rev": ""})
    scripts.refused("MESSAGE_TOO_LARGE", "messages/append", "u@1 new {}", large, operation_id="new", seen="0")


def test_append_beyond_limit_is_refused(scripts: Scripts) -> None:
    """A refused append names the limit, the value that it would reach, the maximum and the action."""
    scripts.create("limits", "- 1 - error")
    scripts.append("u@1 b {}")
    with pytest.raises(redis.ResponseError, match=r"^LIMIT_EXCEEDED entries 2 1 error"):
        scripts.append("u@1 c {}", operation_id="c")


def test_repeated_batch_outside_window_is_found_in_transcript(scripts: Scripts) -> None:
    """A batch that left the window is found among the messages, unless the cap dropped all messages since."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("u@1 old {}", "u@1 old {}", operation_id="old")
    for number in range(200):
        scripts.append(f"u@1 n{number} {{}}", operation_id=f"n{number}")
    repeated = scripts.append("u@1 old {}", operation_id="old", elapsed_ms="5000")
    assert repeated.split()[1:4] == [b"1", b"1", b"2"]
    assert scripts.append("u@1 new {}", operation_id="new", elapsed_ms="5000").split()[1] == b"0"
    scripts.client.delete(*KEYS)
    scripts.create()
    for number in range(200):
        scripts.append(f"u@1 n{number} {{}}", operation_id=f"n{number}")
    with pytest.raises(redis.ResponseError, match=r"^OUTCOME_UNKNOWN lost"):
        scripts.append("u@1 lost {}", operation_id="lost", elapsed_ms="5000")


def test_retry_is_found_after_a_jump_of_the_clock(scripts: Scripts) -> None:
    """A retried append is found behind 300 messages, though all times are older than its first attempt (the clock jumped)."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("u@1 first {}", operation_id="first")
    for number in range(300):
        scripts.append(f"u@1 b{number} {{}}", operation_id=f"b{number}")
    elements: list[Any] = scripts.client.lrange(KEYS[1], 0, -1)
    client: Any = scripts.client
    for at, element in enumerate(elements):
        client.lset(KEYS[1], at, b"!!!!!!!" + element[7:])
    repeated = scripts.append("u@1 first {}", operation_id="first", elapsed_ms="0")
    assert repeated.split()[1:3] == [b"1", b"1"]
    assert scripts.client.llen(KEYS[1]) == 301


def test_session_without_its_messages_is_replaced_by_create(scripts: Scripts) -> None:
    """An append refuses a session whose messages were evicted, and `create` replaces the session."""
    scripts.create()
    scripts.append("u@1 b {}")
    scripts.client.delete(KEYS[1])
    with pytest.raises(redis.ResponseError, match=r"^SESSION_NOT_FOUND"):
        scripts.append("u@1 c {}", operation_id="c")
    assert scripts("sessions/find")[0] == b""
    assert scripts.create(incarnation="L2") == [1, b"L2"]


def test_repeated_create_returns_same_session_and_another_is_refused(scripts: Scripts) -> None:
    """A creation with the same incarnation is a repetition, and another one is refused or returns the existing session."""
    fields = ["max_tokens", "7", "max_inbox", "8"]
    assert scripts.create(*fields) == [1, b"L1"]
    assert scripts.create(*fields) == [1, b"L1"]
    scripts.refused("SESSION_EXISTS", "sessions/create", **{**CREATE, "incarnation": "L2"})
    existing = [b"L1", b"3 tool_safe 100 60000 -", b"", b"", b"", b"7", b"8", scripts.client.hget(KEYS[0], "created")]
    returned = scripts.create(incarnation="L2", on_existing="return")
    assert returned[0] == 0
    assert [value or b"" for value in returned[1:]] == existing
    assert [value or b"" for value in scripts("sessions/find")] == existing
    scripts.client.delete(*KEYS)
    assert [value or b"" for value in scripts("sessions/find")] == [b""] * 8
    assert scripts.client.exists(*KEYS) == 0


def test_lifetime_is_stored_as_deadline(scripts: Scripts) -> None:
    """A lifetime becomes an absolute deadline in the settings, which the idle ttl never exceeds."""
    scripts.create(ttl_ms="60000", lifetime_ms="1000")
    scripts.append("u@1 b {}")
    assert all(0 < scripts.client.pttl(key) <= 1000 for key in KEYS)
    settings = scripts.client.hget(KEYS[0], "settings")
    assert settings is not None
    assert settings.split()[-1].isdigit()


def test_refused_write_leaves_session_as_it_was(scripts: Scripts) -> None:
    """A refused pin, addition, patch, edit or status change leaves the session as it was."""
    scripts.create()
    scripts.append("u@1 b {}")
    scripts.refused("MESSAGE_NOT_FOUND", "messages/pin", seq="9", pinned="1")
    scripts.refused("NOT_AN_INTEGER", "state/add", operation_id="x", field="status", amount="1")
    for bounds in ("99 99 99 0", "99 1 99 9"):
        given = {"set_count": "1", "merge_count": "0", "bounds": bounds}
        scripts.refused("BOUND_EXCEEDED", "sessions/patch", "state.a", "1", **given)
    for name in ("messages/edit", "sessions/set_status", "sessions/patch", "state/clear"):
        fixed = values(name, status="completed", prefix="state.", expected_rev="99")
        scripts.refused("REVISION_CONFLICT", name, **fixed)
    scripts("sessions/set_status", status="completed")
    scripts.refused("INVALID_TRANSITION", "sessions/set_status", status="active")
    scripts.refused("SESSION_NOT_ACTIVE", "messages/edit", **values("messages/edit"))


def test_patch_merges_words_of_packed_records(scripts: Scripts) -> None:
    """A merge replaces the named words of a record, keeps the words with '*', and fields are removed."""
    scripts.create("user", "mia")
    reply = scripts(
        "sessions/patch",
        *("name", "n"),
        "user",
        *("settings", "", "9 * * 5000 *"),
        *("limits", "- - - error", "4 * * *"),
        **values("sessions/patch", set_count="1", merge_count="2", bounds="99 99 99 9"),
    )
    assert reply == [b"L1", b"1"]
    stored = scripts.client.hgetall(KEYS[0])
    assert (stored[b"name"], b"user" in stored) == (b"n", False)
    assert (stored[b"settings"], stored[b"limits"]) == (b"9 tool_safe 100 5000 -", b"4 - - error")
    assert 0 < scripts.client.pttl(KEYS[0]) <= 60_000


def test_lease_is_acquired_renewed_and_released_once(scripts: Scripts) -> None:
    """A repeated acquire or release returns its first result, and an acquire after the release is refused."""
    scripts.create()
    acquire = values("leases/acquire", nonce="n1")
    assert [scripts("leases/acquire", **acquire) for _ in range(2)] == [[b"L1", 1, 5000, 60000]] * 2
    scripts.refused("SESSION_LOCKED", "leases/acquire", **values("leases/acquire", nonce="n2"))
    assert scripts("leases/renew", lease="1 n1", ttl_ms="9000") == [b"L1", 9000, 60000]
    scripts("leases/renew", lease="1 n1", ttl_ms="90000")
    assert 90_500 < scripts.client.pttl(KEYS[0]) <= 91_000  # a second longer than the lease
    release = {"operation_id": "n1", "lease": "1 n1"}
    assert [scripts("leases/release", **release) for _ in range(2)] == [[b"L1", b"", 0], [b"L1", b"", 0]]
    assert 59_500 < scripts.client.pttl(KEYS[0]) <= 60_000
    scripts.refused("LEASE_LOST", "leases/acquire", **acquire)
    scripts.refused("LEASE_LOST", "leases/renew", lease="1 n1", ttl_ms="9000")


def test_call_behind_messages_of_inbox_is_appended(scripts: Scripts) -> None:
    """An append after the end of a lease takes the inbox first, and groups a tool call behind the messages of the inbox."""
    scripts.create("max_inbox", "9")
    scripts("leases/acquire", **values("leases/acquire", nonce="n1", ttl_ms="200"))
    for id in ("i", "j"):
        scripts("inbox/send", f"u@1 {id} {{}}", **values("inbox/send", operation_id=id, agent=":inbox"))
    time.sleep(0.25)
    assert scripts.append("aB1 b +aaaaaaaa {}") == b"L1 0 3 3 1 3 0 ok"
    assert [element[8:11] for element in scripts.client.lrange(KEYS[1], 0, -1)] == [b"u@1", b"u@1", b"aB1"]
    assert scripts.client.hget(KEYS[0], "layout") == b"aaaaaaaa:3 3 - 0 0 -"


def test_taken_over_lease_refuses_its_former_holder(scripts: Scripts) -> None:
    """A takeover grants the lease with the next fence, and refuses a fence that the lease does not have."""
    scripts.create()
    scripts("leases/acquire", **values("leases/acquire", nonce="n1"))
    scripts.refused("LEASE_LOST", "leases/take_over", nonce="op", owner="me", fence="9")
    for _ in range(2):
        assert scripts("leases/take_over", nonce="op", owner="me", fence="1") == [b"L1", 2]
    scripts.refused("LEASE_LOST", "messages/append", "u@1 b {}", operation_id="b", seen="0", lease="1 n1")
    assert scripts("leases/release", operation_id="op", lease="2 op") == [b"L1", b"", 0]


def test_deletion_of_document_takes_its_json_form_first(scripts: Scripts) -> None:
    """A deletion removes the JSON form of a document before its text form, and no other document."""
    documents = KEYS[0]
    scripts.client.hset(documents, mapping={"n.json": "1", "n.md": "x", "m.md": "y"})
    assert [scripts("documents/delete", "n") for _ in range(3)] == [1, 1, 0]
    assert scripts.client.hgetall(documents) == {b"m.md": b"y"}


def test_recently_registered_category_is_not_removed(scripts: Scripts) -> None:
    """A category that was registered within the grace time stays, and the index has no TTL."""
    ids = KEYS[0]
    scripts.client.zadd(ids, {"old": 5, "other": 5})
    scripts("documents/register_category", category="new", max_categories="9")
    scripts("documents/remove_categories", "old", "new", "unknown", grace_ms="60000")
    assert set(scripts.client.zrange(ids, 0, -1)) == {b"other", b"new"}
    assert scripts.client.pttl(ids) == -1


def test_repeated_long_batch_is_found_as_a_whole(scripts: Scripts) -> None:
    """A batch of more than 1 MB that was forgotten has its first seq."""
    scripts.create(caps="0 tool_safe 1000000")
    scripts.append("u@1 before {}", operation_id="before")
    scripts.append(*[f"u@1 long {{{'x' * 400_000}}}"] * 6, operation_id="long")
    fields: list[Any] = scripts.client.hkeys(KEYS[0])
    for name in fields:
        if name.startswith(b"results."):
            scripts.client.hdel(KEYS[0], name)
    repeated = scripts.append("u@1 long {}", operation_id="long", elapsed_ms="5000")
    assert repeated.split()[1:4] == [b"1", b"2", b"7"]


def test_write_at_the_deadline_leaves_no_key_without_expiry(scripts: Scripts) -> None:
    """A write in the moment of the deadline leaves keys that expire, although the script writes again behind the expiry."""
    scripts.create()
    settings = str(scripts.client.hget(KEYS[0], "settings"), "utf-8")  # type: ignore[arg-type]
    *caps, _ = settings.split()
    past = f"{time.time() * 1000 - 1:.0f}"
    scripts.client.hset(KEYS[0], "settings", " ".join([*caps, past]))
    scripts.append("u@1 b {}", "a@2 b {}")
    scripts.append("u@1 c {}", operation_id="c")
    scripts("state/patch", *entries("state/patch"), **values("state/patch"))
    ttls_ms = [scripts.client.pttl(key) for key in scripts.client.scan_iter()]
    assert ttls_ms
    assert all(0 < ttl_ms <= 100 for ttl_ms in ttls_ms)


def test_writes_do_not_extend_a_session_past_its_deadline(scripts: Scripts) -> None:
    """A session that is written all the time ends at its deadline."""
    scripts.create(lifetime_ms="200")
    with pytest.raises(redis.ResponseError, match="SESSION_NOT_FOUND"):
        for number in range(2000):
            scripts.append(f"u@1 {number} {{}}", operation_id=str(number))
            time.sleep(0.005)
    await_true(lambda: scripts.client.keys() == [], 5)


@pytest.mark.parametrize("seconds", [0, 0.001, 0.093, 1, 93, 93**2, 93**4])
def test_times_are_compared_by_their_bytes(scripts: Scripts, seconds: float) -> None:
    """Times in headers are compared as numbers, and not as texts, whose order is that of the server's locale."""
    library = Path("lua/lib/records")
    source = "".join((library / f"{name}.lua").read_text() for name in ("encode_time", "is_earlier"))
    now = 1_700_000_000_000
    times = (now, now + round(seconds * 1000))
    for one, other in (times, times[::-1]):
        body = "return is_earlier(encode_time(ARGV[1] + 0) .. 'text', encode_time(ARGV[2] + 0)) and 1 or 0"
        assert scripts.client.eval(source + body, 0, one, other) == (one < other)


def test_info_leaves_out_results_of_deleted_children(scripts: Scripts) -> None:
    """The results that a root keeps of deleted children are for `children` alone, because they can be long."""
    scripts.create()
    scripts.client.hset(KEYS[0], mapping={"member_result.1": "x" * 1000, "meta.a": "1", "state.b": "2"})
    names = scripts("sessions/read_info", **values("sessions/read_info"))[::2]
    assert b"meta.a" in names
    assert not {b"member_result.1", b"state.b"} & {*names}
