"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from servers import POSTGRES
from worlds import Batches, Warehouse, fresh_place, on_engine

from growth.engines import Place

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: the two workers then end at about the same time."""
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


ENGINES = ("sqlite", "duckdb", *(("postgres",) if os.environ.get(POSTGRES) else ()))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked every_engine run on each of them, others on SQLite."""
    if "engine" in metafunc.fixturenames:
        every = metafunc.definition.get_closest_marker("every_engine")
        metafunc.parametrize("engine", ENGINES if every else ENGINES[:1])
    if "every_other_engine" in metafunc.fixturenames:
        metafunc.parametrize("every_other_engine", ENGINES[1:])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if "postgres" not in ENGINES:
        terminalreporter.write_line(f"The PostgreSQL part did not run: {POSTGRES} names no server.")


@pytest.fixture
def place(tmp_path: Path, engine: str) -> Iterator[Callable[[], Place]]:
    """Makes places for warehouses of an engine."""
    with ExitStack() as made:
        yield lambda: made.enter_context(fresh_place(engine, tmp_path))


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
