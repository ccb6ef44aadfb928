"""Print a script as the server runs it, with line numbers as an error reports them.

python tools/show_script.py messages/append               with the names of the source
python tools/show_script.py --minified messages/append    exactly as it is sent
python tools/show_script.py --around 42 messages/append   line 42 with its neighbours
python tools/show_script.py --around 42 3f7c0a91          the same by the SHA-1 that an error names, or its beginning
python tools/show_script.py                               the names of all scripts, with their SHA-1

A server reports a fault in a script as `user_script:42: …`, with the SHA-1 of the script. Line 42 is line 42 of this output.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from redis_sessions._core.protocol.scripts import linked, names, script

NEIGHBOURS = 5
_STRING = re.compile(r"'(?:\\.|[^'\\])*'")
_OPENING = re.compile(r"\b(?:function|if|for|while|repeat)\b|[({]")
_CLOSING = re.compile(r"\b(?:end|until)\b|[)}]")


def indented(text: str) -> str:
    """Return a linked script with the indentation of its blocks. The linker drops it."""
    lines = []
    depth = 0
    for line in text.splitlines():
        bare = _STRING.sub("''", line)
        change = len(_OPENING.findall(bare)) - len(_CLOSING.findall(bare))
        is_outdented = re.match(r"(?:end|until|else|elseif)\b|[)}]", bare) is not None
        lines.append("  " * max(depth - is_outdented, 0) + line)
        depth += change
    return "\n".join(lines)


def find(given: str) -> str | None:
    """Return the name of the script with a name, or with a SHA-1 that begins so."""
    if given in names():
        return given
    found = [name for name in names() if len(given) >= 6 and script(name).sha.startswith(given)]
    return found[0] if found else None


def main() -> int:
    """Print one script, or the list of all. Return the exit code."""
    parser = argparse.ArgumentParser(description="Print a linked script with line numbers.")
    parser.add_argument("name", nargs="?", help="such as messages/append, or a SHA-1; default: list all scripts")
    parser.add_argument("--minified", action="store_true", help="print the text as it is sent to the server")
    parser.add_argument("--around", type=int, metavar="LINE", help="print only this line and its neighbours")
    given = parser.parse_args()
    if given.name is None:
        for one in names():
            print(f"{script(one).sha}  {one}")
        return 0
    name = find(given.name)
    if name is None:
        print(f"no script has the name or SHA-1 {given.name!r}: run tools/show_script.py for the list", file=sys.stderr)
        return 2
    text = script(name).source if given.minified else indented(linked(name))
    for number, line in enumerate(text.splitlines(), 1):
        if given.around is None or abs(number - given.around) <= NEIGHBOURS:
            print(f"{number:4}  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
