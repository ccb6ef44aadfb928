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

from .._core.commands.run_outcomes import checked_handler
from ..errors import InvalidInput

Handler = Callable[[Any], Any]
_PACKAGE = Path(__file__).parent.parent


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
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(_PACKAGE)]
    place = "" if isinstance(problem, SyntaxError) else f" ({own[-1].filename}, line {own[-1].lineno})"
    return f"cannot import {module!r}: {type(problem).__name__}: {problem}{place}"


def _hint(found: Any) -> str:
    functions = [name for name, value in vars(found).items() if inspect.isfunction(value) and not name.startswith("_")]
    return f". It has: {', '.join(functions[:5])}" if functions and isinstance(found, ModuleType) else ""


def _checked(found: Any, text: str) -> Handler:
    if not callable(found) or inspect.isclass(found):
        kind = "a class" if inspect.isclass(found) else f"a value of type {type(found).__name__}"
        _refuse(f"must name a function, but {text} is {kind}")
    try:
        return checked_handler(found, may_be_async=True)  # type: ignore[no-any-return]
    except InvalidInput as problem:
        _refuse(f"{text} {problem.detail}")


def _refuse(detail: str) -> NoReturn:
    raise InvalidInput(name="HANDLER", detail=detail)
