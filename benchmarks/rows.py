"""The result of a benchmark: the library, the bare commands, and the bar for the ratio of both."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One comparison. `ours` is the library, `raw` the bare commands. The ratio must be at most `bar`, or at least `bar`."""

    name: str
    ours: float
    raw: float
    unit: str
    bar: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float:
        """The library's figure divided by that of the bare commands."""
        return self.ours / self.raw

    @property
    def holds(self) -> bool:
        """Return whether the ratio keeps to the bar."""
        return self.bar is None or (self.ratio >= self.bar if self.at_least else self.ratio <= self.bar)
