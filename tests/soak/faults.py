"""The faults that a soak injects into servers, one after the other, each with a period of its own."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import redis

from tests.soak.engines import Clustered, Service
from tests.soak.plan import CLIENT_FAULTS, Plan


class Schedule:
    """The faults that are due, by their periods. Each comes once early, and then with a random part in its pauses."""

    def __init__(self, periods: dict[str, float], dice: random.Random) -> None:
        self._periods = periods
        self._dice = dice
        begun = time.monotonic()
        self._due = {name: begun + period * dice.uniform(0.2, 0.6) for name, period in periods.items()}

    def next(self) -> str | None:
        """Return the fault that is due for longest, or None."""
        name = min(self._due, key=self._due.__getitem__, default=None)
        if name is None or self._due[name] > time.monotonic():
            return None
        self._due[name] = time.monotonic() + self._periods[name] * self._dice.uniform(0.6, 1.4)
        return name


class ServerFaults:
    """Injects faults into servers in a thread of its own."""

    def __init__(self, service: Service, plan: Plan, counts: Counter[str], seed: str) -> None:
        self._service = service
        self._dice = random.Random(seed)
        self._counts = counts
        self._longest = plan.longest
        self._stop = threading.Event()
        actions: dict[str, Callable[[], None]] = {
            "kill_connections": self._kill_connections,
            "flush_scripts": self._flush_scripts,
            "pause_server": self._pause_server,
            "restart_server": self._restart_server,
            "fail_over": service.fail_over,
            "fill_memory": self._fill_memory,
        }
        if isinstance(service, Clustered):
            actions["move_slot"] = service.move_slot
        if service.has_clocks:
            actions["jump_clock"] = lambda: service.set_clock(
                self._dice.uniform(-plan.max_clock_offset, plan.max_clock_offset)
            )
        self._actions = actions
        server_periods = {name: period for name, period in plan.periods.items() if name in actions}
        self._kinds = {*server_periods, *(name for name in CLIENT_FAULTS if name in plan.periods)}
        self._schedule = Schedule(server_periods, self._dice)
        self.failed: list[str] = []
        """The faults that could not be injected."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def lacking(self) -> set[str]:
        """Return the faults that these servers, or the processes of the load, can have, and did not have so far."""
        return {name for name in self._kinds if not self._counts[name]}

    def stop(self) -> None:
        """End, set the clocks right, and wait until all servers are whole."""
        self._stop.set()
        self._thread.join(120)
        if self._counts["jump_clock"]:
            self._service.set_clock(0.0)  # a server looks at its clock file once a second
        self._service.await_whole()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            name = self._schedule.next()
            if name is None:
                continue
            try:
                self._actions[name]()
                self._counts[name] += 1
                if name in ("restart_server", "fail_over", "move_slot"):
                    self._service.await_whole()
            except Exception:
                self.failed.append(f"{name}: {traceback.format_exc()}")
                with suppress(TimeoutError):
                    self._service.await_whole()

    def _kill_connections(self) -> None:
        kind = self._dice.choice(("normal", "normal", "pubsub"))
        for node in self._service.nodes:
            with suppress(redis.ConnectionError):
                node.client.execute_command("CLIENT", "KILL", "TYPE", kind)

    def _flush_scripts(self) -> None:
        for node in self._service.nodes:
            node.client.script_flush()

    def _pause_server(self) -> None:
        node = self._dice.choice(self._service.nodes)
        node.pause()
        time.sleep(self._dice.uniform(0.2, self._longest))
        node.resume()

    def _restart_server(self) -> None:
        masters = self._service.masters()
        is_master = self._dice.random() < 0.8
        self._service.restart(
            self._dice.choice([node for node in self._service.nodes if (node in masters) == is_master])
        )

    def _fill_memory(self) -> None:
        masters = self._service.masters()
        for node in masters:
            node.client.config_set("maxmemory", "1mb")
        time.sleep(self._dice.uniform(0.2, self._longest))
        for node in masters:
            node.client.config_set("maxmemory", "0")
