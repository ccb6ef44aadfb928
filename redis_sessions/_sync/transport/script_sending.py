# Generated from _async/transport/script_sending.py by tools/mirror.py; edit that file.
"""Send a script that a server does not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoPermissionError, NoScriptError

from ..._core.protocol.call import Command
from ..._core.protocol.scripts import Script, load_commands
from . import connections


def load_and_send(
    client: connections.NodeClient,
    before: Sequence[Command],
    command: Command,
    script: Script,
    wait: Command | None,
    due: float,
) -> list[Any]:
    """Load a script. Return the replies to the commands `before`, to the command that calls the script, and to `wait`.

    A server that refuses SCRIPT LOAD is given the script's text with EVAL.
    """
    at = len(before)
    loads = load_commands(script)
    replies = client.send(*loads, *before, command, wait=wait, due=due)
    refused = next((reply for reply in replies[: len(loads)] if isinstance(reply, Exception)), None)
    replies = replies[len(loads) :]
    if refused is None or not isinstance(replies[at], NoScriptError):
        return replies
    text = ("EVAL", script.source, *command[2:])
    replies = client.send(*before, text, wait=wait, due=due)
    if isinstance(replies[at], NoPermissionError) or "unknown command" in str(replies[at]):
        replies[at] = NoPermissionError(f"the server must allow SCRIPT LOAD ({refused}) or EVAL ({replies[at]})")
    return replies
