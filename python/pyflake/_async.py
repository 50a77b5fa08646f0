"""The async forms. None of them blocks the event loop: what waits for a store runs in the loop's executor."""

import asyncio

from pyflake._errors import ExhaustedError


async def _issue(attempt, wait):
    while True:
        try:
            found = attempt()
        except ExhaustedError as error:
            await asyncio.sleep(error.retry_after)
            continue
        if found is not None:
            return found
        # A node must be taken or renewed, or there is an error: the blocking call waits for it, or raises.
        return await asyncio.get_running_loop().run_in_executor(None, wait)


async def next_id(generator):
    return await _issue(generator._try_next_id, generator.next_id)


async def next_ids(generator, n):
    return await asyncio.get_running_loop().run_in_executor(None, generator.next_ids, n)


async def generate(client):
    return await _issue(client._try_generate, client.generate)
