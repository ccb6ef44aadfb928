# Generated from _async/services/setup.py by tools/mirror.py; edit that file.
"""Check the options of a cache, and make what its handles share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from ..._arguments import check_function
from ..._core.protocol.chain import checked_chain
from ..._core.protocol.ids import check_namespace
from ..._core.protocol.token_estimate import IMAGE_TOKENS, estimate_tokens
from ..._durations import Duration, milliseconds, whole
from ...bounds import MAX_WIRE_BYTES, StorageBounds
from ...engines import Engine, with_address_remap
from ...errors import InvalidInput
from ...models.observer import OFF, TelemetrySource
from ...settings import (
    DEFAULT_ENCODED,
    AddressRemap,
    AuditHook,
    CacheOptions,
    Encodable,
    SessionSettings,
    TokenCounter,
    checked_names,
)
from ..transport.per_loop import PerLoop
from ..transport.renewal_thread import RenewalConnections
from .auditor import Auditor
from .context import CacheContext, CacheLimits, CacheParts


def make_context(
    engine: Engine,
    *,
    namespace: str = "sessions",
    timeout: Duration = 5.0,
    retry_for: Duration = 10.0,
    max_connections: int = 50,
    address_remap: AddressRemap | None = None,
    token_counter: TokenCounter | None = None,
    image_tokens: int = IMAGE_TOKENS,
    touch_on_read: bool = False,
    acks: int = 0,
    max_document_bytes: int = 1024 * 1024,
    bounds: StorageBounds | Mapping[str, int] | None = None,
    audit: AuditHook | None = None,
    actor: str | None = None,
    codecs: Sequence[Any] | None = None,
    encode: Collection[Encodable] = DEFAULT_ENCODED,
    telemetry: TelemetrySource | None = None,
    **settings: Any,
) -> CacheContext:
    """Return the objects of a cache with these options. Nothing is sent. Raises InvalidInput."""
    checked_names(settings, CacheOptions)
    engine = with_address_remap(engine, address_remap)
    check_namespace(namespace)
    defaults = SessionSettings.of(settings)
    whole(image_tokens, "image_tokens", maximum=1_000_000)
    count = token_counter or partial(estimate_tokens, image_tokens=image_tokens)
    if token_counter is None and image_tokens == IMAGE_TOKENS:
        count = estimate_tokens
    bound = milliseconds(retry_for, "retry_for") / 1000
    attempt = min(milliseconds(timeout, "timeout") / 1000, bound)
    if whole(acks, "acks", maximum=100) and engine.where.startswith(("fake://", "embedded://")):
        raise InvalidInput(name="acks", detail=f"must be 0, because {engine.where} has no replicas")
    storage = StorageBounds.of(bounds)
    limits = CacheLimits(attempt, bound, whole(max_connections, "max_connections", minimum=1), acks, storage)
    whole(max_document_bytes, "max_document_bytes", minimum=1, maximum=MAX_WIRE_BYTES)
    if token_counter is not None:
        check_function(token_counter, "token_counter")
    if codecs is None and encode is not DEFAULT_ENCODED:
        raise InvalidInput(
            name="encode", detail="needs codecs, because nothing is compressed or encrypted without them"
        )
    chain = checked_chain(namespace, () if codecs is None else codecs, encode)
    observer = OFF
    if telemetry is not None:
        if not hasattr(telemetry, "observe"):
            detail = f"must be a redis_sessions.telemetry.Telemetry, got {telemetry!r}"
            raise InvalidInput(name="telemetry", detail=detail)
        observer = telemetry.observe(engine)
    parts = PerLoop(partial(CacheParts.make, engine, namespace, limits, chain, observer))
    renewals = RenewalConnections(parts.current.executor)
    auditor = Auditor(audit, actor, namespace)
    return CacheContext(
        engine, parts, renewals, namespace, defaults, count, touch_on_read, storage, max_document_bytes, auditor, chain,
        observer,
    )  # fmt: skip
