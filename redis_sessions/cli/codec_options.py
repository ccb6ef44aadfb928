"""The codecs that a command works with: what `REDIS_SESSIONS_CODECS` names."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InvalidInput

CODECS_VARIABLE = "REDIS_SESSIONS_CODECS"
_EXPECTED = "must name a list of codecs, or a dict with 'codecs' and 'encode'"


def codec_options(named: str | None = None) -> dict[str, Any]:
    """Return the options `codecs` and `encode` of a cache that MODULE:NAME names, none without a name. Raises InvalidInput.

    Args:
        named: MODULE:NAME. The current folder is searched first. Default: that of the environment variable.
    """
    source = CODECS_VARIABLE if named is None else "--codecs"
    text = os.environ.get(CODECS_VARIABLE, "") if named is None else named
    if not text:
        return {}
    found = _import(text, source)
    options = dict(found) if isinstance(found, dict) else {"codecs": found}
    if not isinstance(options.get("codecs"), list | tuple) or options.keys() - {"codecs", "encode"}:
        raise InvalidInput(name=source, detail=f"{_EXPECTED}, but {text} is a {type(found).__name__}")
    return options


def _import(text: str, source: str) -> Any:
    module, colon, name = text.partition(":")
    if not (module and colon and name.isidentifier()) or module.startswith("."):
        raise InvalidInput(name=source, detail=f"must be MODULE:NAME, such as support.storage:codecs, got {text!r}")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = import_module(module)
    except Exception as problem:
        detail = f"cannot import {module!r}: {type(problem).__name__}: {problem}"
        raise InvalidInput(name=source, detail=detail) from None
    if not hasattr(found, name):
        raise InvalidInput(name=source, detail=f"module {module!r} has no {name!r}")
    return getattr(found, name)
