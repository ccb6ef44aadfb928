"""The options of a session (limits, lifetimes, tree bounds) as fields of its hash."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from ...errors import SessionDamaged
from ...settings import MICROS, MergeRow, SessionSettings, StoredValue, stored_options
from ..protocol import records
from ..protocol.call import Argument
from .session_fields import TURN_ATTEMPTS
from .storage_bounds import value_bytes

NEW_TURNS = f"0 {TURN_ATTEMPTS} - - 0 0 0 0 0 0"
"""The `run` record of a session that an agent answers, before its first turn."""
TREE_BOUNDS = ("max_depth", "max_children", "max_active", "max_descendants", "max_spawned")


class StoredOptions(NamedTuple):
    """The option fields of a session, as they are stored. b'' for a field that does not exist."""

    settings: bytes
    limits: bytes
    tree_limits: bytes
    budget: bytes
    max_tokens: bytes
    max_inbox: bytes
    created: bytes

    def differences(self, id: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given options of the session `id` whose stored value is another one, with that stored value.

        A duration is a timedelta. Raises SessionDamaged.
        """
        asked = stored_options(given)
        try:
            stored = self._by_name()
        except (ValueError, TypeError) as problem:
            raise SessionDamaged(session_id=id, detail=f"its stored options cannot be read ({problem})") from problem
        if not self.limits and not asked.keys() & {"max_turns", "max_entries", "max_duration"}:
            asked.pop("limit_action", None)  # without a limit it has no effect, and is not stored
        if not self.budget and not asked.keys() & {"token_budget", "cost_budget"}:
            asked.pop("budget_enforcement", None)
        return {name: _as_given(name, stored[name]) for name, value in asked.items() if stored[name] != value}

    def _by_name(self) -> dict[str, StoredValue]:
        settings = records.Settings.parse(self.settings)
        limits = records.Limits.parse(self.limits or None)
        budget = records.Budget.parse(self.budget or None)
        tree = (self.tree_limits.decode() or SessionSettings().tree_limits).split()
        deadline_ms = settings.deadline_ms
        return {
            "ttl": settings.ttl_ms or None,
            "max_lifetime": None if deadline_ms is None else deadline_ms - int(self.created) // 1000,
            "max_messages": settings.max_messages or None,
            "cap_policy": settings.cap_policy,
            "max_message_bytes": settings.max_message_bytes,
            "max_turns": limits.max_turns,
            "max_entries": limits.max_entries,
            "max_duration": limits.max_duration_ms,
            "limit_action": limits.action,
            "max_tokens": int(self.max_tokens or 0),
            "max_inbox": int(self.max_inbox or 0),
            **dict(zip(TREE_BOUNDS, map(records.optional_number, tree), strict=True)),
            "token_budget": budget.tokens,
            "cost_budget": budget.cost,
            "budget_enforcement": budget.enforcement,
        }


def _as_given(name: str, value: StoredValue) -> Any:
    """Return a stored value in the unit in which a caller gives the option."""
    if value is None:
        return None
    if name in ("ttl", "max_lifetime", "max_duration"):
        return timedelta(milliseconds=int(value))
    return int(value) / MICROS if name == "cost_budget" else value


def new_session_fields(settings: SessionSettings, fields: Mapping[str, Argument]) -> list[Argument]:
    """Return names and values of a new session's fields, without those that the script writes itself."""
    own: dict[str, Argument] = {"run": NEW_TURNS} if "answered_by" in fields else {}
    own["value_bytes"] = value_bytes(fields)
    return [part for pair in (settings.fields() | dict(fields) | own).items() for part in pair]


def option_merges(options: Mapping[str, Any]) -> tuple[list[MergeRow], dict[str, Argument]]:
    """Return how `patch` changes options: rows to merge into packed records, and fields to set."""
    asked = stored_options(options)
    settings = SessionSettings()
    rows = [
        ("settings", "", ("max_messages", "cap_policy", "max_message_bytes", "ttl"), " *"),
        ("limits", "- - - error", ("max_turns", "max_entries", "max_duration", "limit_action"), ""),
        ("tree_limits", settings.tree_limits, TREE_BOUNDS, ""),
        ("budget", "- - spawn", ("token_budget", "cost_budget", "budget_enforcement"), ""),
    ]
    merges: list[MergeRow] = []
    for field, default, names, tail in rows:
        if asked.keys() & set(names):
            none = "0" if field == "settings" else "-"
            words = [_word(asked, name, none) for name in names]
            merges.append((field, default, " ".join(words) + tail))
    if asked.keys() & {"token_budget", "cost_budget", "budget_enforcement"} and not any(
        row[0] == "limits" for row in merges
    ):
        merges.append(("limits", "- - - error", "* * * *"))  # an append compares the budget only if the record exists
    fields: dict[str, Argument] = {
        name: int(asked[name] or 0) for name in ("max_tokens", "max_inbox") if name in asked
    }  # fmt: skip
    return merges, fields


def _word(asked: Mapping[str, StoredValue], name: str, none: str) -> str:
    if name not in asked:
        return "*"
    value = asked[name]
    return none if value is None else str(value)
