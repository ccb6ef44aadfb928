"""Contents of Google's Gemini API, in camelCase as on the wire or in snake_case as of the Python SDK."""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import groupby
from typing import Any

from ..models.formats import Facts, MessageFormat, Payload
from ._parts import Keeps, Use, dicts_in, facts_of, ids_of, kept_parts, parts_in, stays, texts_of

_KEYS = {
    "text": "text",
    "functionCall": "function_call",
    "functionResponse": "function_response",
    "inlineData": "inline_data",
    "fileData": "file_data",
    "executableCode": "executable_code",
    "codeExecutionResult": "code_execution_result",
    "toolCall": "tool_call",
    "toolResponse": "tool_response",
}
_PART_KEYS = frozenset(_KEYS) | frozenset(_KEYS.values())
_FOREIGN_KEYS = ("type", "kind", "part_kind")
_USER_ROLES = ("user", "function", "tool")
_MODEL_ROLES = ("model", "assistant")
_SKIPS_VALIDATION = "skip_thought_signature_validator"
"""The value that Gemini documents for a call whose own thought signature does not exist."""


class GeminiFormat(MessageFormat):
    """Contents with `parts`. A call without an ID has the name of its function as its ID.

    The model gives IDs to its calls, and google-genai writes results without IDs when the SDK itself calls the function.
    """

    name = "gemini"
    starts_with_user = True
    has_system_messages = False

    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts of a content."""
        side = _side(payload)
        if side is None:
            return None
        parts = dicts_in(payload["parts"])
        if side == "model" and any(map(_is_thought, parts)) and not any(map(_has_content, parts)):
            return Facts("reasoning", binds_next=True)
        uses = _uses(parts)
        return facts_of(_kind(side, parts, uses), uses)._replace(tools=_tools(parts, uses))

    def text(self, payload: Payload) -> str:
        """Return the text parts without the model's thoughts."""
        return texts_of(part for part in dicts_in(payload.get("parts")) if not part.get("thought"))

    def user_message(self, text: str) -> Payload:
        """Return a content of the user."""
        return {"role": "user", "parts": [{"text": text}]}

    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return a content with one functionResponse. The ID is left out if it is only the function's name."""
        response: Payload = {} if call_id == tool_name else {"id": call_id}
        response |= {"name": tool_name or call_id, "response": {"output": text}}
        return {"role": "user", "parts": [{"functionResponse": response}]}

    def answer(self, payload: Payload, call_id: str, text: str) -> Payload:
        """Return a content with a synthetic result of one call, in the spelling of the call.

        The result of a call without an ID has none either. Only '<name>/<n>' is there until `join` has put it in its place.
        """
        parts = parts_in(payload.get("parts"))
        for part, use in zip(parts, _uses(parts), strict=True):
            if use.call == call_id:
                return {"role": "user", "parts": [_answer(part, call_id, text)]}
        return self.call_result(call_id, call_id, text)

    def keep(self, payload: Payload, keeps_call: Keeps, keeps_result: Keeps) -> Payload | None:
        """Return the content without some calls and results. A thought leaves with its call."""
        parts = parts_in(payload.get("parts"))
        kept = [stays(use, keeps_call, keeps_result) for use in _uses(parts)]
        if all(kept):
            return payload
        left = kept_parts(parts, kept, _is_thought)
        if not any(_has_content(part) for part in left):
            return None
        gone = [part for part, keep in zip(parts, kept, strict=True) if not keep]
        return {**payload, "parts": _signed(left, gone)}

    def join(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Merge neighbours of one role, results first and in the order of their calls."""
        joined: list[Payload] = []
        calls: list[Any] = []
        for side, run in groupby(payloads, key=_side):
            contents = list(run)
            if side == "model":
                joined.append(_merged(contents, "model", _all_parts(contents)))
                calls = _all_parts(contents)
            elif side == "user":
                joined.append(_merged(contents, "user", _results_first(contents, calls)))
                calls = []
            else:
                joined.extend(contents)
        return joined


def _side(payload: Payload) -> str | None:
    """Return user, model or system. None if the payload is not a content."""
    parts = payload.get("parts")
    role = payload.get("role")
    if not isinstance(parts, list) or not (role is None or isinstance(role, str)):
        return None
    own = [part for part in parts if isinstance(part, dict)]
    if any(isinstance(part.get(key), str) for part in own for key in _FOREIGN_KEYS):
        return None
    if not any(not _PART_KEYS.isdisjoint(part) for part in own) and (parts or role not in ("user", "model")):
        return None
    if role is None:
        return "model" if any(_field(part, "functionCall") is not None for part in own) else "user"
    if role in _MODEL_ROLES:
        return "model"
    return "user" if role in _USER_ROLES else "system" if role == "system" else None


def _kind(side: str, parts: Sequence[Payload], uses: Sequence[Use]) -> str:
    if side == "model":
        return "assistant_message"
    if side == "system":
        return "system_message"
    if not any(use.result for use in uses):
        return "user_message"
    others = (part for part in parts if _field(part, "functionResponse") is None)
    return "user_message" if any(_has_content(part) for part in others) else "tool_message"


def _field(part: Any, key: str) -> Any:
    """Return a field of a part by its camelCase name, in either spelling. None if it is missing."""
    if not isinstance(part, dict):
        return None
    found = part.get(key)
    return part.get(_KEYS[key]) if found is None else found


def _uses(parts: Sequence[Any]) -> list[Use]:
    """Return the call and the result of each part."""
    calls, results = _named(parts, "functionCall"), _named(parts, "functionResponse")
    return [Use(call, result) for call, result in zip(calls, results, strict=True)]


def _tools(parts: Sequence[Payload], uses: Sequence[Use]) -> tuple[tuple[str, str], ...]:
    """Return the function of each result, and of each call with an ID, numbered as the calls without an ID are."""
    found: list[tuple[str, str]] = []
    for key in ("functionCall", "functionResponse"):
        fields = [field for part in parts if isinstance(field := _field(part, key), dict) and field.get("id")]
        names = ids_of((None, field.get("name")) for field in fields)
        found += [(str(field["id"]), name) for field, name in zip(fields, names, strict=True) if name]
    with_id = dict(found)
    return (*found, *((use.result, use.result) for use in uses if use.result and use.result not in with_id))


def _answer(part: Payload, call_id: str, text: str) -> Payload:
    """Return a part with the result of the call in a part."""
    call = _field(part, "functionCall")
    name = str(call.get("name") or call_id)
    response: Payload = {"id": call_id} if call.get("id") or call_id != name else {}
    key = "functionResponse" if part.get("functionCall") is not None else "function_response"
    return {key: {**response, "name": name, "response": {"output": text}}}


def _named(parts: Sequence[Any], key: str) -> list[str]:
    fields = [_field(part, key) for part in parts]
    return ids_of((field.get("id"), field.get("name")) if isinstance(field, dict) else (None, None) for field in fields)


def _is_thought(part: Any) -> bool:
    """Return True for a thought. A call that is marked as a thought counts as a call."""
    uses = (_field(part, "functionCall"), _field(part, "functionResponse"))
    return isinstance(part, dict) and bool(part.get("thought")) and uses == (None, None)


def _has_content(part: Any) -> bool:
    """Return True for a part that may stand alone: not a thought, not an empty text."""
    return isinstance(part, dict) and not _is_thought(part) and any(_field(part, key) for key in _KEYS)


def _signature_key(part: Any) -> str:
    for key in ("thoughtSignature", "thought_signature"):
        if isinstance(part, dict) and part.get(key):
            return key
    return ""


def _signed(left: list[Any], gone: Sequence[Any]) -> list[Any]:
    """Return the parts with a signature at the first call, because Gemini wants one if the call that had it left."""
    keys = [key for key in map(_signature_key, gone) if key]
    calls = [index for index, part in enumerate(left) if _field(part, "functionCall") is not None]
    if not keys or not calls or _signature_key(left[calls[0]]):
        return left
    first = {**left[calls[0]], keys[0]: _SKIPS_VALIDATION}
    return [first if index == calls[0] else part for index, part in enumerate(left)]


def _all_parts(contents: Sequence[Payload]) -> list[Any]:
    return [part for content in contents for part in content["parts"]]


def _results_first(contents: Sequence[Payload], calls: Sequence[Any]) -> list[Any]:
    """Return the parts of contents of the user: results in the order of the calls before them, then the rest."""
    found = [pair for content in contents for pair in zip(_uses(content["parts"]), content["parts"], strict=True)]
    results = [(use.result, part) for use, part in found if use.result]
    own, free = _places(calls, {id for id, _ in results})
    placed = []
    for id, part in sorted(results, key=lambda result: _number(*result)):
        places = free.get(_name_of(part), [])
        place = own[id] if id in own else places.pop(0) if places else len(calls)
        placed.append((place, part if id in own else _without_number(part)))
    ordered = [part for _, part in sorted(placed, key=lambda pair: pair[0])]
    return ordered + [part for use, part in found if not use.result]


def _places(calls: Sequence[Any], answered: Container[str]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Return the places of the calls whose ID a result has by this ID, and those of the other calls by their name."""
    own: dict[str, int] = {}
    free: dict[str, list[int]] = {}
    for place, use in enumerate(_uses(calls)):
        call = _field(calls[place], "functionCall") if use.call else {}
        if call.get("id") and use.call in answered:
            own[use.call] = place
        elif use.call:
            free.setdefault(str(call.get("name")), []).append(place)
    return own, free


def _name_of(result: Payload) -> str:
    return str(_field(result, "functionResponse").get("name"))


def _number(id: str, result: Payload) -> int:
    """Return n for the ID '<name>/<n>', which stands for the nth call of a name, and 1 for any other ID."""
    prefix, digits = f"{_name_of(result)}/", id.rpartition("/")[2]
    return int(digits) if id == prefix + digits and digits.isdecimal() and len(digits) < 9 else 1


def _without_number(result: Payload) -> Payload:
    """Return a result without an ID that stands for the number of its call, because the call has no ID."""
    key = "functionResponse" if result.get("functionResponse") is not None else "function_response"
    response = result[key]
    if _number(str(response.get("id")), result) == 1:
        return result
    return {**result, key: {field: value for field, value in response.items() if field != "id"}}


def _merged(contents: Sequence[Payload], role: str, parts: list[Any]) -> Payload:
    """Return one content for several. The same object if it has these parts already."""
    first = contents[0]
    if len(contents) == 1:
        return first if parts == first["parts"] else {**first, "parts": parts}
    return {**first, "role": role, "parts": parts}
