"""Runs and turns: their states, and the attempts that did not end well."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

WorkState = Literal["queued", "delayed", "running", "parked", "failed"]
"""The state of a run or of an open turn."""


class Attempt(BaseModel):
    """An attempt at a run or a turn that did not end well."""

    model_config = ConfigDict(frozen=True)

    outcome: Literal["failed", "died"]
    """failed: the handler raised. died: the lease of the worker ran out."""
    worker: str
    """The name of the worker, as holders are named."""
    started_at: datetime
    """When the worker claimed the run or turn (UTC)."""
    ended_at: datetime
    """When the run or turn failed, or was found dead (UTC)."""
    error: str
    """The error, cut to 500 bytes."""
