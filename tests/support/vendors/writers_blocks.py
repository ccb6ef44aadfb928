"""Messages with blocks or parts: Anthropic, Bedrock Converse, Gemini, and the lines of Claude Code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .writer import IMAGE, TOOLS, Call, Entry, Payload, Writer


class Anthropic(Writer):
    """Write messages of the Messages API."""

    name = "anthropic"
    is_user_first = True
    has_system = False
    ids = "toolu_{}"

    def user_payload(self, text: str) -> Payload:
        if self.rng.random() < 0.5:
            return {"role": "user", "content": text}
        return {"role": "user", "content": [{"type": "text", "text": text}]}

    def image_payload(self, text: str) -> Payload:
        source = {"type": "base64", "media_type": "image/png", "data": IMAGE}
        return {"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": text}]}

    def answer_payload(self, text: str, thinks: bool) -> Payload:
        blocks = [*_thinking(thinks), {"type": "text", "text": text}]
        if self.rng.random() < 0.1:
            id = f"srvtoolu_{self.number()}"
            use = {"type": "server_tool_use", "id": id, "name": "web_search", "input": {"query": "q"}}
            blocks[-1:-1] = [use, {"type": "web_search_tool_result", "tool_use_id": id, "content": []}]
        payload = {"role": "assistant", "content": blocks if len(blocks) > 1 or self.rng.random() < 0.5 else text}
        return self._response(payload)

    def _response(self, payload: Payload) -> Payload:
        """Return a message as the API responds with it, or without the fields of a response."""
        if isinstance(payload["content"], str) or self.rng.random() < 0.7:
            return payload
        return {"id": "msg", "type": "message", **payload, "model": "claude", "stop_reason": "end_turn", "usage": {}}

    def calls_payload(self, calls: Sequence[Call], text: str, thinks: bool) -> Payload:
        said = [{"type": "text", "text": text}] if text else []
        made = [{"type": "tool_use", "id": call.id, "name": call.tool, "input": {"q": call.mark}} for call in calls]
        return self._response({"role": "assistant", "content": [*_thinking(thinks), *said, *made]})

    def results_payload(self, calls: Sequence[Call]) -> Payload:
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": call.mark} for call in calls]
        return {"role": "user", "content": results}

    def answering(self, calls: Sequence[Call], together: bool) -> list[Entry]:
        """Return messages with results. The user sometimes says something in the last one."""
        entries = super().answering(calls, together)
        if self.rng.random() < 0.15:
            mark, last = self.mark(), entries[-1]
            said = self.user_payload(mark)["content"]
            blocks = said if isinstance(said, list) else [{"type": "text", "text": said}]
            payload = {"role": "user", "content": [*last.payload["content"], *blocks]}
            entries[-1] = Entry(payload, mark, (), last.results)
        return entries


def _thinking(thinks: bool) -> list[dict[str, Any]]:
    return [{"type": "thinking", "thinking": "Let me think.", "signature": "sig"}] if thinks else []


class ClaudeCode(Anthropic):
    """Write transcript lines of Claude Code: one line for each block of an assistant message."""

    name = "claude_code"

    def _line(self, message: Payload) -> Payload:
        return {
            "type": message["role"], "uuid": f"u-{self.number()}", "parentUuid": f"u-{self.count - 1}", "isSidechain": False,
            "sessionId": "s", "timestamp": "2026-01-01T00:00:00.000Z", "message": message,
        }  # fmt: skip

    def _lines(self, message: Payload) -> list[Payload]:
        blocks = message["content"]
        if isinstance(blocks, str):
            blocks = [{"type": "text", "text": blocks}]
        head = {"id": f"msg_{self.number()}", "type": "message", "role": "assistant", "model": "claude"}
        groups: list[list[dict[str, Any]]] = []
        for block in blocks:
            if groups and str(block["type"]).endswith("_tool_result"):
                groups[-1].append(block)
            else:
                groups.append([block])
        return [self._line({**head, "content": group}) for group in groups]

    def user_payload(self, text: str) -> Payload:
        return self._line(super().user_payload(text))

    def image_payload(self, text: str) -> Payload:
        return self._line(super().image_payload(text))

    def results_payload(self, calls: Sequence[Call]) -> Payload:
        return self._line(super().results_payload(calls))

    def answering(self, calls: Sequence[Call], together: bool) -> list[Entry]:
        return Writer.answering(self, calls, together)

    def answer(self) -> list[Entry]:
        mark = self.mark()
        lines = self._lines(self.answer_payload(mark, self.rng.random() < 0.3))
        return [*(Entry(line) for line in lines[:-1]), Entry(lines[-1], mark)]

    def calling(self, calls: Sequence[Call]) -> list[Entry]:
        mark = self.mark() if self.rng.random() < 0.4 else ""
        lines = self._lines(self.calls_payload(calls, mark, self.rng.random() < 0.5))
        before = len(lines) - len(calls)
        said = [
            Entry(line, mark if mark and number == before - 1 else "") for number, line in enumerate(lines[:before])
        ]
        return [
            *said,
            *(
                Entry(line, "", (call.id,), tools=(call.tool,))
                for line, call in zip(lines[before:], calls, strict=True)
            ),
        ]


class Bedrock(Writer):
    """Write messages of the Converse API."""

    name = "bedrock"
    is_user_first = True
    has_system = False
    ids = "tooluse_{}"

    def user_payload(self, text: str) -> Payload:
        return {"role": "user", "content": [{"text": text}]}

    def image_payload(self, text: str) -> Payload:
        image = {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://images/pixel.png"}}}}
        return {"role": "user", "content": [{"text": text}, image]}

    def _reasoning(self, thinks: bool) -> list[dict[str, Any]]:
        return (
            [{"reasoningContent": {"reasoningText": {"text": "Let me think.", "signature": "sig"}}}] if thinks else []
        )

    def answer_payload(self, text: str, thinks: bool) -> Payload:
        return {"role": "assistant", "content": [*self._reasoning(thinks), {"text": text}]}

    def calls_payload(self, calls: Sequence[Call], text: str, thinks: bool) -> Payload:
        made = [{"toolUse": {"toolUseId": call.id, "name": call.tool, "input": {"q": call.mark}}} for call in calls]
        return {"role": "assistant", "content": [*self._reasoning(thinks), *([{"text": text}] if text else []), *made]}

    def results_payload(self, calls: Sequence[Call]) -> Payload:
        results = [
            {"toolResult": {"toolUseId": call.id, "content": [{"text": call.mark}], "status": "success"}}
            for call in calls
        ]
        return {"role": "user", "content": results}


class Gemini(Writer):
    """Write contents of generateContent. A conversation has IDs in all its calls or in none, and so in its results.

    The Gemini API gives IDs to calls, and google-genai writes results without IDs when it calls a function itself.
    """

    name = "gemini"
    is_user_first = True
    has_system = False

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.has_ids, self.has_result_ids = self.rng.choice(
            ((True, True), (True, False), (False, False), (False, True))
        )
        self.tool_of: dict[str, str] = {}
        self.is_snake = self.rng.random() < 0.2

    def new_calls(self, count: int, used: Sequence[str] = (), busy: Sequence[str] = ()) -> list[Call]:
        """Return new calls. Where IDs are missing, the calls of one message have different tools, whose calls are not busy."""
        if self.has_ids and self.has_result_ids:
            return super().new_calls(count, used, busy)
        busy_tools = {self.tool_of.get(id, id) for id in busy}
        free = [tool for tool in TOOLS if tool not in busy_tools]
        tools = self.rng.sample(free, min(count, len(free)))
        calls = [Call(f"call_{self.number()}" if self.has_ids else tool, tool, self.mark()) for tool in tools]
        self.tool_of |= {call.id: call.tool for call in calls}
        return calls

    def _key(self, name: str) -> str:
        return (
            {"functionCall": "function_call", "functionResponse": "function_response"}[name] if self.is_snake else name
        )

    def user_payload(self, text: str) -> Payload:
        return {"role": "user", "parts": [{"text": text}]}

    def image_payload(self, text: str) -> Payload:
        image = {"inlineData": {"mimeType": "image/png", "data": IMAGE}}
        return {"role": "user", "parts": [{"text": text}, image]}

    def answer_payload(self, text: str, thinks: bool) -> Payload:
        thought = [{"text": "Let me think.", "thought": True}] if thinks else []
        return {"role": "model", "parts": [*thought, {"text": text}]}

    def calls_payload(self, calls: Sequence[Call], text: str, thinks: bool) -> Payload:
        made: list[Payload] = []
        for call in calls:
            own = {"id": call.id} if self.has_ids else {}
            made.append({self._key("functionCall"): {**own, "name": call.tool, "args": {"q": call.mark}}})
        if thinks:
            made[0]["thoughtSignature"] = "c2ln"
        return {"role": "model", "parts": [*([{"text": text}] if text else []), *made]}

    def results_payload(self, calls: Sequence[Call]) -> Payload:
        parts = []
        for call in calls:
            id = call.id if self.has_ids else f"result_{self.number()}"
            own = {"id": id} if self.has_result_ids else {}
            response = {**own, "name": call.tool, "response": {"output": call.mark}}
            parts.append({self._key("functionResponse"): response})
        return {"role": "user", "parts": parts}
