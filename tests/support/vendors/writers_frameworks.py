"""Messages of frameworks: LangChain, Pydantic AI, AI SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .writer import IMAGE, Call, Payload, Writer

MOMENT = "2026-01-01T00:00:00Z"


class LangChain(Writer):
    """Write dicts of LangChain messages, in one of two forms for a whole conversation."""

    name = "langchain"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.is_flat = self.rng.random() < 0.3
        self.provider = self.rng.choice(("openai", "openai", "anthropic"))

    @property
    def joins(self) -> bool:
        return False

    def _message(self, type: str, content: Any, **data: Any) -> Payload:
        fields = {
            "content": content,
            "additional_kwargs": {},
            "response_metadata": {},
            "type": type,
            "name": None,
            **data,
        }
        return fields if self.is_flat else {"type": type, "data": fields}

    def user_payload(self, text: str) -> Payload:
        return self._message("human", text)

    def image_payload(self, text: str) -> Payload:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}
        return self._message("human", [{"type": "text", "text": text}, image])

    def system_payload(self, text: str) -> Payload:
        return self._message("system", text)

    def answer_payload(self, text: str, thinks: bool) -> Payload:
        return self._message("ai", text, tool_calls=[], invalid_tool_calls=[], id=f"run-{self.number()}")

    def calls_payload(self, calls: Sequence[Call], text: str, thinks: bool) -> Payload:
        made = [{"name": call.tool, "args": {"q": call.mark}, "id": call.id, "type": "tool_call"} for call in calls]
        content: Any = text
        more: dict[str, Any] = {}
        if self.provider == "anthropic":
            said = [{"type": "text", "text": text}] if text else []
            uses = [{"type": "tool_use", "id": call.id, "name": call.tool, "input": {"q": call.mark}} for call in calls]
            thought = [{"type": "thinking", "thinking": "Let me think.", "signature": "sig"}] if thinks else []
            content = [*thought, *said, *uses]
        elif thinks:
            raw = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.tool, "arguments": f'{{"q": "{call.mark}"}}'},
                }
                for call in calls
            ]
            more["additional_kwargs"] = {"tool_calls": raw}
        return self._message("ai", content, tool_calls=made, invalid_tool_calls=[], id=f"run-{self.number()}", **more)

    def results_payload(self, calls: Sequence[Call]) -> Payload:
        call = calls[0]
        return self._message("tool", call.mark, tool_call_id=call.id, status="success", name=call.tool)


class PydanticAI(Writer):
    """Write dicts of Pydantic AI messages."""

    name = "pydantic_ai"

    def user_payload(self, text: str) -> Payload:
        return self._request({"part_kind": "user-prompt", "content": text, "timestamp": MOMENT})

    def image_payload(self, text: str) -> Payload:
        image = {"kind": "image-url", "url": "https://example.com/pixel.png"}
        return self._request({"part_kind": "user-prompt", "content": [text, image], "timestamp": MOMENT})

    def system_payload(self, text: str) -> Payload:
        return self._request({"part_kind": "system-prompt", "content": text, "timestamp": MOMENT})

    def _request(self, *parts: Payload) -> Payload:
        return {"kind": "request", "parts": list(parts), "instructions": None}

    def _response(self, parts: list[Payload], thinks: bool) -> Payload:
        thought = (
            [{"part_kind": "thinking", "content": "Let me think.", "id": None, "signature": None}] if thinks else []
        )
        return {"kind": "response", "parts": [*thought, *parts], "model_name": "m", "timestamp": MOMENT}

    def answer_payload(self, text: str, thinks: bool) -> Payload:
        return self._response([{"part_kind": "text", "content": text}], thinks)

    def calls_payload(self, calls: Sequence[Call], text: str, thinks: bool) -> Payload:
        said: list[Payload] = [{"part_kind": "text", "content": text}] if text else []
        for call in calls:
            part = {"part_kind": "tool-call", "tool_name": call.tool, "args": {"q": call.mark}, "tool_call_id": call.id}
            said.append(part)
        return self._response(said, thinks)

    def results_payload(self, calls: Sequence[Call]) -> Payload:
        parts: list[Payload] = []
        for call in calls:
            kind = "retry-prompt" if self.rng.random() < 0.1 else "tool-return"
            part = {"part_kind": kind, "tool_name": call.tool, "content": call.mark, "tool_call_id": call.id}
            parts.append({**part, "timestamp": MOMENT})
        return self._request(*parts)


class AISDK(Writer):
    """Write model messages of the AI SDK."""

    name = "ai_sdk"

    def user_payload(self, text: str) -> Payload:
        if self.rng.random() < 0.5:
            return {"role": "user", "content": text}
        return {"role": "user", "content": [{"type": "text", "text": text}]}

    def image_payload(self, text: str) -> Payload:
        image = {"type": "image", "image": IMAGE, "mediaType": "image/png"}
        return {"role": "user", "content": [{"type": "text", "text": text}, image]}

    def answer_payload(self, text: str, thinks: bool) -> Payload:
        parts = [*_reasoning(thinks), {"type": "text", "text": text}]
        if self.rng.random() < 0.1:
            id = f"srv_{self.number()}"
            call = {
                "type": "tool-call",
                "toolCallId": id,
                "toolName": "web_search",
                "input": {},
                "providerExecuted": True,
            }
            output = {"type": "json", "value": []}
            result = {"type": "tool-result", "toolCallId": id, "toolName": "web_search", "output": output}
            parts[-1:-1] = [call, result]
        return {"role": "assistant", "content": parts}

    def calls_payload(self, calls: Sequence[Call], text: str, thinks: bool) -> Payload:
        parts = [*_reasoning(thinks), *([{"type": "text", "text": text}] if text else [])]
        for call in calls:
            part = {"type": "tool-call", "toolCallId": call.id, "toolName": call.tool, "input": {"q": call.mark}}
            parts.append(part)
        return {"role": "assistant", "content": parts}

    def results_payload(self, calls: Sequence[Call]) -> Payload:
        parts = []
        for call in calls:
            output = {"type": "text", "value": call.mark}
            parts.append({"type": "tool-result", "toolCallId": call.id, "toolName": call.tool, "output": output})
        return {"role": "tool", "content": parts}


def _reasoning(thinks: bool) -> list[dict[str, Any]]:
    return [{"type": "reasoning", "text": "Let me think."}] if thinks else []
