"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worlds import Batches, Warehouse

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: the two workers then end at about the same time."""
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


@pytest.fixture
def warehouse(tmp_path: Path) -> Callable[..., Warehouse]:
    """Makes warehouses in files of their own: warehouse(source), warehouse(source, sql)."""
    made: list[Warehouse] = []

    def make(source: Any = None, sql: Any = None) -> Warehouse:
        made.append(Warehouse(tmp_path / f"warehouse {len(made)}.db", source or Batches(), sql))
        return made[-1]

    yield make
    for each in made:
        each.connection.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real files that nobody here made, beside the project. Tests that need them fail where they are missing."""
    folder = Path(os.environ.get("SAAS_GROWTH_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.fail(f"{folder}/data is missing: say where the shared folder lies with SAAS_GROWTH_SHARED")
    return folder
