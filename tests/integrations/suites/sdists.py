"""Run the published tests of a framework, from its source distribution, against an adapter."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent.parent
FOLDER = Path(os.environ.get("REDIS_SESSIONS_SDISTS", Path(tempfile.gettempdir()) / "redis-sessions-sdists"))
"""The folder of source distributions. What is not there is downloaded by pip."""


def sdist(package: str) -> Path:
    """Return the unpacked source distribution of the version of a package that is installed."""
    name = f"{package.replace('-', '_')}-{version(package)}"
    unpacked, archive = FOLDER / name, FOLDER / f"{name}.tar.gz"
    if not unpacked.is_dir():
        if not archive.is_file():
            wanted = f"{package}=={version(package)}"
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", wanted]
            subprocess.run([*command, "--dest", str(FOLDER)], check=True)
        with tarfile.open(archive) as found:
            found.extractall(FOLDER, filter="data")
    return unpacked


def run_suite(
    package: str, plugin: str, files: Sequence[str], url: str, excluded: Mapping[str, str], *options: str
) -> str:
    """Run test files of a package, and return the end of what pytest says. Raises AssertionError when a test fails.

    Args:
        plugin: the module of this folder that puts the adapter in the place of the framework's own class.
        excluded: the tests that are left out, with the reasons.
    """
    folder = sdist(package)
    command = [
        sys.executable, "-m", "pytest", "-p", plugin, "-p", "no:cacheprovider", "-q",
        "--rootdir", str(folder), "-W", "ignore", *options, *files,
    ]  # fmt: skip
    for name in excluded:
        command += ["--deselect", name]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{ROOT}",
        "REDIS_SESSIONS_URL": url,
        "PYTEST_ADDOPTS": "",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout.splitlines()[-1]
