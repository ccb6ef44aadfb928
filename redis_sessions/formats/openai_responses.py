"""Items of the OpenAI Responses API: messages, calls, their outputs and reasoning, each an item of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..models.formats import Facts, MessageFormat, Payload
from ._blocks import id_of, text_of_blocks, type_of
from .plain import FACTS_OF_ROLE

_CALL_NAMES = (
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "tool_search_call",
    "program",
)
_CALLS = dict.fromkeys(_CALL_NAMES, "call_id") | {"mcp_approval_request": "id"}
"""The key of the ID, for each type of item that needs an output."""
_OUTPUTS = {f"{name}_output": "call_id" for name in _CALL_NAMES} | {
    "tool_search_output": "call_id",
    "mcp_approval_response": "approval_request_id",
}
"""The key of the call's ID, for each type of item that is an output."""
_WITHOUT_IDS = {
    "reasoning": Facts("reasoning", binds_next=True),
    "compaction": Facts("reasoning"),
    "item_reference": Facts("reasoning"),
    "configuration_update": Facts("reasoning"),
    "additional_tools": Facts("tool_call"),
    # The API itself runs these tools. Their items hold both the call and the result.
    "mcp_call": Facts("tool_call"),
    "mcp_list_tools": Facts("tool_call"),
    "web_search_call": Facts("tool_call"),
    "file_search_call": Facts("tool_call"),
    "code_interpreter_call": Facts("tool_call"),
    "image_generation_call": Facts("tool_call"),
    "tool_search_call": Facts("tool_call"),
    "tool_search_output": Facts("tool_message"),
}
_BLANK_SCREENSHOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
_MESSAGE_ROLES = frozenset({"user", "assistant", "system", "developer"})
_MARKS = frozenset({"input_text", "output_text", "input_image", "input_file"})
_TEXT = ("input_text", "output_text", "text", "refusal")


class OpenAIResponsesFormat(MessageFormat):
    """Responses items. An output may stand anywhere behind its call. A reasoning item binds the item that follows it."""

    name = "openai_responses"
    goes_on_anywhere = True

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts by the type of the item. None for a message that other formats share."""
        kind, content = type_of(payload), payload.get("content")
        if not kind and not isinstance(content, list):
            return None
        if kind in _CALLS and (id := id_of(payload.get(_CALLS[kind]))):
            return Facts("tool_call", opens=(id,))
        if kind in _OUTPUTS and (id := _answered(payload, kind)):
            return Facts("tool_message", closes=(id,))
        role = payload.get("role")
        if role is None or kind == "additional_tools":
            return _WITHOUT_IDS.get(kind)
        if not isinstance(role, str) or role not in _MESSAGE_ROLES:
            return None
        is_marked = isinstance(content, list) and any(type_of(part) in _MARKS for part in content)
        return FACTS_OF_ROLE[role] if kind == "message" or is_marked else None

    def text(self, payload: Payload) -> str:
        """Return the text of a message. '' for all other items."""
        return text_of_blocks(payload.get("content"), _TEXT) if "role" in payload else ""

    def user_message(self, text: str) -> Payload:
        """Return a user message with a text."""
        return {"role": "user", "content": text}

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return the output item of a function call."""
        return {"type": "function_call_output", "call_id": call_id, "output": text}

    def programs(self, payload: Payload) -> tuple[str, ...]:
        """Return the ID of the program that made a call, or a result of the vendor's own tools."""
        owner = _program_of(payload)
        return (owner,) if owner else ()

    def is_going_on(self, payload: Payload, call_id: str, behind: Sequence[Payload]) -> bool:
        """Return True for an async call, whose output comes in a later turn, and for a program that has the output of a tool."""
        if type_of(payload) != "program":
            return payload.get("async") is True
        own = [one for one in behind if _program_of(one) == call_id]
        calls = {_call_of(one) for one in own if type_of(one) in _CALLS}
        outputs = {_answered(one, type_of(one)) for one in behind if type_of(one) in _OUTPUTS}
        return not calls.isdisjoint(outputs) or any(type_of(one) not in _CALLS for one in own)

    def answer(self, payload: Payload, call_id: str, text: str) -> Payload | None:
        """Return the output item that the kind of the call wants, with the text if the item can hold one. None for a program."""
        kind = type_of(payload)
        if kind == "program":
            return None
        if kind == "mcp_approval_request":
            return {"type": "mcp_approval_response", "approval_request_id": call_id, "approve": False, "reason": text}
        if kind == "local_shell_call":
            return {"type": "local_shell_call_output", "id": call_id, "output": text}
        if kind in _CALLS:
            caller = {"caller": payload["caller"]} if isinstance(payload.get("caller"), dict) else {}
            return {**_output(kind, call_id, text), **caller}
        return self.call_result(call_id, "", text)

    def keep(
        self, payload: Payload, keeps_call: Callable[[str], bool], keeps_result: Callable[[str], bool]
    ) -> Payload | None:
        """Return the item, or None if it is a call or an output that is not kept."""
        facts = self.facts(payload) or Facts("")
        calls = (*facts.opens, *self.programs(payload))
        return payload if all(map(keeps_call, calls)) and all(map(keeps_result, facts.closes)) else None

    def join(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Merge neighbouring updates of the configuration. What a program made that is not among the payloads leaves."""
        programs = {_call_of(payload) for payload in payloads if type_of(payload) == "program"}
        gone: set[str] = set()
        joined: list[Payload] = []
        for payload in payloads:
            kind = type_of(payload)
            if not programs.issuperset(self.programs(payload)):
                gone |= {_call_of(payload)} if kind in _CALLS else set()
                while joined and type_of(joined[-1]) == "reasoning":
                    joined.pop()
            elif kind == "configuration_update" and joined and type_of(joined[-1]) == kind:
                joined[-1] = {**joined[-1], **payload}
            elif not (kind in _OUTPUTS and _answered(payload, kind) in gone):
                joined.append(payload)
        return joined


def _program_of(payload: Payload) -> str:
    """Return the ID of the program that made an item. '' if the model made it."""
    caller = payload.get("caller")
    if not isinstance(caller, dict) or caller.get("type") != "program":
        return ""
    return id_of(caller.get("caller_id"))


def _call_of(payload: Payload) -> str:
    return id_of(payload.get(_CALLS[type_of(payload)]))


def _output(kind: str, call_id: str, text: str) -> Payload:
    """Return the output item of a call. A computer call and a tool search take no text."""
    item: Payload = {"type": f"{kind}_output", "call_id": call_id}
    if kind == "computer_call":
        return {**item, "output": {"type": "computer_screenshot", "image_url": _BLANK_SCREENSHOT}}
    if kind == "shell_call":
        return {**item, "output": [{"stdout": "", "stderr": text, "outcome": {"type": "exit", "exit_code": 1}}]}
    if kind == "apply_patch_call":
        return {**item, "status": "failed", "output": text}
    if kind == "tool_search_call":
        return {**item, "type": "tool_search_output", "execution": "client", "tools": [], "status": "completed"}
    return {**item, "output": text}


def _answered(payload: Payload, kind: str) -> str:
    """Return the ID of the call that an output answers. A local shell's output may have it as its own `id`."""
    id = id_of(payload.get(_OUTPUTS[kind]))
    return id or (id_of(payload.get("id")) if kind == "local_shell_call_output" else "")
