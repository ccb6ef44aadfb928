"""What a benchmark answers with: ours, the raw way, and the bar for the ratio of both."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One comparison: ours, the raw way, and the bar for the ratio if there is one."""

    name: str
    ours: float
    raw: float
    unit: str
    bar: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float:
        return self.ours / self.raw

    @property
    def holds(self) -> bool:
        return self.bar is None or (self.ratio >= self.bar if self.at_least else self.ratio <= self.bar)
