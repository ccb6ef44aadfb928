"""Run a soak: python -m tests.soak --engine valkey-9 --seconds 3600 --report soak/valkey-9.json."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

from tests.soak.engines import service
from tests.soak.plan import Plan
from tests.soak.report import Report
from tests.soak.rounds import describe, run_round
from tests.support.servers import binaries

TOTAL_APPENDS = 1_000_000
_MAX_APPENDS_PER_SECOND = 300.0
_ENGINES = ["valkey-9", "cluster", "path", "redis-8", "valkey-8", "redis-6.2"]


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description="Work for hours under faults, and check all."
    )
    parser.add_argument("--engine", choices=_ENGINES, required=True)
    parser.add_argument("--seconds", type=float, default=3600.0, help="the length of the soak")
    parser.add_argument("--round", type=float, default=240.0, help="seconds between two checks")
    parser.add_argument("--report", type=Path, help="the file of the report")
    parser.add_argument(
        "--appends", type=int, default=TOTAL_APPENDS, help="appends in all, if the machine is fast enough"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--folder", type=Path, help="where servers and journals are, such as /dev/shm/soak")
    return parser.parse_args()


def plan_of(options: argparse.Namespace) -> Plan:
    """Return the plan of a round. Runs and turns are a tenth of the appends."""
    rate = min(options.appends / options.seconds, _MAX_APPENDS_PER_SECOND)
    seconds = min(options.round, options.seconds)
    return Plan(seconds, appends=rate, runs=rate / 15, questions=rate / 30, seed=options.seed)


def cpu_seconds() -> float:
    """Return the CPU time of this process, of the servers that have ended, and of the load that a fork server started."""
    used = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if pid is not None:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:15]
        used += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return used


def main() -> int:
    """Run rounds until the time is over. Return 1 if a promise was broken."""
    options = arguments()
    if options.engine not in [*binaries(), "cluster"]:
        print(f"no server {options.engine} was found, so the soak leaves it out")
        return 0
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(options.folder) if options.folder else None
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    plan, began = plan_of(options), time.monotonic()
    with service(options.engine, folder) as servers:
        facts = {
            "engine": options.engine, "version": servers.version, "seed": options.seed, "has_clocks": servers.has_clocks,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S"), "cores": os.cpu_count(),
            "appends_per_second": plan.appends, "periods": plan.periods,
        }  # fmt: skip
        report = Report(options.report, facts)
        number = 0
        while number == 0 or time.monotonic() - began < options.seconds - plan.seconds / 2:
            done = run_round(servers, replace(plan, seed=plan.seed + number), number, folder)
            report.add(done)
            print(describe(done), *done.violations[:5], sep="\n", flush=True)
            number += 1
    report.finish(cpu_seconds())
    print(report.text())
    if report.facts()["violations"]:
        print(f"the journals are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
