"""Messages of OpenAI: chat completions, and items of the Responses API."""

from __future__ import annotations

from collections.abc import Sequence

from .writer import IMAGE, PIXEL, Call, Entry, Payload, Writer


class OpenAIChat(Writer):
    """Write chat completion messages."""

    name = "openai_chat"

    @property
    def joins(self) -> bool:
        return False

    def image_payload(self, text: str) -> Payload:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}
        return {"role": "user", "content": [{"type": "text", "text": text}, image]}

    def system_payload(self, text: str) -> Payload:
        return {"role": self.rng.choice(("system", "developer")), "content": text}

    def calls_payload(self, calls: Sequence[Call], text: str, thinks: bool) -> Payload:
        made = [
            {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": f'{{"q": "{call.mark}"}}'}}
            for call in calls
        ]
        return {"role": "assistant", "content": text or None, "tool_calls": made}

    def results_payload(self, calls: Sequence[Call]) -> Payload:
        return {"role": "tool", "tool_call_id": calls[0].id, "content": calls[0].mark}


class OpenAIResponses(Writer):
    """Write items of the Responses API. One response of the model is several items."""

    name = "openai_responses"
    kinds = ("function_call",) * 12 + (
        "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call", "mcp_approval_request",
    )  # fmt: skip

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.kind_of: dict[str, str] = {}

    @property
    def joins(self) -> bool:
        return False

    def user_payload(self, text: str) -> Payload:
        if self.rng.random() < 0.5:
            return {"role": "user", "content": text}
        return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}

    def image_payload(self, text: str) -> Payload:
        image = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{IMAGE}"}
        return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}, image]}

    def system_payload(self, text: str) -> Payload:
        return {"role": "developer", "content": text}

    def _reasoning(self) -> Entry:
        return Entry({"type": "reasoning", "id": f"rs_{self.number()}", "summary": [], "encrypted_content": "gAAA"})

    def answer_payload(self, text: str, thinks: bool) -> Payload:
        return {
            "type": "message", "id": f"msg_{self.number()}", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }  # fmt: skip

    def answer(self) -> list[Entry]:
        if self.rng.random() < 0.2:
            mark = self.mark()
            return [Entry({"role": "assistant", "content": mark}, mark)]
        entries = super().answer()
        if self.rng.random() < 0.2:
            search = {"type": "web_search_call", "id": f"ws_{self.number()}", "status": "completed"}
            entries = [Entry({**search, "action": {"type": "search", "query": "q"}}), *entries]
        return self._reasoned(entries, 1)

    def calling(self, calls: Sequence[Call]) -> list[Entry]:
        entries = []
        for call in calls:
            payload = self.calls_payload([call], "", False)
            tool = call.tool if payload["type"] == "function_call" else ""
            entries.append(Entry(payload, calls=(call.id,), tools=(tool,)))
        if self.rng.random() < 0.2:
            return self._reasoned([*super().answer(), *entries], 1)
        return self._reasoned(entries, len(entries))

    def _reasoned(self, entries: list[Entry], bound: int) -> list[Entry]:
        """Put a reasoning item first, sometimes. The first `bound` items need it."""
        if self.rng.random() < 0.5:
            return entries
        first = self._reasoning()
        for entry in entries[:bound]:
            self.reasoning_of[entry.payload["id"]] = first.payload["id"]
        return [first, *entries]

    def calls_payload(self, calls: Sequence[Call], text: str, thinks: bool) -> Payload:
        id, tool, mark = calls[0]
        kind = "function_call" if id in self.kind_of else self.rng.choice(self.kinds)
        self.kind_of[id] = kind
        item: Payload = {"type": kind, "id": f"item_{self.number()}", "call_id": id, "status": "completed"}
        action = {"type": "exec", "command": ["ls", mark], "env": {}}
        return {
            "function_call": {**item, "name": tool, "arguments": f'{{"q": "{mark}"}}'},
            "custom_tool_call": {"type": kind, "id": item["id"], "call_id": id, "name": tool, "input": mark},
            "computer_call": {**item, "action": {"type": "screenshot"}, "pending_safety_checks": []},
            "local_shell_call": {**item, "action": action},
            "shell_call": {**item, "action": {"commands": ["ls", mark]}},
            "apply_patch_call": {**item, "operation": {"type": "delete_file", "path": mark}},
            "mcp_approval_request": {
                "type": kind, "id": id, "arguments": f'{{"q": "{mark}"}}', "name": tool, "server_label": "files",
            },
        }[kind]  # fmt: skip

    def results_payload(self, calls: Sequence[Call]) -> Payload:
        id, _, mark = calls[0]
        kind = self.kind_of.get(id, "function_call")
        item: Payload = {"type": f"{kind}_output", "call_id": id}
        image = {"type": "computer_screenshot", "image_url": f"data:image/png;base64,{PIXEL}", "file_id": mark}
        outcome = {"stdout": mark, "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
        return {
            "function_call": {**item, "output": mark},
            "custom_tool_call": {**item, "output": mark},
            "computer_call": {**item, "output": image},
            "local_shell_call": {"type": "local_shell_call_output", "id": id, "output": mark},
            "shell_call": {**item, "output": [outcome]},
            "apply_patch_call": {**item, "status": "completed", "output": mark},
            "mcp_approval_request": {
                "type": "mcp_approval_response", "approval_request_id": id, "approve": True, "reason": mark,
            },
        }[kind]  # fmt: skip
