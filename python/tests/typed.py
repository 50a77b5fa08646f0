"""Code of a user, which `mypy --strict` accepts: it is checked and not run."""

from datetime import datetime

from typing_extensions import assert_type

import pyflake
from pyflake import Generator, PyflakeClient, Recent

client = PyflakeClient.leased("/var/lib/pyflake", 1_555_301_520_000, cache=Recent(1000), label="api")
assert_type(client.generate(), str)
assert_type(client.get_info()["generated"], int)
assert_type(client.to_timestamp("1"), int)
assert_type(client.to_timestamp(1, "s"), float)
assert_type(client._cache[1]["idx"], int)
generator = Generator(1_555_301_520_000, 6, 17)
assert_type(generator.next_ids(5), list[int])
assert_type(next(pyflake.pyflake_generator(0, 1, 2))["snowflake"], int)
assert_type(pyflake.to_datetime(0, 1), datetime)


async def handler() -> str:
    assert_type(await generator.next_id_async(), int)
    return await client.generate_async()
