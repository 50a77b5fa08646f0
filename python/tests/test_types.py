"""The stub is what the package is, and the tests are typed by it."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import need

import pyflake

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def mypy() -> None:
    need("mypy")


def test_the_stub_is_what_the_package_is(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    # The stub describes the front door; the rooms behind it are private.
    allowed.write_text("pyflake\\._.*\n")
    command = [sys.executable, "-m", "mypy.stubtest", "pyflake", "--allowlist", str(allowed), "--ignore-unused-allowlist"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_strict_on_the_tests(tmp_path: Path) -> None:
    files = sorted(HERE.glob("*.py"))
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_notices_wrong_types(tmp_path: Path) -> None:
    """The negative control: each line is an error."""
    code = tmp_path / "wrong.py"
    code.write_text(
        "import pyflake\n"
        "client = pyflake.PyflakeClient('1')\n"
        "number: int = client.generate()\n"
        "client.get_info()['name']\n"
        "pyflake.Generator(1, 2, 3, max_wait='1')\n"
        "text: str = pyflake.to_timestamp(1, 2)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert [f"wrong.py:{line}:" in done.stdout for line in range(2, 7)] == [True] * 5, done.stdout


def test_everything_public_has_a_docstring_in_the_stub() -> None:
    import ast

    tree = ast.parse((Path(pyflake.__file__).with_suffix(".pyi")).read_text())
    documented = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node)}
    assert set(pyflake.__all__) - documented == {"__version__"}
