"""A chat page whose answers appear word by word, also after a reload in the middle of an answer.

python examples/sse_chat.py [URL] [PORT], then open http://127.0.0.1:8000. Needs uvicorn.
"""

import asyncio
import sys
from typing import Any

import uvicorn

from redis_sessions import AsyncSessionCache
from redis_sessions.sse import EventStreamResponse, stream_session

PAGE = b"""<!doctype html><meta charset="utf-8"><title>Chat</title><ol id="log"></ol>
<p id="answer"></p><form id="form"><input id="text" autofocus></form><script>
const [log, answer, text] = ["log", "answer", "text"].map((id) => document.getElementById(id))
const events = new EventSource("/events")
events.addEventListener("message", (event) => {
  log.append(Object.assign(document.createElement("li"), {textContent: JSON.parse(event.data).payload.content}))
  answer.textContent = ""
})
events.addEventListener("delta", (event) => {
  const {number, data} = JSON.parse(event.data)
  answer.textContent = (number === 1 ? "" : answer.textContent) + data
})
events.addEventListener("end", (event) => event.lastEventId === "end" && events.close())
document.getElementById("form").onsubmit = (event) => {
  event.preventDefault()
  fetch("/say", {method: "POST", body: text.value})
  text.value = ""
}
</script>"""
cache = AsyncSessionCache.from_url(sys.argv[1] if len(sys.argv) > 1 else "embedded://")


async def answer(question: str) -> None:
    """Answer a question word by word, as a model does."""
    session = await cache.get_or_create("chat")
    await session.append({"role": "user", "content": question})
    for word in (words := f"You asked: {question} I do not know.".split(" ")):
        await session.publish(f"{word} ")
        await asyncio.sleep(0.05)
    await session.append({"role": "assistant", "content": " ".join(words)})


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serve the page, its events, and its questions."""
    if scope["path"] == "/events":
        session = await cache.get_or_create("chat")
        await EventStreamResponse(lambda id: stream_session(session, id))(scope, receive, send)
        return
    if scope["path"] == "/say":
        await answer((await receive())["body"].decode())
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": PAGE if scope["path"] == "/" else b""})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]) if len(sys.argv) > 2 else 8000, lifespan="off", timeout_graceful_shutdown=1)
