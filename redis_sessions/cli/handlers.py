"""Import the function that `worker` hands runs to, and say in one line why it cannot be used."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from ..errors import InvalidInput

Handler = Callable[[Any], Any]


def import_handler(text: str) -> Handler:
    """Return the function that MODULE:FUNCTION names. The current folder is searched first. Raises InvalidInput."""
    module, colon, path = text.partition(":")
    if not (module and colon and path) or module.startswith("."):
        _refuse(f"must be MODULE:FUNCTION, such as support.agents:answer, got {text!r}")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    found: Any = _import_module(module)
    for name in path.split("."):
        if not hasattr(found, name):
            _refuse(f"module {module!r} has no {path!r}{_hint(found)}")
        found = getattr(found, name)
    return _checked(found, text)


def is_async(handler: Handler) -> bool:
    """Return whether calling a handler makes a coroutine."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def _import_module(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as problem:
        if problem.name is not None and f"{module}.".startswith(f"{problem.name}."):
            _refuse(f"no module {problem.name!r} in {Path.cwd()} or on the Python path")
        _refuse(_describe(module, problem))
    except (Exception, SystemExit) as problem:
        _refuse(_describe(module, problem))


def _describe(module: str, problem: BaseException) -> str:
    frames = traceback.extract_tb(problem.__traceback__)
    place = "" if isinstance(problem, SyntaxError) else f" ({frames[-1].filename}, line {frames[-1].lineno})"
    return f"cannot import {module!r}: {type(problem).__name__}: {problem}{place}"


def _hint(found: Any) -> str:
    functions = [name for name, value in vars(found).items() if inspect.isfunction(value) and not name.startswith("_")]
    return f". It has: {', '.join(functions[:5])}" if functions and isinstance(found, ModuleType) else ""


def _checked(found: Any, text: str) -> Handler:
    if not callable(found) or inspect.isclass(found):
        kind = "a class" if inspect.isclass(found) else f"a value of type {type(found).__name__}"
        _refuse(f"must name a function, but {text} is {kind}")
    if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        _refuse(f"must name a function that returns its result, but {text} yields")
    try:
        inspect.signature(found).bind(None)
    except TypeError:
        _refuse(f"must name a function with one argument, the run, but {text} takes {inspect.signature(found)}")
    except ValueError:
        pass  # a built-in function has no signature
    return found  # type: ignore[no-any-return]


def _refuse(detail: str) -> NoReturn:
    raise InvalidInput(name="HANDLER", detail=detail)
