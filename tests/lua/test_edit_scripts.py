"""The scripts that edit, copy and read a transcript of groups, called on their own."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from redis_sessions._core.protocol.records import Counters
from tests.lua.calls import FORK, KEYS, Scripts, values

ONE, TWO = "aaaaaaaa", "bbbbbbbb"
"""The hashes of two calls."""
CALLS = f"aB1 b +{ONE}+{TWO} {{}}"
RESULTS = [f"tB1 b -{ONE} {{}}", f"tB1 b -{TWO} {{}}"]


def edit(scripts: Scripts, *rest: str, **changed: str) -> Any:
    """Edit the session. Without arguments nothing is removed."""
    return scripts("messages/edit", *rest, **values("messages/edit", after_seq="-1", **changed))


def edit_refused(scripts: Scripts, refusal: str, *rest: str, **changed: str) -> None:
    """Make an edit that must be refused and that leaves the session as it was."""
    scripts.refused(refusal, "messages/edit", *rest, **values("messages/edit", **{"after_seq": "-1", **changed}))


def raw(reply: Any) -> Any:
    """Return a reply whose texts are bytes, because the client decodes nothing."""
    return reply


def listed(scripts: Scripts, key: str = KEYS[1]) -> list[str]:
    """Return the messages of a list without their times."""
    return [str(element[8:], "utf-8") for element in raw(scripts.client.lrange(key, 0, -1))]


def field(scripts: Scripts, name: str, key: str = KEYS[0]) -> str | None:
    """Return a field of a session."""
    found = raw(scripts.client.hget(key, name))
    return None if found is None else str(found, "utf-8")


def counters_of(scripts: Scripts, key: str = KEYS[0]) -> Counters:
    """Return the counters of a session."""
    return Counters.parse(raw(scripts.client.hget(key, "counters")))


def assert_same_life(scripts: Scripts, *keys: str) -> None:
    """Check that keys expire together, within the minute that the session has."""
    left_ms = [scripts.client.pttl(key) for key in keys]
    assert all(59_000 < left <= 60_000 for left in left_ms)


def test_edit_replaces_tail_and_state_in_one_step(scripts: Scripts) -> None:
    """An edit checks fields, removes messages, appends others, and sets and removes fields. Its result is that of an append."""
    scripts.create("state.old", "1", caps="0 tool_safe 100")
    scripts.append("u@1 b {}", "a@2 b {}", "u@4 b {}")
    scripts.client.pexpire(KEYS[0], 1000)
    given = {
        "after_seq": "1",
        "last_seq": "3",
        "check_count": "2",
        "set_count": "1",
        "remove_count": "1",
    }
    rest = ["state.old", "1", "state.none", "", "state.new", "2", "state.old", "a@8 new {}", "u@16 new {}"]
    for _ in range(2):
        reply = scripts("messages/edit", *rest, **values("messages/edit", **given))
        assert reply[:2] == [b"L1", b"4 5 2 3 2 ok"]
    assert listed(scripts) == ["u@1 b {}", "a@8 new {}", "u@16 new {}"]
    assert (field(scripts, "state.new"), field(scripts, "state.old")) == ("2", None)
    assert field(scripts, "layout") == "- 0 - 0 0 2-3"
    assert counters_of(scripts)._replace(updated_us=0) == (5, 2, 2, 8 * 3 + 8 + 10 + 11, 25, 2, 1, 1, 1, 5, 0, 2, 5)
    assert_same_life(scripts, *KEYS)


def test_edit_without_messages_returns_what_it_removed(scripts: Scripts) -> None:
    """An edit that appends nothing returns the seq of the first removed message, and logs the change for watchers."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("u@1 b {}", "a@2 b {}", "u@4 b {}")
    assert edit(scripts, operation_id="pop") == [b"L1", b"0 3 2 3 0 abandoned 0 ok"]
    reply = scripts("messages/edit", **values("messages/edit", after_seq="2"))
    assert reply == [b"L1", b"3 3 3 2 1 abandoned 0 ok"]
    log = (field(scripts, "status_log") or "").splitlines()
    assert [line.split()[0::3] for line in log] == [["1", "edited:3"]]
    assert_same_life(scripts, *KEYS)


def test_edit_of_all_messages_clears_counts(scripts: Scripts) -> None:
    """An edit that removes all messages resets the counts and pins, keeps the seqs, and removes the list."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("uA1 b {}", CALLS)
    scripts("messages/edit", **values("messages/edit"))
    assert not scripts.client.exists(KEYS[1])
    assert (field(scripts, "pins"), field(scripts, "layout"), field(scripts, "cleared")) == (None, None, "2")
    assert counters_of(scripts)._replace(updated_us=0) == (2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2)
    assert scripts.append("u@1 c {}", operation_id="c") == [b"L1", 3, 3, 1]


def test_edit_abandons_calls(scripts: Scripts) -> None:
    """An edit abandons the named calls or all, its result counts them, and a later result is marked."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("u@1 b {}", CALLS)
    assert field(scripts, "layout") == f"{ONE}:2,{TWO}:2 2 - 0 0 -"
    assert edit(scripts, abandoned=ONE) == [b"L1", b"0 2 2 2 0 abandoned 1 ok"]
    assert field(scripts, "layout") == f"{TWO}:2 2 - 0 0 -"
    assert edit(scripts, abandoned=ONE, operation_id="again")[1].endswith(b" abandoned 0 ok")
    assert edit(scripts, abandoned="*", operation_id="all")[1].endswith(b" abandoned 1 ok")
    scripts.append(RESULTS[0], "u@1 b {}", operation_id="late")
    assert listed(scripts) == ["u@1 b {}", f"aB1 b !{ONE}!{TWO} {{}}", f"tB1 b ?{ONE} {{}}", "u@1 b {}"]
    assert field(scripts, "layout") in (None, "")


def test_call_whose_result_is_removed_is_open_again(scripts: Scripts) -> None:
    """A removed result leaves its call open, so that the result can be appended once more in the same group."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("u@1 b {}", CALLS, *RESULTS)
    assert field(scripts, "layout") in (None, "")
    scripts("messages/edit", **values("messages/edit", after_seq="3"))
    assert field(scripts, "layout") == f"{TWO}:2 2 - 0 0 4-4"
    scripts.append(RESULTS[1], "u@1 b {}", operation_id="again")
    assert listed(scripts)[3:] == [f"tF1 b -{TWO} {{}}", "u@1 b {}"]
    assert field(scripts, "layout") == "- 0 - 0 0 4-4"


def test_edit_that_cannot_be_made_is_refused(scripts: Scripts) -> None:
    """An edit is refused for each reason with its word and facts, and changes nothing, groups and fields included."""
    scripts.create("limits", "- 6 - error", "state.a", "1", caps="0 tool_safe 40")
    scripts.append("u@1 b {}", CALLS, RESULTS[0])
    edit_refused(scripts, "EDIT_CONFLICT", after_seq="4")
    edit_refused(scripts, "EDIT_CONFLICT", last_seq="2")
    edit_refused(scripts, "STATE_CONFLICT", "state.a", "2", check_count="1")
    edit_refused(scripts, "STATE_CONFLICT", "state.a", "", check_count="1")
    edit_refused(scripts, "STATE_CONFLICT", "state.b", "1", check_count="1")
    edit_refused(scripts, "BOUND_EXCEEDED", "state.b", "1", set_count="1", bounds="99 99 99 0")
    edit_refused(scripts, "BOUND_EXCEEDED", "state.b", "1", set_count="1", bounds="99 1 99 9")
    edit_refused(scripts, "LIMIT_EXCEEDED", *["u@1 new {}"] * 7, after_seq="2")
    edit_refused(scripts, "LIMIT_EXCEEDED", *["u@1 new {}"] * 7, after_seq="0")
    edit_refused(scripts, "MESSAGE_TOO_LARGE", "u@1 new {}", "u@1 new " + "x" * 41, after_seq="2")
    edit_refused(scripts, "REVISION_CONFLICT", after_seq="1", expected_rev="7")
    scripts("leases/acquire", **values("leases/acquire", nonce="n1"))
    edit_refused(scripts, "SESSION_LOCKED", after_seq="1")
    edit_refused(scripts, "LEASE_LOST", after_seq="1", lease="1 other")
    scripts("leases/release", operation_id="n1", lease="1 n1")
    scripts("sessions/set_status", status="paused")
    edit_refused(scripts, "SESSION_NOT_ACTIVE", after_seq="1")


STATES = [
    ('{"a":1,"b":[{"c":"x,}\\"","d":null},2]}', '{"b":[{"d":null,"c":"x,}\\""},2],"a":1}', True),
    ('{"a":{},"b":[],"c":"\\\\"}', '{"c":"\\\\","b":[],"a":{}}', True),
    ("[1,2]", "[2,1]", False),
    ('{"a":1}', '{"a":1.0}', False),
    ('{"a":1,"b":2}', '{"a":2,"b":1}', False),
    ('{"a:":"b"}', '{"a":":b"}', False),
    ("1", "", False),
    ("[", "[[", False),
    ('"', '"\\', False),
    ("[}", "[]", False),
]
"""Two JSON values, and whether they are equal but for the order of keys."""


@pytest.mark.parametrize(("stored", "given", "is_equal"), STATES)
def test_state_is_compared_without_the_order_of_keys(scripts: Scripts, stored: str, given: str, is_equal: bool) -> None:
    """A check holds for an object with its keys in another order, and not for another value. Damaged JSON is another value."""
    scripts.create("state.a", stored)
    for wanted in (stored, given):
        if is_equal or wanted == stored:
            edit(scripts, "state.a", wanted, check_count="1", operation_id=f"check{wanted == stored}")
        else:
            edit_refused(scripts, "STATE_CONFLICT", "state.a", wanted, check_count="1")


def test_edit_conflict_names_reason_and_seqs(scripts: Scripts) -> None:
    """The refusal has the reason, the seq that was given, and the highest seq."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("u@1 b {}")
    for given, facts in (({"after_seq": "4"}, "beyond_end 4 1 0 0"), ({"last_seq": "7"}, "moved 7 1 0 0")):
        with pytest.raises(redis.ResponseError, match=f"^EDIT_CONFLICT {facts}$"):
            scripts("messages/edit", **values("messages/edit", **{"after_seq": "-1", **given}))


def test_gaps_of_a_session_are_bounded(scripts: Scripts) -> None:
    """An edit is refused when the gaps of a session would need more than 12,000 bytes."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append(*["u@1 b {}"] * 1200)
    gaps = ",".join(f"{seq}-{seq}" for seq in range(100_001, 102_399, 2))
    counters = counters_of(scripts)._replace(last_seq=102_398, dropped=102_398 - 1200)
    scripts.client.hset(KEYS[0], mapping={"layout": f"- 0 - 0 0 {gaps}", "counters": str(counters)})
    edit_refused(scripts, "LIMIT_EXCEEDED", after_seq="102396")
    edit_refused(scripts, "LIMIT_EXCEEDED", "u@1 new {}", after_seq="102396")
    scripts("messages/edit", **values("messages/edit", after_seq="100000"))
    assert field(scripts, "layout") == "- 0 - 0 0 100001-102398"


def replace(scripts: Scripts, seq: int, entry: str, **changed: str) -> Any:
    """Replace one message."""
    return scripts(
        "messages/replace_message", **values("messages/replace_message", seq=str(seq), entry=entry, **changed)
    )


def test_replaced_message_keeps_place_time_flags_and_calls(scripts: Scripts) -> None:
    """A replaced message has its place, time, pin and marks of calls. A repeated call returns the first result."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("uA5 b {}", CALLS, *RESULTS)
    times = [element[:7] for element in scripts.client.lrange(KEYS[1], 0, -1)]
    scripts.client.pexpire(KEYS[0], 1000)
    bytes_before = counters_of(scripts).bytes
    for _ in range(2):
        assert replace(scripts, 1, 'u@1 r {"x":1}')[:2] == [b"L1", b"2 replace_message 4 0"]
    replace(scripts, 3, f'tB1 r -{ONE} {{"x":1}}', operation_id="r3")
    assert listed(scripts) == ['uA1 b {"x":1}', CALLS, f'tF1 b -{ONE} {{"x":1}}', f"tF1 b -{TWO} {{}}"]
    assert [element[:7] for element in scripts.client.lrange(KEYS[1], 0, -1)] == times
    counters = counters_of(scripts)
    assert (counters.bytes - bytes_before, counters.tokens) == (10, 4)
    assert (field(scripts, "status_log") or "").count("edited:") == 2
    assert_same_life(scripts, *KEYS)


def test_replaced_message_keeps_abandoned_and_late_marks(scripts: Scripts) -> None:
    """An abandoned call stays abandoned, and a late result stays late, when their messages are replaced."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append(f"aB1 b +{ONE} {{}}")
    edit(scripts, abandoned="*")
    scripts.append(RESULTS[0], operation_id="late")
    replace(scripts, 1, f'aB1 r +{ONE} {{"x":1}}', operation_id="r1")
    replace(scripts, 2, f'tB1 r -{ONE} {{"x":1}}', operation_id="r2")
    assert listed(scripts) == [f'aB1 b !{ONE} {{"x":1}}', f'tB1 b ?{ONE} {{"x":1}}']


def test_kept_message_is_replaced_in_the_hash(scripts: Scripts) -> None:
    """A pinned message that the cap moved to the hash is replaced there, and keeps its pin."""
    scripts.create(caps="2 tool_safe 100")
    scripts.append("uA1 b {}", "a@1 b {}", "u@1 b {}", "a@1 b {}")
    assert (field(scripts, "kept.1") or "")[8:] == "uA1 b {}"
    replace(scripts, 1, 'u@1 r {"x":1}')
    assert (field(scripts, "kept.1") or "")[8:] == 'uA1 b {"x":1}'


def test_replacement_that_cannot_be_made_is_refused(scripts: Scripts) -> None:
    """A replacement is refused for another kind, other calls, a message that is gone, and a long one. A pause does not matter."""
    scripts.create(caps="3 tool_safe 40")
    scripts.append("u@1 b {}", "u@1 b {}", "u@1 b {}", CALLS)

    def refused(refusal: str, seq: int, entry: str, **changed: str) -> None:
        given = values("messages/replace_message", **{"seq": str(seq), "entry": entry, **changed})
        scripts.refused(refusal, "messages/replace_message", **given)

    refused("EDIT_CONFLICT", 3, "a@1 r {}")
    refused("EDIT_CONFLICT", 4, "a@1 r {}")
    refused("EDIT_CONFLICT", 4, f"aB1 r +{TWO}+{ONE} {{}}")
    refused("MESSAGE_NOT_FOUND", 1, "u@1 r {}")
    refused("MESSAGE_NOT_FOUND", 5, "u@1 r {}")
    refused("MESSAGE_TOO_LARGE", 3, "u@1 new " + "x" * 41)
    refused("REVISION_CONFLICT", 3, "u@1 r {}", expected_rev="9")
    scripts("leases/acquire", **values("leases/acquire", nonce="n1"))
    refused("SESSION_LOCKED", 3, "u@1 r {}")
    refused("LEASE_LOST", 3, "u@1 r {}", lease="1 other")
    scripts("leases/release", operation_id="n1", lease="1 n1")
    with pytest.raises(redis.ResponseError, match=r"^EDIT_CONFLICT other_calls 3 4 0 0$"):
        replace(scripts, 3, "a@1 r {}")
    scripts("sessions/set_status", status="paused")
    edit_refused(scripts, "SESSION_NOT_ACTIVE", "u@1 r {}")
    replace(scripts, 3, "u@1 r {}")


def test_pinned_group_is_pinned_and_kept_as_a_whole(scripts: Scripts) -> None:
    """A pin of one message pins its group, the cap moves the group to the hash, and an unpin drops the group."""
    scripts.create(caps="8 tool_safe 100")
    scripts.append("u@1 b {}", CALLS, *RESULTS, "a@1 b {}")
    scripts("messages/pin", **values("messages/pin", seq="3", pinned="1"))
    assert [entry[1] for entry in listed(scripts)] == ["@", "C", "G", "G", "@"]
    assert field(scripts, "pins") == "3"
    scripts.append(*["u@1 b {}"] * 6, operation_id="more")
    assert ((field(scripts, "layout") or "").split()[3], field(scripts, "kept_seqs")) == ("3", "2,3,4")
    assert scripts.client.llen(KEYS[1]) == 5
    scripts("messages/pin", **values("messages/pin", seq="4", pinned="0", operation_id="unpin"))
    assert (field(scripts, "pins"), field(scripts, "layout")) == ("0", None)
    assert not scripts.client.hexists(KEYS[0], "kept.2")
    assert_same_life(scripts, *KEYS)


def window(scripts: Scripts, **changed: str) -> Any:
    """Read a window."""
    return scripts("messages/read_window", **values("messages/read_window", **changed))


def test_window_ends_with_the_message_that_does_not_fit(scripts: Scripts) -> None:
    """A window has the newest messages first, up to the first one beyond the budget, which also pays for the prompt."""
    scripts.create("system", "Be brief.", "system_tokens", "3", "max_tokens", "7", "format", "anthropic")
    scripts.append("u@4 b {}", "a@4 b {}", "u@4 b {}")
    reply = window(scripts, budget="")
    assert reply[:8] == [b"L1", 3, b"Be brief.", b"3", b"anthropic", b"7", 2, [3, 2]]
    assert [element[8:] for element in reply[8]] == [b"u@4 b {}", b"a@4 b {}"]
    assert reply[9:] == [3, b""]
    assert window(scripts, budget="", below="2")[6:8] == [0, [1]]
    assert window(scripts, budget="99")[6:8] == [0, [3, 2, 1]]
    assert window(scripts, budget="0")[6:8] == [3, [3]]
    assert window(scripts, budget="99", max_bytes="1")[6:8] == [3, [3]]


def test_window_has_the_task_that_is_older(scripts: Scripts) -> None:
    """A window also has the newest user message when that is older than the messages, in the list or kept in the hash."""
    scripts.create("max_tokens", "99")
    scripts.append("u@4 b {}", "a@4 b {}", "a@4 b {}")
    assert window(scripts, budget="5")[7:8] == [[3, 2]]
    assert [value[8:] for value in window(scripts, budget="5")[10:]] == [b"u@4 b {}"]
    scripts.append("a@4 b {}", "a@4 b {}", operation_id="more")
    assert (field(scripts, "kept.1") or "")[8:] == "u@4 b {}"
    reply = window(scripts, budget="1")
    assert (reply[7], reply[9], reply[10][8:]) == ([5], 1, b"u@4 b {}")
    assert window(scripts, budget="99")[7] == [5, 4, 1]
    edit(scripts, operation_id="clear")
    scripts("messages/edit", **values("messages/edit", operation_id="clear2"))
    assert window(scripts)[6:] == [0, [], [], 0, b""]


def test_window_goes_on_when_many_messages_were_scanned(scripts: Scripts) -> None:
    """A window that looked at the allowed number of messages says where to go on."""
    scripts.create("max_tokens", "99", caps="0 tool_safe 100")
    scripts.append(*["u@1 b {}"] * 5)
    assert window(scripts, max_scanned="2")[6:8] == [4, [5, 4]]
    assert window(scripts, max_scanned="2", below="4")[6:8] == [2, [3, 2]]


def fork(scripts: Scripts, *fields: str, **changed: str) -> Any:
    """Copy the session."""
    given = {"caps": "* * *", "ttl_ms": "-1", "copied": "user name limits max_tokens", **changed}
    return scripts("sessions/fork", *fields, **values("sessions/fork", **given))


def test_fork_copies_session_up_to_a_message(scripts: Scripts) -> None:
    """A fork has the messages up to a seq, their counts, and the named fields, and lives as long as its source."""
    scripts.create("user", "mia", "state.a", "1", "var.b", "2", "meta.c", "3", "private", "x", caps="0 tool_safe 100")
    scripts.append("u@1 b {}", "a@2 b {}", "u@4 b {}", CALLS)
    scripts("leases/acquire", **values("leases/acquire", nonce="n1"))
    before = scripts.client.dump(KEYS[0])
    for _ in range(2):
        assert fork(scripts, "name", "branch", up_to="2") == [b"F1", 2]
    assert listed(scripts, FORK[1]) == ["u@1 b {}", "a@2 b {}"]
    stored = {name.decode(): value.decode() for name, value in raw(scripts.client.hgetall(FORK[0])).items()}
    counters = Counters.parse(stored.pop("counters").encode())
    assert counters[:10] == (2, 0, 0, 8 * 2 + 16, 3, 1, 1, 1, 0, 1)
    assert stored.pop("created") == str(counters.updated_us)
    assert stored == {
        "incarnation": "F1",
        "status": "active",
        "settings": "0 tool_safe 100 60000 -",
        "user": "mia",
        "name": "branch",
        "state.a": "1",
        "var.b": "2",
        "meta.c": "3",
        "value_bytes": "2 2 2 3",
    }
    assert scripts.client.dump(KEYS[0]) == before
    assert_same_life(scripts, *KEYS, *FORK)


def test_fork_leaves_call_that_waits_for_its_result(scripts: Scripts) -> None:
    """A fork of the whole session ends before an open call, and before a reasoning item without its next item."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("u@1 b {}", f"aB1 b +{ONE} {{}}", "u@1 b {}")
    assert fork(scripts) == [b"F1", 1]
    assert listed(scripts, FORK[1]) == ["u@1 b {}"]
    scripts.append(RESULTS[0], "rB1 b ~ {}", operation_id="more")
    scripts.client.delete(*FORK)
    assert fork(scripts) == [b"F1", 4]
    assert not scripts.client.hexists(FORK[0], "layout")


def test_fork_has_its_own_cap_lives_and_kept_messages(scripts: Scripts) -> None:
    """A fork with another cap drops its oldest messages, keeps pinned ones in its hash, and has the life that was given."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("uA1 b {}", *["u@1 b {}"] * 5)
    assert fork(scripts, caps="3 tool_safe 100", ttl_ms="30000", lifetime_ms="20000") == [b"F1", 6]
    assert listed(scripts, FORK[1]) == ["u@1 b {}"] * 2
    assert (field(scripts, "kept.1", FORK[0]) or "")[8:] == "uA1 b {}"
    assert (field(scripts, "layout", FORK[0]), field(scripts, "pins", FORK[0])) == ("- 0 - 1 0 -", "1")
    settings = (field(scripts, "settings", FORK[0]) or "").split()
    assert settings[:4] == ["3", "tool_safe", "100", "30000"]
    assert settings[4].isdigit()
    assert all(19_000 < scripts.client.pttl(key) <= 20_000 for key in FORK)


def test_fork_of_persistent_session_has_no_ttl(scripts: Scripts) -> None:
    """A fork of a session without a life has none, and a fork may get a life of its own."""
    scripts.create(ttl_ms="0")
    scripts.append("u@1 b {}")
    fork(scripts)
    assert [scripts.client.pttl(key) for key in FORK] == [-1, -1]
    scripts.client.delete(*FORK)
    fork(scripts, ttl_ms="60000")
    assert_same_life(scripts, *FORK)


def test_fork_copies_gaps_before_its_last_message(scripts: Scripts) -> None:
    """A fork has the gaps between its messages, and not the ones behind its last message."""
    scripts.create(caps="0 tool_safe 100")
    for round in ("1", "2"):
        scripts.append(*["u@1 b {}"] * 3, operation_id=f"add{round}")
        last = counters_of(scripts).last_seq
        scripts("messages/edit", **values("messages/edit", after_seq=str(last - 2), operation_id=f"cut{round}"))
    assert field(scripts, "layout") == "- 0 - 0 0 2-3,5-6"
    assert fork(scripts) == [b"F1", 6]
    assert field(scripts, "layout", FORK[0]) == "- 0 - 0 0 2-3,5-6"
    scripts.client.delete(*FORK)
    assert fork(scripts, up_to="1") == [b"F1", 1]
    assert not scripts.client.hexists(FORK[0], "layout")
    scripts.append("u@1 b {}", operation_id="last")
    scripts.client.delete(*FORK)
    assert fork(scripts, up_to="4") == [b"F1", 4]
    assert field(scripts, "layout", FORK[0]) == "- 0 - 0 0 2-3"
    counters = counters_of(scripts, FORK[0])
    assert (counters.last_seq, counters.dropped) == (4, 2)


def test_fork_that_cannot_be_made_is_refused(scripts: Scripts) -> None:
    """A fork is refused inside a group, beyond the end, for an ID in use, and for pins that its cap cannot hold."""
    scripts.create(caps="0 tool_safe 100")
    scripts.append("uA1 b {}", CALLS, *RESULTS, "u@1 b {}")

    def refused(refusal: str, **changed: str) -> None:
        scripts.refused(
            refusal, "sessions/fork", **values("sessions/fork", **{"caps": "* * *", "ttl_ms": "-1", **changed})
        )
        assert scripts.client.exists(*FORK) == 0

    refused("EDIT_CONFLICT", up_to="2")
    refused("EDIT_CONFLICT", up_to="6")
    refused("LIMIT_EXCEEDED", caps="1 tool_safe 100")
    for up_to, facts in (("3", "in_group 3 5 1 4"), ("9", "beyond_end 9 5 5 0")):
        with pytest.raises(redis.ResponseError, match=f"^EDIT_CONFLICT {facts}$"):
            fork(scripts, up_to=up_to)
    assert fork(scripts) == [b"F1", 5]
    scripts.refused("SESSION_EXISTS", "sessions/fork", **values("sessions/fork", ttl_ms="-1", new_incarnation="F2"))
    assert field(scripts, "incarnation", FORK[0]) == "F1"
