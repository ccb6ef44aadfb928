"""The help of each command: an imperative summary, and every option with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from redis_sessions.cli.commands import app
from tests.support.command_line import run

DURATIONS = {"--every", "--timeout", "--max-age", "--cooldown", "--ttl", "--grace", "--wait"}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield the path and the command of every command of a group, also of the groups in the group."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield pytest.param((*path, name), command, id=" ".join((*path, name)))


ALL = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize(("path", "command"), ALL)
def test_help_begins_with_an_imperative_and_names_every_default(path: tuple[str, ...], command: Any) -> None:
    """A flag names its default in its text, and another option shows its default behind the text."""
    assert re.match(r"[A-Z][a-z]*[^s\W] ", command.help), command.help
    for option in command.params:
        assert re.match(r"[A-Z].*\.", option.help), (path, option.name)
        if option.param_type_name == "argument":
            continue
        is_flag = option.default is False
        has_default = option.required or isinstance(option.show_default, str) or option.default is not None
        assert ("Default: " in option.help) if is_flag else has_default, (path, option.name)
        if DURATIONS & set(option.opts):
            assert re.search(r"[Dd]uration.* such as [\d.]+(ms|s|m|h|d)", option.help), (path, option.name)


def test_help_lists_all_commands_by_name() -> None:
    """The help of the program names the form of a duration and the exit codes."""
    shown = run("--help").stdout
    listed = re.findall(r"^│ ([a-z][a-z-]+)  ", shown, re.MULTILINE)
    assert listed == [*sorted(set(listed) - {"codec", "lease", "docs", "scripts"}), *listed[-4:]]
    assert set(listed[-4:]) == {"codec", "lease", "docs", "scripts"}
    assert {"recover", "demo", "ls", "top", "export", "import"} <= set(listed)
    words = " ".join(shown.split())
    assert "A duration is a number with a unit: 500ms, 90s, 30m, 12h, 7d or 2w." in words
    assert (
        "Exit codes: 0 success, 1 the answer is no, 2 wrong input, 3 the server failed, 4 the output could not" in words
    )


@pytest.mark.parametrize("option", ["--url", "--namespace"])
def test_option_before_the_command_is_refused_with_its_place(option: str) -> None:
    done = run(option, "redis://localhost", "ls")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error {option}: must stand behind the command: redis-sessions COMMAND {option} …\n"
