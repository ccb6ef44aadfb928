"""Convert the objects of SDKs to the JSON values that their SDKs send."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from .._printable import error_text
from ..errors import InvalidInput

_OWN_DUMPS = ("to_dict", "to_json_dict")
"""The methods by which SDKs return the JSON object of an object: openai, anthropic, langchain; google-genai."""
MAX_PATH_LENGTH = 200
_HINTS: dict[type, str] = {
    bytes: "; encode it, for example with base64",
    bytearray: "; encode it, for example with base64",
    memoryview: "; encode it, for example with base64",
    tuple: "; make it a list",
    set: "; make it a list",
    frozenset: "; make it a list",
}


def wire_form(value: Any, path: str, unknown: Callable[[Any], Any] | None = None) -> Any:
    """Return the JSON value of an object: what its own `to_dict()` returns, else its fields by alias.

    Parts of the result may still be objects, because `to_dict()` may leave them.

    Args:
        value: an object with `to_dict()` or `to_json_dict()`, a pydantic model, or a dataclass.
        path: the path to the object, for errors.
        unknown: converts a field that pydantic cannot convert, or raises TypeError.

    Raises:
        InvalidInput: the object is none of these, or its conversion failed.
    """
    found = _own_dump(value)
    if found is not None:
        return _called(*found, value, path)
    if is_structured(value):
        return fields_by_alias(value, path, unknown)
    return refuse(value, path)


def is_structured(value: Any) -> bool:
    """Return True for a pydantic model and for a dataclass, but not for their classes."""
    return isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def fields_by_alias(value: Any, path: str, unknown: Callable[[Any], Any] | None = None) -> Any:
    """Return a value as pydantic dumps it for JSON. An alias is the name that validation accepts. Raises InvalidInput."""

    def converted(part: Any) -> Any:
        return to_jsonable_python(part, by_alias=True, fallback=lambda found: _unknown_field(found, unknown))

    try:
        return converted(value)
    except Exception as problem:  # a serializer of the caller's own may raise anything
        where, reason = _innermost_failure(value, path, problem, converted)
        raise invalid(where, _detail(reason)) from problem


def refuse(value: Any, path: str) -> NoReturn:
    """Raise InvalidInput for a value that JSON does not have."""
    hint = next((hint for type, hint in _HINTS.items() if isinstance(value, type)), "")
    raise invalid(path, f"must be a JSON value, got {type(value).__name__}{hint}")


def invalid(path: str, detail: str) -> InvalidInput:
    """Return the error for a part of a value. A path of more than 200 characters is cut in its middle."""
    short = path if len(path) <= MAX_PATH_LENGTH else f"{path[: MAX_PATH_LENGTH // 2]}…{path[-MAX_PATH_LENGTH // 2 :]}"
    return InvalidInput(name=short, detail=detail)


def _detail(problem: Exception) -> str:
    if isinstance(problem, InvalidInput):
        return problem.detail
    if isinstance(problem, UnicodeDecodeError):  # pydantic reads bytes as UTF-8
        return f"must be a JSON value, got bytes{_HINTS[bytes]}"
    return f"must be a JSON value: {error_text(problem)}"


def _own_dump(value: Any) -> tuple[str, Callable[[], Any]] | None:
    """Return name and bound method with which an object converts itself. None for a class and for an object without one."""
    if isinstance(value, type):
        return None
    for name in _OWN_DUMPS:
        try:
            method = getattr(value, name, None)
        except Exception:  # a __getattr__ of the object's own may raise anything
            return None
        if callable(method):
            return name, method
    return None


def _called(name: str, dump: Callable[[], Any], value: Any, path: str) -> Any:
    call = f"{name}() of {type(value).__name__}"
    try:
        plain = dump()
    except Exception as problem:
        said = f"{type(problem).__name__}: {error_text(problem)}"
        raise invalid(path, f"must be a JSON value, but {call} raised {said}") from problem
    if not isinstance(plain, dict | list | str):
        raise invalid(path, f"must be a JSON value, but {call} returned a {type(plain).__name__}")
    return plain


def _unknown_field(value: Any, unknown: Callable[[Any], Any] | None) -> Any:
    found = _own_dump(value)
    if found is not None:
        return _called(*found, value, "field")
    return unknown(value) if unknown is not None else refuse(value, "field")


def _innermost_failure(
    value: Any, path: str, problem: Exception, convert: Callable[[Any], Any]
) -> tuple[str, Exception]:
    """Return the path to the innermost part that cannot be converted, and its error."""
    seen: set[int] = set()
    while id(value) not in seen:
        seen.add(id(value))
        for place, part in _parts(value):
            try:
                convert(part)
            except Exception as inner:
                value, path, problem = part, f"{path}{place}", inner
                break
    return path, problem


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a structured value, a dict or a sequence, each with its place such as '.name' or '[2]'."""
    if isinstance(value, BaseModel):
        yield from ((f".{name}", part) for name, part in vars(value).items())
    elif is_structured(value):
        fields = dataclasses.fields(value)
        yield from ((f".{field.name}", getattr(value, field.name, None)) for field in fields)
    elif isinstance(value, dict):
        yield from ((f".{key}", part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{at}]", part) for at, part in enumerate(value))
