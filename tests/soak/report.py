"""The report of a soak: a file, and a short text."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.soak.rounds import RoundReport, as_json


class Report:
    """The rounds so far. The file is written after each round."""

    def __init__(self, path: Path | None, facts: dict[str, Any]) -> None:
        self._path = path
        self._facts = facts
        self._waits: list[float] = []
        self.rounds: list[RoundReport] = []

    def add(self, one: RoundReport) -> None:
        """Add a round, and write the file."""
        self.rounds.append(one)
        self._waits += one.waits
        self._write()

    def finish(self, cpu_seconds: float) -> None:
        """Add the CPU time of all processes, and write the file."""
        self._facts["cpu_seconds"] = round(cpu_seconds, 1)
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self.facts(), indent=1))

    def facts(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        waits = sorted(self._waits)
        return {
            **self._facts,
            "seconds": sum(one.seconds + one.settle_seconds + one.check_seconds for one in self.rounds),
            "seconds_under_faults": sum(one.seconds for one in self.rounds),
            "rounds": len(self.rounds),
            "violations": sum(len(one.violations) for one in self.rounds),
            "done": self.total("done"),
            "faults": self.total("faults"),
            "errors": {name: count for name, count in self.total("errors").items() if ":" not in name},
            "runs": self.total("runs"),
            "failed_attempts": self.total("attempts"),
            "answer_seconds": {
                f"p{share}": round(waits[min(int(len(waits) * share / 100), len(waits) - 1)], 3) if waits else 0
                for share in (50, 99, 100)
            },
            "by_round": [as_json(one) for one in self.rounds],
        }

    def total(self, name: str) -> dict[str, int]:
        """Return the sum of a counter over all rounds."""
        found: Counter[str] = Counter()
        for one in self.rounds:
            found.update(getattr(one, name))
        return dict(found.most_common())

    def text(self) -> str:
        """Return the totals as a short text."""
        facts = self.facts()
        lines = [
            f"{facts['engine']} ({facts['version']}), seed {facts['seed']}: {facts['rounds']} rounds,"
            f" {facts['seconds']:.0f} s, of which {facts['seconds_under_faults']:.0f} s under faults"
        ]
        for name in ("done", "runs", "failed_attempts", "faults", "errors", "answer_seconds"):
            lines.append(f"{name}: " + ", ".join(f"{what} {count}" for what, count in facts[name].items()))
        if not facts["has_clocks"]:
            lines.append("the clocks of these servers cannot be set here")
        lines.append(f"CPU seconds {facts.get('cpu_seconds', 0)}, violations: {facts['violations']}")
        lines += [f"a fault failed: {text}" for one in self.rounds for text in one.failed_faults]
        lines += [text for one in self.rounds for text in one.violations[:20]]
        return "\n".join(lines)
