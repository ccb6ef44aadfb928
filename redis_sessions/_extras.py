"""Import a library that comes with an extra, or say how to install it."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_extra(module: str, feature: str, extra: str) -> Any:
    """Return a module. Raises ModuleNotFoundError that says which feature needs it, and which extra installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as problem:
        text = f"{feature} needs {problem.name}, which is not installed: pip install 'redis-sessions[{extra}]'"
        raise ModuleNotFoundError(text, name=problem.name) from None
