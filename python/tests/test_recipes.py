"""The recipes of README.md, as they stand there."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import EPOCH, LEASED_EPOCH, need

README = Path(__file__).parent.parent / "README.md"
RECIPES = dict(re.findall(r"<!-- recipe: (\w+) -->\n```python\n(.*?)```", README.read_text(), re.DOTALL))


def in_tests(code: str) -> str:
    """The same code with the epoch of leases in the tests: this process uses the other one without leases."""
    return code.replace("1_555_301_520_000", str(LEASED_EPOCH))


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Runs a recipe as a module, with a lease directory of its own."""
    monkeypatch.setenv("PYFLAKE_WHERE", str(tmp_path / "lease"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(name: str) -> Any:
        need(name, *["httpx"] * (name == "fastapi"))
        module = f"recipe_{name}"
        (tmp_path / f"{module}.py").write_text(in_tests(RECIPES[name]))
        monkeypatch.delitem(sys.modules, module, raising=False)
        return __import__(module)

    return load


def test_fastapi(recipe: Callable[[str], Any]) -> None:
    module = recipe("fastapi")
    from fastapi.testclient import TestClient

    with TestClient(module.app) as http:
        answers = [http.post("/orders").json() for _ in range(50)]
        assert http.get("/ready").status_code == 200
    ids = [answer["id"] for answer in answers]
    assert all(type(id) is str for id in ids) and len(set(ids)) == 50
    assert [answer["created"] for answer in answers] == sorted(answer["created"] for answer in answers)


def test_sqlalchemy(recipe: Callable[[str], Any]) -> None:
    module = recipe("sqlalchemy")
    from sqlalchemy import create_engine, select
    from sqlalchemy.orm import Session

    engine = create_engine("sqlite://")
    module.Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([module.Order(name=str(n)) for n in range(100)])
        session.commit()
        ids = list(session.scalars(select(module.Order.id).order_by(module.Order.id)))
        assert len(set(ids)) == 100 and all(0 < id < 1 << 63 for id in ids)
        today = list(session.scalars(module.orders_between(module.START, module.END)))
        assert len(today) == 100


def test_pydantic(recipe: Callable[[str], Any]) -> None:
    module = recipe("pydantic")
    order = module.Order(id=473032512445898752)
    assert order.model_dump_json() == '{"id":"473032512445898752"}'
    assert module.Order.model_validate_json(order.model_dump_json()).id == order.id
    for wrong in [-1, 2**64, "x"]:
        with pytest.raises(ValueError):
            module.Order(id=wrong)


def test_celery(recipe: Callable[[str], Any]) -> None:
    module = recipe("celery")
    module.app.conf.task_always_eager = True
    ids = [module.create_order.delay().get() for _ in range(50)]
    assert len(set(ids)) == 50


def test_uuid_and_snowflake_id_page() -> None:
    """The page "from PyPI's snowflake-id / uuid": its blocks run."""
    page = (README.parent / "MIGRATING.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, "MIGRATING.md", "exec"), {})


def test_readme_blocks_without_a_recipe_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = README.read_text()
    for name in RECIPES:
        text = text.replace(f"<!-- recipe: {name} -->\n```python\n{RECIPES[name]}```", "")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(in_tests(block) if "leased" in block else block, "README.md", "exec"), {})


def test_the_epoch_of_the_recipes_is_one() -> None:
    assert all(str(EPOCH) in text.replace("_", "") for text in RECIPES.values() if "EPOCH =" in text)
