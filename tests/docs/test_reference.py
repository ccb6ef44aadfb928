"""Tests that the reference and the glossary agree with the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import redis_sessions
from redis_sessions._core.commands.lease_states import TRANSITIONS
from redis_sessions._core.protocol.hash_tag import hash_tag
from redis_sessions._core.protocol.keys import entry_keys, shard_of
from redis_sessions._core.protocol.linker import folder
from redis_sessions._core.protocol.record_schema import SCHEMA
from redis_sessions.models.sessions import Status

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
STORAGE = (REFERENCE / "storage.md").read_text(encoding="utf-8")
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^\*\*([^*]+)\.\*\*", GLOSSARY, re.MULTILINE)
REQUIRED_TERMS = """session, incarnation, message, batch, seq, rev, turn, lease, fence, holder, waiter, inbox, tree, root, parent,
child, member, run, attempt, claim, worker, handler, run queue, loop, ledger, step, event, state, variable, document, category,
channel, conversation, namespace, hash tag, label, index entry, raise, repair, recover, subscriber, watcher, notification,
nonce, operation id, result, counters, settings, limits, cap, cap policy, pinned, trim, export, import, staged, group, task,
window, format, facts, layout, late result, open call, abandoned call, gap, fork, edit"""
FIELD_READS = re.compile(
    r"redis\.call\('H(?:MGET|GET|SET|DEL|EXISTS)',\s*\w+(?:\[[^\]]*\])?,\s*((?:[^()]|\([^()]*\))*)\)"
)
FIELD_LISTS = re.compile(r"read_fields\(\w+, \{([^}]*)\}")
CLIENT_FIELDS = re.compile(r"fields\[\"(\w+)\"\]|^    \"\w+\": \(\"(\w+)\"", re.MULTILINE)


def terms_in(name: str) -> list[str]:
    """Return the words of a name in camel case, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z][a-z]+", name)]


def documented_fields() -> set[str]:
    """Return the field names of the table of the session's hash. A name with a variable part ends in its dot."""
    table = STORAGE.partition("## The session's hash")[2].partition("### Results")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name.partition("<")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_generated_parts_are_current() -> None:
    """`tools/write_reference.py` would change no page."""
    command = [sys.executable, "tools/write_reference.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_public_names_are_in_the_reference() -> None:
    """Each public name is rendered on one of the pages client and models, or is an error."""
    pages = "".join((REFERENCE / name).read_text(encoding="utf-8") for name in ("client.md", "models.md"))
    rendered = re.findall(r"^::: redis_sessions\.(\w+)$", pages, re.MULTILINE)
    assert len(rendered) == len(set(rendered))
    assert sorted([*rendered, *redis_sessions.errors.__all__]) == sorted(redis_sessions.__all__)


def test_stored_fields_are_in_the_storage_reference() -> None:
    """Each field of a session's hash that a script or the client names is in the table of fields."""
    known = documented_fields()
    used: set[str] = set()
    for path in folder().rglob("*.lua"):
        if path.parent.name in ("indexes", "documents", "checkpoints"):
            continue  # their hashes are not sessions
        text = path.read_text(encoding="utf-8")
        for arguments in [*FIELD_READS.findall(text), *FIELD_LISTS.findall(text)]:
            used |= set(re.findall(r"'([a-z][a-z_]*\.?)'", arguments))
    fields = (ROOT / "redis_sessions" / "_core" / "commands" / "session_fields.py").read_text(encoding="utf-8")
    used |= {first or second for first, second in CLIENT_FIELDS.findall(fields)}
    values = {"active", "meta", "state", "var"}
    assert len(used) > 40
    assert used - known - values == set()
    assert {"cancelled", "state.", "var.", "meta.", "results.", "kept.", "layout"} <= known


def test_records_are_in_the_storage_reference() -> None:
    """Each packed record is a field in the table of fields, or belongs to the key of an agent."""
    known = documented_fields()
    for record in SCHEMA.values():
        for name in re.findall(r"[a-z_]+(?:\.|\b)(?=[ ,<;]|$)", record.field.partition(";")[0]):
            assert name in known, name


@pytest.mark.parametrize(
    ("id", "tag", "shard"), re.findall(r"^\| `([^`]+)` \| `(\w{8})` \| (\d+) \|$", STORAGE, re.MULTILINE)
)
def test_hash_tag_vectors_hold(id: str, tag: str, shard: str) -> None:
    """The hash tags and shards of the storage reference are those of the code."""
    assert hash_tag(id) == tag
    assert shard_of(tag) == int(shard)


@pytest.mark.parametrize(("index", "tag"), re.findall(r"^\| `(\w+:\w+)` \| `(\w{8})` \|$", STORAGE, re.MULTILINE))
def test_index_tag_vectors_hold(index: str, tag: str) -> None:
    """The hash tags of index values are those of the code."""
    name, _, value = index.partition(":")
    assert entry_keys("ns", name, "main", value).tag == tag


def test_glossary_is_in_alphabetical_order() -> None:
    """The glossary has each term once, in alphabetical order."""
    assert sorted(set(TERMS), key=str.lower) == TERMS


def test_glossary_has_the_terms_of_the_rules() -> None:
    """Each term that the prose rules fix is in the glossary."""
    assert {" ".join(term.split()) for term in REQUIRED_TERMS.split(",")} <= {term.lower() for term in TERMS}


def test_glossary_has_the_terms_of_public_names() -> None:
    """Each public class whose name is one term has this term in the glossary."""
    known = {term.lower() for term in TERMS}
    general = {"run", "state", "page", "usage", "variables", "documents", "checkpoints", "refinement", "evaluation"}
    for name in redis_sessions.__all__:
        words = terms_in(name)
        if len(words) == 1 and words[0] not in general:
            assert words[0] in known, name
    assert {"run", "state", "page", "usage", "variable", "document"} <= known


def test_glossary_has_the_terms_of_records() -> None:
    """Each packed record that is one word has this word in the glossary."""
    known = {term.lower() for term in TERMS}
    for name in SCHEMA:
        assert name.replace("_", " ") in known or "_" in name or name == "spent", name


def test_lease_diagram_has_the_transitions_of_the_code() -> None:
    """The diagram of the lease has each transition of the table, and no other."""
    page = (DOCS / "explanation" / "leases.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^    ([A-Z]+) --> ([A-Z]+): ([A-Z_]+)$", page, re.MULTILINE))
    assert drawn == {(before.name, after.name, event.name) for (before, event), after in TRANSITIONS.items()}


def test_session_diagram_has_the_statuses_of_the_code() -> None:
    """The diagram of the session has each status, and no other state."""
    page = (DOCS / "explanation" / "session-status.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^    (\w+|\[\*\]) --> (\w+|\[\*\]):", page, re.MULTILINE)
    assert {state for pair in drawn for state in pair} - {"[*]"} == set(get_args(Status))
