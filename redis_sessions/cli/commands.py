"""All commands: each module adds its own to the app."""

from . import demo, doctor, lease, replay, show, transfer, tree
from .app import app, errors

__all__ = ["app", "demo", "doctor", "errors", "lease", "replay", "show", "transfer", "tree"]
