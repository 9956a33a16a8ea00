"""The README says what commands print and files hold. `python tests/test_readme.py` brings it up to date."""

from __future__ import annotations

import contextlib
import io
import logging
import re
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from worlds import Warehouse, default_sql, sqlite_place

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


def map_of_tables() -> str:
    return "\n".join(
        f"| {m.layer} | `{m.name}` | {', '.join(f'`{c}`' for c in m.grain)} | {m.header.sentence} |"
        for m in default_sql().tables.values()
    )


def filled_in(text: str, page: str) -> str:
    """The README with its generated parts as they should be."""
    mapping = (ROOT / "include/sources/relax.yaml").read_text(encoding="utf-8").strip()
    for between, content in {
        r"(<!-- page:[^\n]*-->\n```text\n).*?(```)": page,
        r"(<!-- relax:[^\n]*-->\n```yaml\n).*?(```)": mapping,
        r"(what it says \|\n\|---\|---\|---\|---\|\n).*?(<!-- map:)": map_of_tables(),
    }.items():
        text, times = re.subn(between, lambda m, c=content: f"{m[1]}{c}\n{m[2]}", text, flags=re.DOTALL)
        assert times == 1, f"the README has no place for {between}"
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


def test_its_page_map_and_mapping_are_what_the_project_gives(built: Warehouse) -> None:
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
