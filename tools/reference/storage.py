"""The reference of keys, records and scripts."""

from __future__ import annotations

import re

from redis_sessions._core.protocol import keys, record_schema
from redis_sessions._core.protocol.linker import folder
from redis_sessions._core.protocol.scripts import names

from .facts import KEY_FACTS, SCRIPT_FOLDERS
from .text import code, prose, table, wrapped


def key_table() -> str:
    """Return the table of the whole keyspace, from the docstring of `keys.py`."""
    rows: list[list[str]] = []
    for line in (keys.__doc__ or "").splitlines():
        found = re.match(r" {4}(<namespace>:\S.*?)\s{2,}(\S.*)$", line)
        rest = re.match(r" {26,}(string|hash|list|zset|channel)\s{2,}(\S.*)$", line)
        alone = re.match(r" {4}(<namespace>:\S.*)$", line)
        if rest:
            rows[-1][1:] = [rest[1], rest[2]]
        elif found:
            kind, _, meaning = found[2].partition(" ")
            is_kind = kind in ("string", "hash", "list", "zset", "channel")
            rows.append([found[1], kind if is_kind else "", meaning.strip() if is_kind else found[2]])
        elif alone:
            rows.append([alone[1], "", ""])
    assert [row[0] for row in rows] == list(KEY_FACTS), set(KEY_FACTS) ^ {row[0] for row in rows}
    full = [
        [f"`{key}`", KEY_FACTS[key].kind or kind, meaning, KEY_FACTS[key].ttl, KEY_FACTS[key].writers]
        for key, kind, meaning in rows
    ]
    return table(["key", "type", "meaning", "TTL", "written by"], full)


def record_list() -> str:
    """Return a table of words for each packed record."""
    parts = []
    for name, record in record_schema.SCHEMA.items():
        lines = [f"### {name.replace('_', ' ')} record", "", f"- Field: `{record.field}`"]
        if record.note:
            lines.append(wrapped(prose(f"Note: {record.note}"), "- "))
        rows = [
            [str(at), code(word.name), code(word.type), prose(word.meaning)] for at, word in enumerate(record.words, 1)
        ]
        parts.append("\n".join([*lines, "", table(["#", "word", "type", "meaning"], rows)]))
    return "\n\n".join(parts)


def script_list() -> str:
    """Return a section for each script, from its header and its binding block."""
    parts = []
    group = ""
    for name in names():
        if name.split("/")[0] != group:
            group = name.split("/")[0]
            parts.append(f"## {group}\n\n{SCRIPT_FOLDERS[group]}")
        parts.append(script_section(name))
    return "\n\n".join(parts)


def script_section(name: str) -> str:
    """Return the section of one script."""
    text = (folder() / f"{name}.lua").read_text(encoding="utf-8")
    head, _, rest = text.partition("\n--- include:")
    comments = [line[3:] for line in head.splitlines() if line.startswith("-- ")]
    joined = "\n".join(comments)
    summary, returns, refusals, index = re.fullmatch(
        r"(.*?)(?:\n(Returns .*?))?(?:\nErrors: (.*?))?\nIndex: (.*)", joined, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    lines = [f"### {name}", "", wrapped(prose(summary)), ""]
    bindings: list[list[str]] = []
    for line in (rest or text).splitlines():
        found = re.match(r"local (\w+)\s*= (.*?)\s*(?:-- (.*))?$", line)
        if found and re.search(r"\b(KEYS|ARGV)\b", found[2]):
            place = re.search(r"(KEYS|ARGV)(?:\[(\d+)\]|, (\d+))", found[2])
            assert place is not None
            position = f"{place[1]}[{place[2]}]" if place[2] else f"{place[1]}[{place[3]}…]"
            bindings.append([code(position), code(found[1]), prose(found[3] or "")])
        elif bindings and re.match(r"\s+-- ", line):
            bindings[-1][2] += " " + prose(line.strip()[3:])
        elif bindings and line.strip():
            break
    lines += [table(["", "name", "meaning"], bindings), ""]
    if returns:
        lines += [wrapped(prose(returns), "- ")]
    lines += [
        wrapped(f"Errors: {', '.join(map(code, refusals.split())) if refusals else 'none'}", "- "),
        wrapped(f"Index: {prose(index)}", "- "),
    ]
    return "\n".join(lines)
