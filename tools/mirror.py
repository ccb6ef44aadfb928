"""Generate `redis_sessions/_sync` from `redis_sessions/_async`, and the sync half of the LangGraph saver from its async half.

python tools/mirror.py           write every generated file
python tools/mirror.py --check   write nothing, exit 1 when a file is stale or has no source
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "redis_sessions"
_HAND_WRITTEN_TRANSPORT = ("connections", "per_loop", "primitives", "renewal_thread", "sockets", "tasks")
HAND_WRITTEN = {*(f"transport/{name}.py" for name in _HAND_WRITTEN_TRANSPORT), "__init__.py"}
HEADER = "# Generated from {name} by tools/mirror.py; edit that file.\n"
REPLACEMENTS = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bredis\.asyncio\b", "redis"),
    (r"\bAbstractConnection\b", "ConnectionInterface"),
    (r"\bFakeAsync", "Fake"),
    (r"\bAsync([A-Z])", r"\1"),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"\bAwaitable, ", ""),
    (r"__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\bAsyncGenerator\[SessionEvent, None\]", "Generator[SessionEvent, None, None]"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\baclose\b", "close"),
]
SAVER = ("integrations/langgraph/async_saver.py", "integrations/langgraph/sync_saver.py")
SAVER_REPLACEMENTS = [
    (r"\bAsyncMethods\b", "SyncMethods"),
    (r"\bdef a(\w+)", r"def \1"),
    (r"\b_async_", "_sync_"),
    (r"\b_caches\.asynchronous\b", "_caches.plain"),
    (r"\bThe methods whose names begin with an a\.", "The methods that block their thread."),
    (r"\bThe asynchronous methods of the saver\.", "The methods of the saver for threads."),
]
"""LangGraph wants both halves in one class, so the methods have other names in each."""


def sources() -> dict[str, Path]:
    """Return every async file that has a generated twin, by its path below `_async`."""
    root = PACKAGE / "_async"
    found = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.py"))}
    return {name: path for name, path in found.items() if name not in HAND_WRITTEN}


def targets() -> dict[str, tuple[Path, list[tuple[str, str]]]]:
    """Return each generated file and the replacements that make it, by the path of its source in the package."""
    found = {f"_async/{name}": (PACKAGE / "_sync" / name, REPLACEMENTS) for name in sources()}
    source, target = SAVER
    return {**found, source: (PACKAGE / target, SAVER_REPLACEMENTS + REPLACEMENTS)}


def orphans(names: set[str]) -> list[str]:
    """Return the files below `_sync` that no async file generates."""
    root = PACKAGE / "_sync"
    present = {path.relative_to(root).as_posix() for path in root.rglob("*.py")}
    return sorted(present - names - HAND_WRITTEN)


def unused_replacements(texts: list[str], replacements: list[tuple[str, str]]) -> list[str]:
    """Return the patterns that match nothing: each is a leftover of code that is gone."""
    return [pattern for pattern, _ in replacements if not any(re.search(pattern, text) for text in texts)]


def to_sync(text: str, replacements: list[tuple[str, str]]) -> str:
    """Return the sync form of async source text."""
    for pattern, replacement in replacements:
        text = re.sub(pattern, replacement, text)
    return text


def ruff(arguments: list[str], text: str, filename: Path) -> str:
    """Return the text as ruff rewrites it."""
    command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(filename), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def mirrored(name: str, replacements: list[tuple[str, str]]) -> str:
    """Return the generated file of one async source: sorted imports, formatted."""
    source = PACKAGE / name
    text = HEADER.format(name=name) + to_sync(source.read_text(encoding="utf-8"), replacements)
    text = ruff(["check", "--select", "I", "--fix", "-q"], text, source)
    return ruff(["format"], text, source)


def main() -> int:
    """Write or check all generated files. Return the exit code."""
    is_check = "--check" in sys.argv
    problems: list[str] = []
    for name, (target, replacements) in targets().items():
        text = mirrored(name, replacements)
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        if is_check:
            problems.append(f"stale: {target.relative_to(PACKAGE)}; run `make mirror`")
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    found = sources()
    problems += [f"orphan: _sync/{name} has no source in _async; delete it" for name in orphans(set(found))]
    texts = [path.read_text(encoding="utf-8") for path in found.values()]
    unused = unused_replacements(texts, REPLACEMENTS)
    unused += unused_replacements([(PACKAGE / SAVER[0]).read_text(encoding="utf-8")], SAVER_REPLACEMENTS)
    problems += [f"unused replacement: {pattern!r} matches no async file" for pattern in unused]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
