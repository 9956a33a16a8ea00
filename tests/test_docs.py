"""Descriptions are true of their tables, and the pages that are generated from them are up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from worlds import Warehouse, default_sql

from growth.language import definitions
from growth.language.docs import documents
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS
from growth.language.tables import Table, load_raw_tables, load_table
from growth.warehouse.schema import prepare

ROOT = Path(__file__).parents[1]
TABLES = default_sql().tables
RAW_TABLES = load_raw_tables(definitions.load())
MARTS = [table for table in TABLES.values() if table.layer == "marts"]

# What DuckDB may infer for a column of each declared type: sums of whole numbers are hugeints.
INFERRED = {
    "text": {"VARCHAR"},
    "integer": {"INTEGER", "BIGINT", "HUGEINT"},
    "real": {"DOUBLE"},
}
MEASURES = {"people", "users", "user-days", "features", "share (0 to 1)", "points (0 to 100)"}


@cache
def pages() -> dict[Path, str]:
    return documents(ROOT)


def each(tables: list[Table]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("table", [pytest.param(table, id=table.name) for table in tables])


@pytest.fixture
def empty(warehouse: Callable[..., Warehouse]) -> Iterator[Warehouse]:
    made = warehouse()
    prepare(made.connection, made.sql)
    yield made
    made.close()


def test_the_generated_pages_are_up_to_date() -> None:
    stale = [path.name for path, text in pages().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run python -m growth docs"


@pytest.mark.every_engine
def test_a_query_gives_the_columns_of_its_description_in_their_order(empty: Warehouse) -> None:
    for name, table in TABLES.items():
        for whole in (False, True):
            cursor = empty.connection.execute(f"select * from (\n{empty.sql.query(name, whole)}\n) as q limit 0")
            assert [column[0] for column in cursor.description] == list(table.columns), name


@pytest.mark.every_engine
def test_the_warehouse_has_the_tables_and_columns_that_are_described(empty: Warehouse) -> None:
    for name, table in (TABLES | RAW_TABLES).items():
        assert empty.sql.engine.columns(empty.connection, name) == list(table.columns), name


def test_a_column_holds_what_its_query_gives() -> None:
    duckdb = pytest.importorskip("duckdb")
    sql = default_sql("duckdb")
    with duckdb.connect() as connection:
        for statement in sql.create():
            connection.execute(statement)
        for name, table in TABLES.items():
            found = connection.execute(f"describe {sql.query(name)}").fetchall()
            wrong = [(c, t) for c, t, *_ in found if t not in INFERRED[table.columns[c].type]]
            assert not wrong, name


@pytest.mark.every_engine
def test_the_database_says_what_tables_and_columns_mean(empty: Warehouse, engine: str) -> None:
    if engine == "sqlite":
        assert not [statement for statement in empty.sql.create() if statement.startswith("comment")]
        return
    query = {
        "duckdb": "select column_name, comment from duckdb_columns() where table_name = ?",
        "postgres": "select attname, col_description(attrelid, attnum) from pg_attribute"
        " where attrelid = cast(? as regclass) and attnum > 0",
    }[engine]
    for name, table in (TABLES | RAW_TABLES).items():
        comments = dict(empty.query(query, name))
        for column, described in table.columns.items():
            assert comments[column] == f"{described.sentence} [{described.unit}]", (name, column)


@pytest.mark.parametrize(
    "column",
    [
        "{type: integer, unit: users, sentence: ''}",
        "{type: integer, unit: furlongs, sentence: How far.}",
        "{type: date, unit: date, sentence: When.}",
        "{type: text, sentence: What.}",
    ],
)
def test_a_column_without_a_known_type_and_unit_and_a_sentence_is_refused(tmp_path: Path, column: str) -> None:
    folder = tmp_path / "marts" / "fct"
    folder.mkdir(parents=True)
    (folder / "table.yaml").write_text(f"sentence: What it is.\ngrain: [a]\ncolumns:\n  a: {column}\n")
    with pytest.raises(ValueError, match=r"columns\.a\."):
        load_table(folder, definitions.load())


def test_raw_tables_have_the_columns_that_sources_fill() -> None:
    for name, columns in RAW_COLUMNS.items():
        assert list(RAW_TABLES[name].columns) == [*ARRIVAL_COLUMNS, *columns]
        assert RAW_TABLES[name].grain == ARRIVAL_COLUMNS


def test_the_words_that_columns_use_are_in_the_dictionary_and_none_is_idle() -> None:
    shipped = definitions.load()
    used = {column.word for table in TABLES.values() for column in table.columns.values() if column.word}
    for word in used:
        assert shipped.word(word).sentence
    assert set(shipped.words) <= used


@each(MARTS)
def test_each_number_of_a_mart_has_a_formula_and_an_example(table: Table) -> None:
    page = pages()[ROOT / "docs/metrics.md"]
    for name, column in table.columns.items():
        if column.unit in MEASURES:
            assert column.formula, name
        if column.formula:
            section = page.partition(f"### {table.name}.{name}\n")[2].partition("\n#")[0]
            assert "* Example: " in section, name
    for case in table.examples:
        assert f" in [{case}]" in page, f"no column of {table.name} needs the example {case!r}"
