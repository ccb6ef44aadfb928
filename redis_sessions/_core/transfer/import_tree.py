"""Check the tree of an import: its members, and the place of each session in it. A member's ID is one that a spawn made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ...errors import InvalidInput
from ...models.trees import SpawnRef
from ..protocol.hash_tag import hash_tag
from ..protocol.ids import check_id
from ..protocol.json_values import from_json
from ..protocol.records import Lineage, MemberRecord, SpawnCounts, parse_gaps
from .import_schema import Damaged, damaged

MAX_TREE_SESSIONS = 5001
_SPAWNED = re.compile(
    r"agent:[^:\s]{1,128}:subagent:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
"""The ID of a spawned session. It ends in random digits, so no session with a chosen name has one."""

_MARKED_NUMBER = re.compile(rb"\d+")
_SPAWN_RESULT = re.compile(r"\n\S+ \d+ spawned (\d{1,13}) (\S+) (\S+)")


class OutsideSession(NamedTuple):
    """A session that an import names and does not contain, as the server has it."""

    incarnation: str
    lineage: str


class Place(NamedTuple):
    """The place of a session in its tree."""

    number: int
    path: str
    ancestors: tuple[str, ...]


class Tree:
    """The members that the root of an import records. An export that begins with a child has none, only that child's place."""

    def __init__(self, root: str, fields: Mapping[bytes, bytes]) -> None:
        self.root = root
        self.root_incarnation = fields[b"incarnation"].decode()
        self.members: dict[int, MemberRecord] = {}
        self.top: Lineage | None = None
        """The lineage of the root of the import, if that is a child."""
        self._below: Counter[int] = Counter()
        """The number of recorded children of each member, by its number."""
        self._active_below: Counter[int] = Counter()
        if b"lineage" in fields:
            self.top = Lineage.parse(fields[b"lineage"])
            self._check_top(self.top)
            self._check_is_no_root(fields)
        else:
            self.members = dict(sorted(_read_members(root, fields)))
            self._check_members(fields)

    def outside(self, ids: Mapping[str, object]) -> list[tuple[int, MemberRecord]]:
        """Return the members whose sessions are not in the import: they expired, or were left out."""
        return [(number, member) for number, member in self.members.items() if member.id not in ids]

    def is_member(self, number: int, member: MemberRecord, found: OutsideSession) -> bool:
        """Return whether a session that the server has is a member outside of the import, in the tree of the import."""
        words = found.lineage.split()
        is_in_tree = words[:2] == [str(number), self.root_incarnation] and words[-1] == self.root
        return found.incarnation == member.incarnation and is_in_tree

    def place_of(self, id: str, fields: Mapping[bytes, bytes]) -> Place:
        """Return the place of a session. Raises Damaged when its lineage is not what the tree says."""
        if id == self.root and self.top is None:
            return Place(0, "/0/", ())
        if b"lineage" not in fields:
            raise Damaged(f"session {id!r} is not below the root, {self.root!r}")
        lineage = Lineage.parse(fields[b"lineage"])
        if lineage.id != id:
            raise damaged(id, "lineage", f"the ID {id!r}", fields[b"lineage"])
        if id != self.root:
            if self.root not in lineage.ancestors:
                raise Damaged(f"session {id!r} is not below the root, {self.root!r}: see its field 'lineage'")
            self._check_lineage(id, lineage, fields)
        return Place(lineage.number, lineage.path, tuple(lineage.ancestors))

    def check_children(self, id: str, number: int, fields: Mapping[bytes, bytes]) -> None:
        """Check the counts of the children of one session against the records of the members."""
        counts = SpawnCounts.parse(fields.get(b"children"))
        below, active = self._below[number], self._active_below[number]
        if not (below <= counts.total and active <= counts.active):
            expected = f"at least the {below} children that the root records, {active} of them active"
            raise damaged(id, "children", expected, fields.get(b"children", b""))
        if counts.active > counts.total:
            raise damaged(id, "children", "at most as many active children as children", fields[b"children"])

    def check_spawns(self, id: str, fields: Mapping[bytes, bytes]) -> None:
        """Check that the recorded results of spawns name members, because a repeated spawn returns that session."""
        for name, value in fields.items():
            if not name.startswith(b"results.") or b" spawned " not in value:
                continue
            for number, child, incarnation in _SPAWN_RESULT.findall(value.decode()):
                member = self.members.get(int(number))
                is_known = member is None or (member.id, member.incarnation) == (child, incarnation)
                if not is_known or not _is_spawned(child, hash_tag(self.root)):
                    raise damaged(id, name.decode(), f"the member {number} as the result of a spawn", child)

    def _check_members(self, fields: Mapping[bytes, bytes]) -> None:
        counts, members = SpawnCounts.parse(fields.get(b"tree")), self.members
        gone, last = 0, 0
        for first, behind in parse_gaps(fields.get(b"pruned", b"").decode()):
            if not last < first <= behind:
                raise damaged(self.root, "pruned", "ranges in order", fields[b"pruned"])
            if any(first <= number <= behind for number in members):
                raise damaged(self.root, "pruned", "no number of a member that is recorded", fields[b"pruned"])
            gone, last = gone + behind - first + 1, behind
        is_complete = counts.total == len(members) + gone and max([last, *members]) <= counts.total and 0 not in members
        active = sum(member.status == "active" for member in members.values())
        if not is_complete or counts.active != active or len(members) >= MAX_TREE_SESSIONS:
            expected = f"{len(members) + gone} members, as many as the root records, {active} of them active"
            raise damaged(self.root, "tree", expected, fields.get(b"tree", b"0 0"))
        ids: set[str] = set()
        for number, member in members.items():
            self._check_member(number, member)
            ids.add(member.id)
            self._below[member.parent] += 1
            self._active_below[member.parent] += member.status == "active"
        if len(ids) != len(members):
            raise Damaged(f"two members of {self.root!r} have the same ID")
        _check_marks(self.root, fields, counts.total)

    def _check_member(self, number: int, member: MemberRecord) -> None:
        name = f"member.{number}"
        if not (member.parent < number and (member.parent == 0 or member.parent in self.members)):
            raise damaged(self.root, name, "an earlier member as its parent", member.parent)
        if not _is_spawned(member.id, hash_tag(self.root)):
            raise damaged(self.root, name, "the ID of a session that a spawn of this tree made", member.id)

    def _check_lineage(self, id: str, lineage: Lineage, fields: Mapping[bytes, bytes]) -> None:
        if self.top is not None:
            self._check_below_top(id, lineage, fields)
            return
        member = self.members.get(lineage.number)
        if member is None or (member.id, member.incarnation) != (id, fields[b"incarnation"].decode()):
            raise damaged(
                id, "lineage", f"the number of a member that {self.root!r} records with this ID", lineage.number
            )
        numbers, ancestors, above = [lineage.number], [], member.parent
        while above:
            numbers.append(above)
            ancestors.append(self.members[above].id)
            above = self.members[above].parent
        path = "/0/" + "".join(f"{number}/" for number in reversed(numbers))
        expected = Lineage(lineage.number, self.root_incarnation, path, id, [*ancestors, self.root])
        if lineage != expected:
            raise damaged(id, "lineage", f"the ancestors that {self.root!r} records", fields[b"lineage"])

    def _check_top(self, top: Lineage) -> None:
        """Check the lineage of a child with which an import begins. The server is asked about the sessions above."""
        numbers = [int(number) for number in top.path.split("/") if number]
        is_path = numbers[-1:] == [top.number] and len(numbers) == len(top.ancestors) + 1
        names = [top.id, *top.ancestors]
        tag = hash_tag(self.root)
        is_below = (
            all(_is_spawned(name, tag) for name in names[:-1]) and _is_id(names[-1]) and hash_tag(names[-1]) == tag
        )
        if not is_path or numbers != sorted(set(numbers)) or not is_below or len(set(names)) != len(names):
            raise damaged(
                self.root, "lineage", "a path and ancestors of one tree", f"{top.path} {' '.join(top.ancestors)}"
            )

    def _check_is_no_root(self, fields: Mapping[bytes, bytes]) -> None:
        for name in fields:
            if name in (b"tree", b"pruned", b"cancelled", b"requested") or name.startswith(
                (b"member.", b"member_result.")
            ):
                raise Damaged(
                    f"field {name.decode()!r} of session {self.root!r} is damaged: expected it in the root of a tree"
                )

    def _check_below_top(self, id: str, lineage: Lineage, fields: Mapping[bytes, bytes]) -> None:
        top = self.top
        assert top is not None
        self._check_top(lineage)
        depth = len(top.ancestors)
        is_below = (
            lineage.root_incarnation == top.root_incarnation
            and lineage.path.startswith(top.path)
            and lineage.ancestors[-depth - 1 :] == [self.root, *top.ancestors]
        )
        if not is_below:
            raise damaged(id, "lineage", f"a place below {self.root!r}", fields[b"lineage"])


def is_recorded(id: str, incarnation: str, record: str) -> bool:
    """Return whether a root's record of a member names a session."""
    words = record.split(" ")
    return len(words) > 5 and (words[0], words[4]) == (id, incarnation)


def _read_members(root: str, fields: Mapping[bytes, bytes]) -> Iterator[tuple[int, MemberRecord]]:
    for name, value in fields.items():
        if not name.startswith(b"member."):
            continue
        number = name.removeprefix(b"member.")
        try:
            member = MemberRecord.parse(value.decode())
            if member.reference != "-":
                SpawnRef(**from_json(member.reference))
            yield int(number), member
        except (ValueError, TypeError):
            raise damaged(root, name.decode(), "the record of a member", value) from None


def _check_marks(root: str, fields: Mapping[bytes, bytes], total: int) -> None:
    """Check that what the root says of members names numbers that members have, or had."""
    for name, value in fields.items():
        if name in (b"cancelled", b"requested"):
            numbers = [int(number) for number in _MARKED_NUMBER.findall(value)]
        elif name.startswith(b"label."):
            numbers = [int(value)]
        elif name.startswith(b"member_result."):
            numbers = [int(name.partition(b".")[2])]
        else:
            continue
        if any(number > total for number in numbers) or len(numbers) > 3 * (total + 1):
            raise damaged(root, name.decode(), f"numbers of members, up to {total}", value)


def _is_spawned(id: str, tag: str) -> bool:
    """Return whether an ID has the form that spawns make, with a hash tag."""
    return _SPAWNED.fullmatch(id) is not None and _is_id(id) and hash_tag(id) == tag


def _is_id(id: str) -> bool:
    try:
        return check_id(id) == id
    except InvalidInput:
        return False
