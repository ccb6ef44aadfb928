"""All commands: each module adds its own to the app."""

from . import demo, docs, doctor, lease, replay, show, transfer, tree
from .app import app, errors

__all__ = ["app", "demo", "docs", "doctor", "errors", "lease", "replay", "show", "transfer", "tree"]
