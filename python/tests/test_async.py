"""The async forms: IDs as from the blocking ones, and a loop that never stands still."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pyflake
import pytest
from conftest import EPOCH, LEASED_EPOCH
from pyflake import Generator, PyflakeClient


async def longest_pause(work: Callable[[], Awaitable[Any]]) -> tuple[Any, float]:
    """What `work` returned, and the longest time that the loop did nothing else meanwhile."""
    pauses = [0.0]

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0)
            now = time.monotonic()
            pauses.append(now - last)
            last = now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    found = await work()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ticker.cancel()
    return found, max(pauses)


def test_async_ids_are_unique_and_the_loop_goes_on() -> None:
    generator = Generator(EPOCH, 27, 1)
    client = PyflakeClient(EPOCH)
    client.create_generator(27, 2)

    async def work() -> list[int]:
        async def some() -> list[int]:
            ids = []
            for _ in range(2000):
                ids += [await generator.next_id_async(), int(await client.generate_async())]
                await asyncio.sleep(0)
            return ids

        return [id for ids in await asyncio.gather(*[some() for _ in range(10)]) for id in ids]

    ids = asyncio.run(work())
    assert len(set(ids)) == 40_000
    assert client._generated == 20_000 == len(client._cache)


def test_a_long_wait_does_not_block_the_loop() -> None:
    """A run of 2 million IDs waits for half a second; the blocking call is the negative control."""
    generator = Generator(EPOCH, 28, 1)

    async def blocking() -> list[int]:
        return generator.next_ids(2_000_000)

    ids, pause = asyncio.run(longest_pause(blocking))
    assert pause > 0.3
    ids, free = asyncio.run(longest_pause(lambda: generator.next_ids_async(2_000_000)))
    assert len(ids) == 2_000_000 and free < pause


def test_an_exhausted_millisecond_is_slept_through() -> None:
    generator = Generator(EPOCH, 29, 1)

    async def work() -> list[int]:
        return [await generator.next_id_async() for _ in range(30_000)]

    ids = asyncio.run(work())
    assert ids == sorted(set(ids))


def test_a_leased_object_in_async_code(tmp_path: Path) -> None:
    async def work() -> None:
        with PyflakeClient.leased(tmp_path / "lease", LEASED_EPOCH) as client:
            ids = await asyncio.gather(*[client.generate_async() for _ in range(1000)])
            assert len(set(ids)) == 1000
        with pytest.raises(pyflake.LeaseError, match="given back"):
            await client.generate_async()

    asyncio.run(work())


def test_errors_come_through() -> None:
    with pytest.raises(pyflake.NoGeneratorError):
        asyncio.run(PyflakeClient(EPOCH).generate_async())
    with pytest.raises(TypeError):
        asyncio.run(Generator(EPOCH, 29, 2).next_ids_async("x"))  # type: ignore[arg-type]
