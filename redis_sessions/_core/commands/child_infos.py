"""The members of a tree as `children` and `join` show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from ...errors import SessionNotFound, SessionsError
from ...models.sessions import SessionInfo
from ...models.trees import ChildInfo
from ..protocol.call import Call
from ..protocol.encoding import decoded, decoded_reason
from ..protocol.keys import SessionKeys
from ..protocol.result_records import MemberResult
from .trees import Member


def member_results(root: SessionKeys, members: Sequence[Member]) -> Call[list[dict[str, Any]]]:
    """Read the reason and the result of each member that was deleted with its end. Nothing for another member."""
    fields = [f"member_result.{member.number}" for member in members]

    def read(reply: list[bytes | None]) -> list[dict[str, Any]]:
        return [_facts(root, member, one) if one else {} for member, one in zip(members, reply, strict=True)]

    return Call(("HMGET", root.session, *fields), root, read, writes=False)


def _facts(root: SessionKeys, member: Member, text: bytes) -> dict[str, Any]:
    kept = MemberResult.parse(text)
    return kept._replace(
        reason=decoded_reason(root, kept.reason), result=decoded(root, kept.result, "result", owner=member.id)
    ).facts()


def child_info(member: Member, info: SessionInfo | SessionsError, kept: Mapping[str, Any]) -> ChildInfo:
    """Return a member with what its session says, if the session is still stored, else with what the tree kept of its end.

    Raises the error with which the session could not be read, such as DecryptionError.
    """
    if isinstance(info, SessionsError) and not isinstance(info, SessionNotFound):
        raise info
    known: dict[str, Any] = member._asdict()
    if isinstance(info, SessionsError) or info.incarnation != member.run_id:
        return ChildInfo(**known, is_stored=False, **kept)
    return ChildInfo(
        **known | {"status": info.status if member.status == "active" else member.status},
        is_stored=True,
        label=info.label,
        agent_id=info.agent_id,
        task=info.task,
        reason=info.reason,
        result=info.result,
        tokens=info.tokens,
        work=info.work,
        attempt=info.attempt,
        attempts=info.attempts,
        created_at=info.created_at,
        updated_at=info.updated_at,
        finished_at=info.finished_at,
        runtime=max((info.finished_at or info.read_at) - info.created_at, timedelta(0)),
        lease=info.lease,
    )
