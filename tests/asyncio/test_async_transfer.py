"""Export and import under asyncio: the lines come from an async iterable or a list."""

from __future__ import annotations

import asyncio

from redis_sessions import AsyncSessionCache
from tests.conftest import Engines


def test_export_can_feed_an_import_directly(engines: Engines, namespace: str) -> None:
    """An import takes the lines of an async export, or a list of lines."""

    async def main() -> None:
        url = engines.url("valkey-9")
        async with (
            AsyncSessionCache.from_url(url, namespace=namespace) as cache,
            AsyncSessionCache.from_url(url, namespace=f"{namespace}-other") as other,
        ):
            root = await cache.create("root", max_messages=None)
            await root.append(*[{"role": "user", "content": str(n)} for n in range(1200)])
            (await root.spawn("a", task="t")).raise_if_refused()
            result = await other.import_sessions(root.export())
            assert (result.imported, result.messages) == (2, 1200)
            run = await other.claim("a", wait=60)
            assert run is not None
            assert run.task == "t"
            await run.release()
            lines = [line async for line in root.export()]
            assert (await other.import_sessions(lines, on_conflict="replace")).replaced == 2
            assert len(await other.session("root").history()) == 1200

    asyncio.run(main())
    engines.nodes["valkey-9"][0].client.flushall()
