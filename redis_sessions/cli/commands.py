"""All commands: each of these modules adds its commands to the app."""

from . import (
    codec,
    control,
    dashboard,
    demo,
    docs,
    doctor,
    forget,
    lease,
    ls,
    mcp,
    metrics,
    prune,
    recover,
    replay,
    scripts,
    send,
    show,
    transfer,
    tree,
    watch,
    worker,
    workers,
)
from .app import app, errors
from .top import command as top

__all__ = [
    "app",
    "codec",
    "control",
    "dashboard",
    "demo",
    "docs",
    "doctor",
    "errors",
    "forget",
    "lease",
    "ls",
    "mcp",
    "metrics",
    "prune",
    "recover",
    "replay",
    "scripts",
    "send",
    "show",
    "top",
    "transfer",
    "tree",
    "watch",
    "worker",
    "workers",
]

# The help lists commands by name, not in the order of the imports.
app.registered_commands.sort(key=lambda command: str(command.name or getattr(command.callback, "__name__", "")))
