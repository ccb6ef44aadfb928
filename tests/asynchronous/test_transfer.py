"""Export and import under asyncio: the lines may come from either kind of iterable."""

from __future__ import annotations

import asyncio

from redis_sessions import AsyncSessionCache
from tests.conftest import Engines


def test_lines_flow_from_an_export_into_an_import(engines: Engines, namespace: str) -> None:
    """Without being gathered, and from a list."""

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
            run = await other.claim("a", wait=10)
            assert run is not None
            assert run.task == "t"
            await run.release()
            lines = [line async for line in root.export()]
            assert (await other.import_sessions(lines, existing="replace")).replaced == 2
            assert len(await other.session("root").history()) == 1200

    asyncio.run(main())
    engines.nodes["valkey-9"][0].client.flushall()
