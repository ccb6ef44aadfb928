"""Write the generated parts of `docs/reference`: settings, errors, command line, storage, scripts and monitoring.

python tools/write_reference.py           write every generated part
python tools/write_reference.py --check   write nothing, exit 1 when a part is stale

A generated part stands between two comments in its page. The text around it is written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from reference import api, monitoring, storage  # noqa: E402 - needs the path above

REFERENCE = ROOT / "docs" / "reference"
BEGIN = "<!-- begin {name}: written by tools/write_reference.py -->"
END = "<!-- end {name} -->"
PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "settings": {
        "session options": api.session_options,
        "tree options": api.tree_options,
        "cache options": api.cache_options,
        "storage bounds": api.storage_bounds,
        "url options": api.url_options,
        "environment": api.environment,
    },
    "errors": {"error tree": api.error_tree, "error list": api.error_list},
    "cli": {"command table": api.cli_table, "command list": api.cli_list},
    "storage": {"key table": storage.key_table, "record list": storage.record_list},
    "scripts": {"script list": storage.script_list},
    "monitoring": {
        "fleet metrics": monitoring.fleet_metrics,
        "process metrics": monitoring.process_metrics,
        "span list": monitoring.span_list,
        "log events": monitoring.log_events,
        "log fields": monitoring.log_fields,
    },
}


def filled(text: str, parts: dict[str, Callable[[], str]]) -> str:
    """Return a page with its generated parts as the code says them now."""
    for name, write in parts.items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"the page must contain {begin!r} and {end!r}")
        text = f"{before}{begin}\n\n{write()}\n\n{end}{after}"
    return text


def main() -> int:
    """Write or check all pages. Return the exit code."""
    is_check = "--check" in sys.argv
    stale = []
    for page, parts in PARTS.items():
        path = REFERENCE / f"{page}.md"
        before = path.read_text(encoding="utf-8")
        after = filled(before, parts)
        if before == after:
            continue
        if is_check:
            stale.append(page)
        else:
            path.write_text(after, encoding="utf-8")
    for page in stale:
        print(f"stale: docs/reference/{page}.md; run `python tools/write_reference.py`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
