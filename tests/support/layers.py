"""The import graph of the package, as the source text has it: imports inside functions and under TYPE_CHECKING count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "redis_sessions"
LAYERS = (
    ("errors",),
    ("_arguments", "_durations", "_extras", "_fork", "_log_events", "_pickling", "_printable", "_signals"),
    ("models",),
    ("bounds", "settings"),
    ("_embedded",),
    ("_url", "_url_options", "engines"),
    ("_core.protocol",),
    ("_core.commands",),
    ("_core.transfer",),
    ("_async.transport", "_sync.transport"),
    ("_async.services", "_sync.services"),
    ("_async.api", "_sync.api"),
    ("formats", "codecs"),
    ("", "testing", "sse"),
    ("prometheus", "telemetry"),
    ("integrations", "dashboard"),
    ("cli",),
)
"""Lowest first. A module imports from its own layer and from lower layers only."""
MARKERS = {"_core", "_async", "_sync"}
"""Packages whose `__init__` holds a docstring and no import."""


def module_name(path: Path) -> str:
    """Return the dotted name below the package; '' for the package itself."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def layer_of(module: str) -> int:
    """Return the index of the layer that a module is in."""
    for number, names in enumerate(LAYERS):
        if any(module == name or (name and module.startswith(f"{name}.")) for name in names):
            return number
    raise LookupError(f"{module} is in no layer: add it to LAYERS")


def imported_modules(path: Path, modules: set[str]) -> Iterator[str]:
    """Yield every module of the package that a file imports."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        parents = package.split(".") if package else []
        base = ".".join(parents[: len(parents) - node.level + 1])
        source = ".".join(part for part in (base, node.module or "") if part)
        for alias in node.names:
            member = f"{source}.{alias.name}" if source else alias.name
            yield member if member in modules else source


def import_graph() -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    paths = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    return {name: set(imported_modules(path, set(paths))) - {name} for name, path in paths.items()}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return every group of modules that import each other (strongly connected components)."""
    reachable: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        rest = [start]
        while rest:
            for found in graph[rest.pop()] - seen:
                seen.add(found)
                rest.append(found)
        reachable[start] = seen
    groups = {frozenset(other for other in reachable[name] if name in reachable[other]) for name in graph}
    return [sorted(group) for group in groups if group]


def upward_imports(graph: dict[str, set[str]]) -> list[str]:
    """Return every import of a module in a higher layer."""
    return [
        f"{name} imports {other}"
        for name, others in sorted(graph.items())
        if name not in MARKERS
        for other in sorted(others)
        if layer_of(other) > layer_of(name)
    ]
