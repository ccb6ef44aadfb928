"""Call the functions of the Lua library in this process."""

from __future__ import annotations

from typing import Any

import lupa.lua51

from redis_sessions._core.protocol.linker import library

_RUNTIME = lupa.lua51.LuaRuntime()


def lua_function(name: str) -> Any:
    """Return a library function with everything that it includes."""
    sources: list[str] = []

    def load(function: str) -> None:
        text = library()[function]
        for line in text.splitlines():
            if line.lstrip().startswith("--- include:"):
                for other in line.lstrip().removeprefix("--- include:").split():
                    if library()[other] not in sources:
                        load(other)
        if text not in sources:
            sources.append(text)

    load(name)
    return _RUNTIME.execute("\n".join([*sources, f"return {name}"]))
