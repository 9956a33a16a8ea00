"""The README shows what `make run` prints. `python tests/test_readme.py` brings it up to date.

Its map of tables is one of the generated pages: tests/test_docs.py.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from worlds import Warehouse, sqlite_place

from growth.commands.summary import print_summary
from growth.language import definitions
from growth.sources.synthetic.rows import Synthetic

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DAY = date(2026, 10, 31)


def page_of(warehouse: Warehouse) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_summary(
            warehouse.connection, definitions.load(), sqlite_place("/root/data/saas_funnel.db"), Path("/root")
        )
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


def filled_in(text: str, page: str) -> str:
    """The README with the output of `make run` as it should be."""
    text, times = re.subn(
        r"(<!-- page:[^\n]*-->\n```text\n).*?(```)", lambda m: f"{m[1]}{page}\n{m[2]}", text, flags=re.DOTALL
    )
    assert times == 1
    return text


def two_years(path: Path) -> Warehouse:
    logging.disable(logging.WARNING)
    warehouse = Warehouse(path, Synthetic())
    warehouse.run(warehouse.source.first_day, DAY)
    logging.disable(logging.NOTSET)
    return warehouse


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return two_years(tmp_path_factory.mktemp("readme") / "saas_funnel.db")


def test_its_page_is_what_make_run_prints(built: Warehouse) -> None:
    text = README.read_text(encoding="utf-8")
    assert text == filled_in(text, page_of(built))


def test_each_of_its_queries_answers(built: Warehouse) -> None:
    (block,) = re.findall(r"```sql\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    queries = [q for q in block.split(";") if q.strip()]
    assert len(queries) == 4
    for query in queries[:3]:
        assert built.query(query), query
    built.query(queries[3])


def test_the_commands_and_places_it_names_are_there() -> None:
    text = README.read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"`make (\w+)", text)) <= targets
    for path in re.findall(r"`((?:include|dags|plugins|tests|docs|data)/[^`<]*)`", text):
        assert path.startswith("data/") or (ROOT / path).exists(), path


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        page = page_of(two_years(Path(folder) / "saas_funnel.db"))
    README.write_text(filled_in(README.read_text(encoding="utf-8"), page), encoding="utf-8")
