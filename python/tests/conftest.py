"""What the tests share."""

import importlib.util
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

EPOCH = 1_555_301_520_000

#: For leases that the tests' own process takes: within a process a node is used under leases or without one.
LEASED_EPOCH = EPOCH + 1000

#: The manual of the pure Python package. It lies beside the repository where that is developed.
MANUAL = Path(__file__).parent / "manual.md"


@pytest.fixture
def epoch() -> int:
    return EPOCH


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Runs a script in an interpreter of its own, and returns what it printed."""

    def run(script: str, *args: object, timeout: float = 60, code: int = 0) -> str:
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(script))
        command = [sys.executable, "-X", "faulthandler", str(path), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=tmp_path)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    return run


def need(*modules: str) -> None:
    """Skips a test where packages of requirements-test.txt are missing; under ci/python.sh none may be."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing and os.environ.get("PYFLAKE_REQUIRE_PACKAGES"):
        pytest.fail(f"{missing} are not installed")
    elif missing:
        pytest.skip(f"{missing} are not installed: pip install -r python/requirements-test.txt")


def url_of(name: str) -> str:
    """The URL of a test server, which ci/python.sh starts; without it the test is skipped."""
    url = os.environ.get(name)
    if url is None:
        if os.environ.get("PYFLAKE_REQUIRE_SERVERS"):
            pytest.fail(f"{name} is not set")
        pytest.skip(f"{name} is not set: run ci/python.sh")
    return url


@pytest.fixture
def postgres_url() -> str:
    return url_of("PYFLAKE_POSTGRES_URL")


@pytest.fixture
def etcd_url() -> str:
    return url_of("PYFLAKE_ETCD_URL")
