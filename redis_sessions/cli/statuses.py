"""The mark and the colour of each status of a session."""

from __future__ import annotations

STYLES = {
    "active": "yellow", "paused": "blue", "completed": "green", "failed": "red", "cancelled": "magenta", "timed_out": "red",
    "deleted": "dim",
}  # fmt: skip
SIGNS = {
    "active": "●", "paused": "‖", "completed": "✔", "failed": "✘", "cancelled": "⊘", "timed_out": "⧖", "deleted": "×",
}  # fmt: skip
