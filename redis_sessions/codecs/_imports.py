"""Import the library that a codec needs, or say how to install it."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def required(module: str, codec: str, extra: str) -> Any:
    """Return a module. Raises ImportError that names the extra with which the module is installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as problem:
        text = f"{codec} needs {problem.name}, which is not installed: pip install 'redis-sessions[{extra}]'"
        raise ModuleNotFoundError(text, name=problem.name) from None
