"""The layers of the package, and the files that only one of them may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.support.layers import PACKAGE, circles, import_graph, upward_imports
from tests.support.prose import ROOT

HAND_WRITTEN = ("connections.py", "per_loop.py", "primitives.py", "renewal_thread.py", "sockets.py", "tasks.py")
"""The modules of `transport` that each side has for itself."""


def foreign_imports(path: Path) -> set[str]:
    """Return the names of the packages that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_import_graph_has_no_circle() -> None:
    """No module imports itself through others, not even for type checking."""
    assert circles(import_graph()) == []


def test_import_graph_has_no_arrow_upwards() -> None:
    """A module imports from its own layer and from lower layers only."""
    assert upward_imports(import_graph()) == []


def test_core_and_models_import_nothing_that_waits() -> None:
    """The meaning of a call is decided without a server."""
    for path in [*(PACKAGE / "_core").rglob("*.py"), *(PACKAGE / "models").rglob("*.py")]:
        assert not foreign_imports(path) & {"redis", "asyncio", "threading", "socket", "tenacity"}, path


def test_generated_source_names_asyncio_in_hand_written_modules_only() -> None:
    """The mirror tool cannot translate a use of asyncio."""
    for path in (PACKAGE / "_async").rglob("*.py"):
        if path.name not in HAND_WRITTEN:
            assert "asyncio" not in foreign_imports(path), path


def test_mirror_tool_changes_no_file() -> None:
    """`_sync` is what the tool generates from `_async`."""
    done = subprocess.run(
        [sys.executable, "tools/mirror.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_only_keys_module_builds_keys() -> None:
    """The modules of the keyspace build all keys and patterns."""
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("keys.py", "found_keys.py", "shared_keys.py"):
            text = re.sub(r"f?\"[^\"]*\}\}[^\"]*\"", "", path.read_text(encoding="utf-8"))
            assert not re.search(r"\{\{|:session:|:messages:", text), path


def code_lines(path: Path) -> int:
    """Return the number of lines of a file without its docstrings, comments, and bindings of keys and arguments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".lua":
        return len([line for line in text.splitlines() if not re.match(r"\s*--|local \w+ += .*(KEYS|ARGV)", line)])
    prose: int = sum(string.count("\n") + 1 for string in re.findall(r'"""(?:.|\n)*?"""', text))
    return len(text.splitlines()) - prose


def test_source_files_stay_short() -> None:
    """A long file probably holds two things."""
    for path in PACKAGE.rglob("*.py"):
        assert code_lines(path) <= 300, path
    for path in (ROOT / "lua").rglob("*.lua"):
        assert code_lines(path) <= 80, path


def test_every_command_module_is_imported() -> None:
    """`cli/commands.py` imports each module that adds a command to the app."""
    imported = (PACKAGE / "cli" / "commands.py").read_text(encoding="utf-8")
    for path in (PACKAGE / "cli").glob("*.py"):
        if re.search(r"^@\w+\.command\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"\b{path.stem}\b", imported), path
