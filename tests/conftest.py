"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import POSTGRES, postgres_place, without_schema
from worlds import Batches, Warehouse, on_engine

from growth.engines import Place

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: the two workers then end at about the same time."""
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


ENGINES = ("sqlite", "duckdb", *(("postgres",) if POSTGRES else ()))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked every_engine run on each of them, others on SQLite."""
    if "engine" in metafunc.fixturenames:
        every = metafunc.definition.get_closest_marker("every_engine")
        metafunc.parametrize("engine", ENGINES if every else ENGINES[:1])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not POSTGRES:
        terminalreporter.write_line("PostgreSQL: its part did not run, SAAS_GROWTH_TEST_POSTGRES names no server.")


@pytest.fixture
def place(tmp_path: Path, engine: str) -> Callable[[], Place]:
    """Makes places for warehouses of an engine."""
    made: list[Place] = []

    def make() -> Place:
        file = tmp_path / f"warehouse {len(made)}.{'db' if engine == 'sqlite' else engine}"
        made.append(postgres_place() if engine == "postgres" else Place(engine, str(file)))
        return made[-1]

    yield make
    for each in made:
        if each.kind == "postgres":
            without_schema(each)


@pytest.fixture
def warehouse(place: Callable[[], Place]) -> Callable[..., Warehouse]:
    """Makes warehouses of an engine: warehouse(source), warehouse(source, sql)."""
    made: list[Warehouse] = []

    def make(source: Any = None, sql: Any = None) -> Warehouse:
        where = place()
        made.append(Warehouse(where, source or Batches(), sql and on_engine(sql, where.kind)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real files that nobody here made, beside the project. Tests that need them fail where they are missing."""
    folder = Path(os.environ.get("SAAS_GROWTH_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.fail(f"{folder}/data is missing: say where the shared folder lies with SAAS_GROWTH_SHARED")
    return folder
