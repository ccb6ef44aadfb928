"""The store of LangGraph with a namespace for each of many users."""

from __future__ import annotations

import pytest
from langgraph.store.base import ListNamespacesOp, MatchCondition, PutOp, SearchOp

from redis_sessions import SessionCache
from redis_sessions.integrations.langgraph import RedisSessionsStore
from tests.faults.test_round_trips import count_scripts
from tests.support.attempts import repeat_if_dearer
from tests.support.servers import Server

ONE = pytest.mark.parametrize("server", ["valkey-9"], indirect=True)


def add_users(store: RedisSessionsStore, first: int, last: int) -> None:
    """Store an item of each user, in a namespace of the user's own."""
    for start in range(first, last, 500):
        users = range(start, min(start + 500, last))
        store.batch([PutOp(("memories", f"user-{user:05}"), "k", {"user": user}) for user in users])


def test_reads_of_several_prefixes_find_what_each_asks_for(cache: SessionCache) -> None:
    """Searches and lists of one batch see the namespaces below their own prefixes, also where one begins with another."""
    with RedisSessionsStore(cache=cache) as store:
        for namespace in (("a",), ("a", "b"), ("ab",), ("ab", "c"), ("c",)):
            store.put(namespace, "k", {"at": list(namespace)})
        cache.documents("langgraphs").put_json("k", {"at": "another program"})
        found = store.batch(
            [
                SearchOp(("a",)), SearchOp(("ab", "c")), SearchOp(()), SearchOp(("b",)),
                ListNamespacesOp((MatchCondition("prefix", ("ab",)),)),
                ListNamespacesOp((MatchCondition("prefix", ("*", "c")),)),
                ListNamespacesOp((MatchCondition("suffix", ("b",)),)),
                ListNamespacesOp(),
            ]
        )  # fmt: skip
        searched = [sorted(item.namespace for item in one) for one in found[:4]]  # type: ignore[union-attr]
        everything = [("a",), ("a", "b"), ("ab",), ("ab", "c"), ("c",)]
        assert searched == [[("a",), ("a", "b")], [("ab", "c")], everything, []]
        assert found[4:] == [[("ab",), ("ab", "c")], [("ab", "c")], [("a", "b")], everything]
        assert [item.namespace for item in store.search(("a", "b"))] == [("a", "b")]
        assert store.list_namespaces(prefix=("c",)) == [("c",)]


@ONE
@repeat_if_dearer
def test_search_of_one_user_sends_as_much_with_many_others(server: Server, namespace: str) -> None:
    """A search of one namespace looks at no namespace of another user, also where the names of others begin with its name."""
    with RedisSessionsStore(server.url, namespace=namespace) as store:
        counts, known = [], 0
        store.put(("memories", "user-0"), "k", {"user": "short"})
        for users in (10, 10, 1500):  # the first round loads scripts
            add_users(store, known, users)
            known = users
            server.client.config_resetstat()
            assert [item.value for item in store.search(("memories", "user-00003"))] == [{"user": 3}]
            assert [item.value for item in store.search(("memories", "user-0"))] == [{"user": "short"}]
            assert store.list_namespaces(prefix=("memories", "user-00003"), max_depth=2) == [("memories", "user-00003")]
            counts.append(count_scripts(server))
        assert counts[2] <= counts[1]
    server.client.flushall()


@ONE
def test_store_takes_more_than_ten_thousand_users(server: Server, namespace: str) -> None:
    """A store has room for a namespace of each of many users."""
    with RedisSessionsStore(server.url, namespace=namespace) as store:
        add_users(store, 0, 10_001)
        assert [item.value for item in store.search(("memories", "user-10000"))] == [{"user": 10_000}]
    server.client.flushall()
