"""Writes `redis_sessions/_sync` from `redis_sessions/_async`: `python tools/mirror.py`, or `--check` to fail when it is stale."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "redis_sessions"
HAND_WRITTEN = {"io.py", "background.py", "__init__.py"}
HEADER = "# Generated from ../_async/{name} by tools/mirror.py; edit that file.\n"
WORDS = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bredis\.asyncio\b", "redis"),
    (r"\bAbstractConnection\b", "ConnectionInterface"),
    (r"\bFakeAsync", "Fake"),
    (r"\bAsync([A-Z])", r"\1"),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"import (Iterator, )?Awaitable, ", r"import \1"),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"_async\b", "_sync"),
]


def mirrored(source: Path) -> str:
    """The sync text of an async file, formatted."""
    text = source.read_text(encoding="utf-8")
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(source), "-"]
    text = HEADER.format(name=source.name) + text
    sorted_text = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "I", "--fix", "-q", "--stdin-filename", str(source), "-"],
        input=text, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return subprocess.run(command, input=sorted_text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    stale = []
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        if source.name in HAND_WRITTEN:
            continue
        target = PACKAGE / "_sync" / source.name
        text = mirrored(source)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            stale.append(target.name)
            if "--check" not in sys.argv:
                target.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"stale: {', '.join(stale)}; run `make mirror`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
