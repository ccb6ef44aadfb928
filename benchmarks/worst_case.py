"""Measure what each script costs the server with the worst data that can be stored.

`python -m benchmarks.worst_case --server path`. The time is the processor time that the server's
main thread spends on a call, during which other clients wait. It has the reading of the call and the writing of the reply.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time

from benchmarks.worst_cases import scopes, sessions, shared, transcripts, upkeep
from benchmarks.worst_cases.stage import Case, Cost, Stage
from tests.support.servers import Server, binaries

BAR_MS = 10.0
CASES: list[Case] = [*transcripts.CASES, *sessions.CASES, *shared.CASES, *scopes.CASES, *upkeep.CASES]


def measure(server: Server, case: Case, scale: int = 1, rounds: int = 2) -> dict[str, Cost]:
    """Return the dearest call of each script in the quietest round."""
    best: dict[str, Cost] = {}
    for _ in range(rounds):
        stage = Stage(server, scale)
        try:
            case.act(stage)
        finally:
            stage.close()
        for name, costs in stage.costs.items():
            dearest = max(costs)
            best[name] = min(best.get(name, dearest), dearest)
    return best


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=list(binaries()), default="path")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    server = Server(binaries()[given.server])
    found = {}
    try:
        for case in CASES:
            if given.only and not re.search(given.only, case.name):
                continue
            began = time.monotonic()
            try:
                costs = measure(server, case, given.scale, given.rounds)
            except Exception as problem:
                print(f"{case.name}: {type(problem).__name__}: {problem}"[:300], flush=True)
                server.client.flushall()
                continue
            print(case.name, f"{time.monotonic() - began:.1f} s", flush=True)
            found[case.name] = costs
            for name, cost in sorted(costs.items(), key=lambda one: -one[1].microseconds):
                if cost.microseconds >= 1000:
                    print(
                        f"{case.name:40} {name:26} {cost.microseconds / 1000:9.2f} ms {cost.commands:8,} commands"
                        f" {cost.reply_bytes:12,} bytes",
                        flush=True,
                    )
    finally:
        server.stop()
    if given.json:
        with open(given.json, "w") as file:
            json.dump(found, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
