"""What all tests share: a home of their own, the engines, warehouses, and the report of what did not run."""

# ruff: noqa: E402 - the environment is set before anything else is imported

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ

if not IS_WORKER:
    # Nothing may be left outside the clone. Airflow makes its home folder as soon as it is imported, and a browser
    # writes below HOME; so this comes before any other import. Workers inherit the environment, and the folder is
    # removed when this process ends.
    _scratch = tempfile.TemporaryDirectory(prefix="growth-tests-", ignore_cleanup_errors=True)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        os.environ.pop(name, None)
    for name, folder in {"HOME": "home", "AIRFLOW_HOME": "airflow", "TMPDIR": "tmp"}.items():
        os.environ[name] = f"{_scratch.name}/{folder}"
        Path(os.environ[name]).mkdir()
    tempfile.tempdir = None

import parts
import pytest
from worlds import ENGINES, Batches, Warehouse, fresh_place, on_engine
from xdist.scheduler import LoadScopeScheduling

from growth.engines import Place

ROOT = Path(__file__).parents[1]

# Tests of a running Airflow wait most of their time: they begin first, and other workers compute beside them.
WAITING = ("test_scheduler.py", "test_team.py", "test_growth_page_browser.py", "test_run_command.py", "test_up.py")
# Files whose tests share nothing: a worker takes one test of them at a time, of others the whole file.
SPLIT = (
    "test_roads.py",
    "test_engines.py",
    "test_scope_rules.py",
    "test_ninety_days.py",
    "test_identity.py",
    "test_restatements.py",
    "test_erase.py",
)
# Its tests of one table on one engine share warehouses.
CASES = "test_cases.py"


# --- Which tests run, where and in which order


def pytest_configure(config: pytest.Config) -> None:
    if not IS_WORKER and (wrong := parts.what_is_wrong()):
        raise pytest.UsageError("\n".join(wrong))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests with an `engine` run on SQLite; those marked every_engine on all, with others="prove" there only."""
    every = metafunc.definition.get_closest_marker("every_engine")
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", _engines(every.kwargs.get("others") if every else "none"))
    if "every_other_engine" in metafunc.fixturenames:
        metafunc.parametrize("every_other_engine", _engines(every.kwargs.get("others") if every else None)[1:])


def _engines(others: str | None) -> list[Any]:
    if others == "none":
        return [ENGINES[0]]
    marks = [pytest.mark.prove] if others == "prove" else []
    return [ENGINES[0], *(pytest.param(engine, marks=marks) for engine in ENGINES[1:])]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest come first and the shortest last, so that the workers end at about the same time."""
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}

    def turn(item: pytest.Item) -> tuple[int, bool, bool]:
        name = item.path.name
        waiting = WAITING.index(name) if name in WAITING else len(WAITING)
        return waiting, item.path not in slow_files, name == CASES

    items.sort(key=turn)


class Scheduling(LoadScopeScheduling):
    """Gives a worker the next file, or the next test where the file is one of SPLIT."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.endswith(CASES):
            return nodeid.partition(": ")[0]
        return nodeid if file.endswith(SPLIT) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return Scheduling(config, log)


# --- Parts that are missing


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            parts.need(name)
    engines = getattr(item, "callspec", None) and item.callspec.params
    if engines and "postgres" in (engines.get("engine"), engines.get("every_other_engine")):
        parts.need("PostgreSQL")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each reason why tests did not run."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", ())
    )
    if reasons:
        terminalreporter.section("did not run")
        for reason, number in reasons.most_common():
            part, _, how = reason.partition(": ")
            terminalreporter.line(f"{part}: {number} test{'s' * (number > 1)} did not run: {how}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files, which lies beside the project."""
    return Path(parts.need("real data"))


# --- Warehouses


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
