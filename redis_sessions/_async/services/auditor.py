"""Tell the `audit` hook of a cache which orders succeeded."""

from __future__ import annotations

import inspect
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ..._core.commands.leases import owner_name
from ..._log_events import AUDIT_FAILED, error_facts
from ...errors import InvalidInput
from ...models.audit import AuditAction, AuditRecord
from ..transport import primitives, tasks


class Auditor:
    """Calls the hook after each order. Errors of the hook are logged, because the order has succeeded."""

    def __init__(self, hook: Callable[[AuditRecord], Any] | None, actor: str | None, namespace: str) -> None:
        """Take the hook and the actor of a cache. Raises InvalidInput."""
        if hook is not None and not callable(hook):
            raise InvalidInput(name="audit", detail=f"must be a function that takes an AuditRecord, got {hook!r}")
        if not primitives.ASYNC and inspect.iscoroutinefunction(hook):
            raise InvalidInput(
                name="audit", detail="must be a plain function, because this cache is not one for asyncio"
            )
        self._hook = hook
        self._actor = None if actor is None else owner_name(actor)
        self._namespace = namespace

    async def record(
        self,
        action: AuditAction,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Call the hook with the record of an order that succeeded."""
        if self._hook is None:
            return
        record = AuditRecord(
            action=action, namespace=self._namespace, actor=self._actor or owner_name(None), host=platform.node(),
            pid=os.getpid(), at=datetime.now(UTC), session_id=session_id, user_id=user_id, reason=reason, details=details or {},
        )  # fmt: skip
        try:
            await tasks.result_of(self._hook(record))
        except Exception as problem:
            AUDIT_FAILED.log(
                "the audit hook failed for %s of %s", action, session_id or user_id or "sessions", trace=problem,
                session_id=session_id, **error_facts(problem),
            )  # fmt: skip
