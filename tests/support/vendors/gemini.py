"""Gemini generateContent: the rules of `contents`.

- The first content is from the user.
- A content with functionCall parts comes directly behind a user content or a content with functionResponse parts.
- The content behind it has as many functionResponse parts as it has functionCall parts, one for each. If the call and the
  result have IDs, the IDs are equal. Else the result names the function of the call.
- A result names the function of its call.
- A content has parts, and each part has data.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from .pairing import Links, check_names, check_results_in_next, dicts

_CALL = ("functionCall", "function_call")
_RESULT = ("functionResponse", "function_response")
_ROLES = ("user", "model", "function")


def problems(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the reasons why the vendor refuses a list, [] if the vendor accepts the list."""
    if not payloads:
        return ["the list is empty"]
    found = []
    if payloads[0].get("role", "user") != "user" or links(payloads[0]).results:
        found.append("content 0: the first content is not a user's")
    for number, payload in enumerate(payloads):
        found += [f"content {number}: {text}" for text in _shape(payload)]
        if number and links(payload).calls and payloads[number - 1].get("role") == "model":
            found.append(f"content {number}: functionCall parts follow a model content")
    named = [_named(payload) for payload in payloads]
    found += check_names(
        (pair for calls, _ in named for pair in calls), (pair for _, results in named for pair in results)
    )
    paired = [links(payload) for payload in payloads]
    for number, (before, payload) in enumerate(pairwise(payloads), 1):
        paired[number] = paired[number]._replace(results=_called(before, payload))
    return found + check_results_in_next(paired)


def links(payload: dict[str, Any]) -> Links:
    """Return the calls and results of a content. The first call of a name has the name as its ID, the second 'name/2'."""
    parts = dicts(payload.get("parts"))
    return Links(
        _numbered(parts, "functionCall", "function_call"), _numbered(parts, "functionResponse", "function_response")
    )


def _called(before: dict[str, Any], payload: dict[str, Any]) -> tuple[str, ...]:
    """Return the results of a content, each with the ID of its call in the content before, or with its own."""
    calls, results = _named(before)[0], _named(payload)[1]
    left = {id: name for id, name in calls if id not in {result for result, _ in results}}
    has_id = {id for key in _CALL for part in dicts(before.get("parts")) if (id := (part.get(key) or {}).get("id"))}
    own = {id for key in _RESULT for part in dicts(payload.get("parts")) if (id := (part.get(key) or {}).get("id"))}
    found = []
    for id, name in results:
        fits = [call for call in left if left[call] == name and not (id in own and call in has_id)]
        if id not in dict(calls) and fits:
            id = fits[0]
            del left[id]
        found.append(id)
    return tuple(found)


def _named(payload: dict[str, Any]) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    found = []
    for ids, keys in zip(
        links(payload), (("functionCall", "function_call"), ("functionResponse", "function_response")), strict=True
    ):
        values = [part[key] for part in dicts(payload.get("parts")) for key in keys if isinstance(part.get(key), dict)]
        found.append([(id, value.get("name")) for id, value in zip(ids, values, strict=True)])
    return found[0], found[1]


def _numbered(parts: list[dict[str, Any]], *keys: str) -> tuple[str, ...]:
    ids: list[str] = []
    names: dict[str, int] = {}
    for part in parts:
        value = next((part[key] for key in keys if isinstance(part.get(key), dict)), None)
        if value is None:
            continue
        name = str(value.get("name"))
        names[name] = names.get(name, 0) + 1
        ids.append(str(value["id"]) if value.get("id") else f"{name}/{names[name]}")
    return tuple(ids)


def _shape(payload: dict[str, Any]) -> list[str]:
    role, parts = payload.get("role", "user"), payload.get("parts")
    if role not in _ROLES:
        return [f"the role {role!r} is unknown"]
    if not isinstance(parts, list) or not parts:
        return ["there are no parts"]
    found = [f"part {number} has no data" for number, part in enumerate(parts) if not _has_data(part)]
    own = links(payload)
    if own.calls and role != "model":
        found.append(f"a {role} content has functionCall parts")
    if own.results and role == "model":
        found.append("a model content has functionResponse parts")
    return found


def _has_data(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    data = {
        key: value for key, value in part.items() if key not in ("thought", "thoughtSignature", "thought_signature")
    }
    return bool(data) and data.get("text") != ""
