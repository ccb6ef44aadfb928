"""Check the ledger of one session of an import, field by field, in constant memory for each loop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...models.loops import ParallelGroup
from ..commands.loops import PAGE_LINES, loop_info, read_turn
from ..commands.storage_bounds import check_number, check_size
from ..protocol.ids import check_id
from ..protocol.json_values import from_json
from ..protocol.records import LoopRecord
from .import_bounds import Bounds
from .import_fields import check_past, stored_value
from .import_schema import COUNT, Damaged, check_ledger_field, damaged
from .import_values import is_json

_SIZE_BOUNDS = {
    "config": "loop_config_bytes",
    "extra": "loop_metadata_bytes",
    "group": "loop_metadata_bytes",
    "reason": "reason_bytes",
}
_LISTS = ("event", "turn", "steps")
_MAX_WAITING_STEPS = 4096
"""The most steps that an export names before it has their usage."""
_NUMBER = re.compile(COUNT)


class LedgerCheck:
    """The ledger of a session as it is read: each loop has its configuration, and as many records as it counts."""

    def __init__(self, id: str, fields: Mapping[bytes, bytes], bounds: Bounds) -> None:
        self._id = id
        self._bounds = bounds
        names = fields.get(b"loops", b"").decode().split()
        self._loops = {name: LoopRecord.parse(fields[f"loop.{name}".encode()].decode()) for name in names}
        self._facts: dict[str, set[str]] = {name: set() for name in names}
        """The kinds of the single fields of each loop that were read."""
        self._lines: dict[tuple[str, str], int] = {}
        """The number of lines of each list of each loop that were read."""
        self._steps: set[str] = set()
        """Steps that were named, and whose usage must follow."""

    def add(self, given: Mapping[str, Any]) -> dict[bytes, bytes]:
        """Return the next fields, checked. Raises Damaged."""
        fields: dict[bytes, bytes] = {}
        for name, value in given.items():
            data = stored_value(f"the ledger of session {self._id!r}", name, value, self._bounds)
            fields[name.encode()] = data
            check_ledger_field(self._id, name, data)
            try:
                self._take(name, data)
            except (ValueError, TypeError, LookupError, OverflowError) as problem:
                raise Damaged(f"field {name[:80]!r} of session {self._id!r} is damaged: {problem}") from None
        return fields

    def _take(self, name: str, value: bytes) -> None:
        kind, _, rest = name.partition(".")
        loop, _, suffix = rest.partition(" ")
        if loop not in self._loops:
            raise damaged(self._id, name, "a loop that the field 'loops' names", loop)
        if kind in _LISTS:
            self._take_page(name, kind, loop, int(suffix), value)
        elif kind == "step":
            if name not in self._steps:
                raise damaged(self._id, name, "a step that the page before names", suffix)
            self._steps.remove(name)
        else:
            facts = self._facts[loop]
            if kind in facts:
                raise damaged(self._id, name, "each field once", kind)
            facts.add(kind)
            if kind in _SIZE_BOUNDS:
                check_size(self._bounds.storage, _SIZE_BOUNDS[kind], value, name)
            self._check_loop(loop, kind, value)

    def _check_loop(self, loop: str, kind: str, value: bytes) -> None:
        """Make of a field what the ledger shows, so that what cannot be shown is refused."""
        if kind == "group":
            ParallelGroup(loops=[loop], **from_json(value))
            return
        config, extra = (value if kind == one else b"{}" for one in ("config", "extra"))
        loop_info(
            loop, self._loops[loop], from_json(config), from_json(extra), value.decode() if kind == "reason" else ""
        )

    def _take_page(self, name: str, kind: str, loop: str, page: int, value: bytes) -> None:
        record = self._loops[loop]
        count = {"event": record.events, "turn": record.turns, "steps": record.steps}[kind]
        lines, before = value.split(b"\n")[:-1], self._lines.get((loop, kind), 0)
        after = before + len(lines)
        if before != page * PAGE_LINES or after > count or (after < count and len(lines) < PAGE_LINES):
            raise damaged(self._id, name, f"the next page of {count} lines in order", f"{len(lines)} lines")
        self._lines[loop, kind] = after
        for number, line in enumerate(lines, before + 1):
            if kind == "steps":
                self._steps.add(f"step.{loop} {check_id(line.decode(), 'step', 128)}")
                if len(self._steps) > _MAX_WAITING_STEPS:
                    raise damaged(self._id, name, f"at most {_MAX_WAITING_STEPS} steps without usage", line)
            else:
                self._check_record(name, kind, number, line)

    def _check_record(self, name: str, kind: str, number: int, line: bytes) -> None:
        ms, space, value = line.partition(b" ")
        if not (space and _NUMBER.fullmatch(ms) and is_json(value)):
            raise damaged(self._id, name, "'<ms> <JSON>' lines", f"{len(line)} bytes of another form")
        check_past(self._id, name, [int(ms)], self._bounds.now_ms, line[:20])
        check_number(self._bounds.storage, f"loop_{kind}_bytes", len(value), name)
        if kind == "turn":
            read_turn(number, line)

    def finish(self) -> None:
        """Check that nothing is missing. Raises Damaged."""
        for loop, record in self._loops.items():
            missing = {"config", "extra"} - self._facts[loop]
            if missing:
                raise damaged(self._id, "loops", f"the field '{min(missing)}.{loop}' in the ledger", loop)
            for kind, count in zip(_LISTS, (record.events, record.turns, record.steps), strict=True):
                found = self._lines.get((loop, kind), 0)
                if found != count:
                    raise damaged(self._id, f"loop.{loop}", f"{count} lines of '{kind}.{loop}'", f"{found} lines")
        if self._steps:
            raise damaged(self._id, min(self._steps), "the usage of each step", "nothing")
