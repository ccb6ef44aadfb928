"""All commands: each module adds its own to the app."""

from . import demo, docs, doctor, lease, ls, prune, replay, show, top, transfer, tree, watch
from .app import app, errors

__all__ = [
    "app",
    "demo",
    "docs",
    "doctor",
    "errors",
    "lease",
    "ls",
    "prune",
    "replay",
    "show",
    "top",
    "transfer",
    "tree",
    "watch",
]
