"""A graph that waits for a human, goes on in a new event loop, and branches: python langgraph_branches.py [URL]."""

from __future__ import annotations

import asyncio
import operator
import sys
from typing import Annotated, Any

from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from redis_sessions.integrations.langgraph import RedisSessionsSaver, RedisSessionsStore


class State(TypedDict):
    """The state of the graph."""

    lines: Annotated[list[str], operator.add]


def ask(state: State) -> dict[str, Any]:
    answer = interrupt("Which belt?")
    return {"lines": [f"agent: I look at belt {answer}."]}


def main(url: str) -> None:
    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    config: Any = {"configurable": {"thread_id": "trip 7 / mia"}}
    with RedisSessionsSaver(url) as saver, RedisSessionsStore(url) as store:
        graph = builder.compile(checkpointer=saver, store=store)
        stopped = graph.invoke({"lines": ["user: Where is my bag?"]}, config)
        print("waits:", stopped["__interrupt__"][0].value)
        done = asyncio.run(graph.ainvoke(Command(resume="4"), config))
        print("done:", done["lines"][-1])
        waiting = next(one for one in graph.get_state_history(config) if one.next)
        branch = graph.update_state(waiting.config, {"lines": ["user: It is red."]}, as_node="ask")
        print("branch:", graph.get_state(branch).values["lines"])
        store.put(("users", "mia"), "bag", {"colour": "red"})
        print("item:", store.search(("users",), filter={"colour": "red"})[0].value)
        saver.prune(["trip 7 / mia"])
        print("kept:", len(list(saver.list(config))))


main(sys.argv[1] if len(sys.argv) > 1 else "embedded://")
