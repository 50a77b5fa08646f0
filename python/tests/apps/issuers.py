"""The client of the prefork tests, made at import, so before the fork; every ID is written down where it is issued."""

import os
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

EPOCH = 1_555_301_520_000
ROOT = Path(os.environ["PREFORK_ROOT"])

if os.environ["PREFORK_ISSUER"] == "pure":
    from oracle import PureClient

    client = PureClient(EPOCH)
    client.create_generator(6, 17)
else:
    import pyflake

    where = os.environ.get("PREFORK_WHERE") or str(ROOT / "lease")
    client = pyflake.PyflakeClient.leased(where, EPOCH, realm="prefork", cache=pyflake.Recent(100), window=2.0)

# The parent issues too.
parent = [client.generate()]

_files: dict[int, int] = {}
_lock = threading.Lock()


def issue(n: int) -> list[str]:
    """Issues IDs and writes them down."""
    ids = [client.generate() for _ in range(n)]
    with _lock:
        file = _files.get(os.getpid())
        if file is None:
            path = ROOT / f"ids-{os.getpid()}"
            file = _files[os.getpid()] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, b"".join(int(id).to_bytes(8, "little") for id in ids))
    return ids
