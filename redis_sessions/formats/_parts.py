"""Read and filter untrusted lists of parts, each of which may be a call or a result. No function here raises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..models.formats import Facts, Payload

Keeps = Callable[[str], bool]


class Use(NamedTuple):
    """The tool use of one part: the ID of its call and the ID of its result, each '' if the part has none."""

    call: str = ""
    result: str = ""


def parts_in(value: Any) -> list[Any]:
    """Return a list as it is, and an empty list for any other value."""
    return value if isinstance(value, list) else []


def dicts_in(value: Any) -> list[Payload]:
    """Return the dicts of a list. Empty for a value of any other type."""
    return [part for part in parts_in(value) if isinstance(part, dict)]


def texts_of(parts: Iterable[Any]) -> str:
    """Return the `text` of parts, one a line. Parts without a text that is a str are left out."""
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def ids_of(named: Iterable[tuple[Any, Any]]) -> list[str]:
    """Return one ID for each pair of an ID and a tool's name.

    An ID becomes text. A missing ID becomes the name, and for the second of that name '<name>/2'. '' if both are missing.
    """
    seen: Counter[str] = Counter()
    ids = []
    for given, name in named:
        if given is not None and given != "":
            ids.append(str(given))
            continue
        word = "" if name is None else str(name)
        seen[word] += 1
        ids.append(word if seen[word] == 1 or not word else f"{word}/{seen[word]}")
    return ids


def facts_of(kind: str, uses: Sequence[Use]) -> Facts:
    """Return facts with the calls and the results of all parts. An ID that occurs twice counts once."""
    opens = tuple(dict.fromkeys(use.call for use in uses if use.call))
    closes = tuple(dict.fromkeys(use.result for use in uses if use.result))
    return Facts(kind, opens, closes)


def stays(use: Use, keeps_call: Keeps, keeps_result: Keeps) -> bool:
    """Return False if the part has a call or a result that is not kept."""
    return (not use.call or keeps_call(use.call)) and (not use.result or keeps_result(use.result))


def kept_parts(parts: Sequence[Any], kept: Sequence[bool], is_reasoning: Callable[[Any], bool]) -> list[Any]:
    """Return the kept parts. Reasoning leaves with the parts that follow it, if none of them is kept."""
    left = []
    removed = remains = in_reasoning = False
    for part, keep in zip(reversed(parts), reversed(kept), strict=True):
        if is_reasoning(part):
            in_reasoning = True
            keep = keep and (remains or not removed)
        else:
            if in_reasoning:
                removed = remains = in_reasoning = False
            removed, remains = removed or not keep, remains or keep
        if keep:
            left.append(part)
    return left[::-1]
