"""The claims of tests/cases: one file for each table, with rows that arrive and the rows that come of them.

    name         the claim
    definitions  words that differ from the shipped ones; the funnel's steps by their names, or all of them as a list
    given        batch date -> raw table -> rows; the last date is the as-of day
    where        which rows of the table are meant, by the values of columns; all, where it is missing
    expect       those rows in any order, in the columns that the case is about

In a given row a list stands for a row with each of its values and `2026-01-05..2026-01-09` for a row on each of
these days; an id or a price that the case does not care about is left out. 3/31 is a fraction, and dates are text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from worlds import Batches, Warehouse, changed_definitions

from growth.language import definitions
from growth.language.sql import Sql
from growth.language.tables import SQL_FOLDER, table_folders

FOLDER = Path(__file__).parent / "cases"

# What a row says where the case does not: ids count the rows, so that two rows are never the same by accident.
LEFT_OUT = {
    "raw_users": {"user_id": "user {}"},
    "raw_events": {"event_id": "event {}"},
    "raw_subscriptions": {"subscription_id": "subscription {}", "plan_name": "Pro", "mrr": "79", "status": "active"},
    "raw_links": {"link_id": "link {}"},
}


class Loader(yaml.SafeLoader):
    """YAML in which dates stay text and 3/31 is a number."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("!fraction", re.compile(r"^\d+/\d+$"), list("0123456789"))
Loader.add_constructor("!fraction", lambda loader, node: float(Fraction(node.value)))


@cache
def cases_of(table: str) -> list[dict[str, Any]]:
    return yaml.load((FOLDER / f"{table}.yaml").read_text(encoding="utf-8"), Loader)


TABLES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
CASES = [pytest.param(table, case, id=f"{table}: {case['name']}") for table in TABLES for case in cases_of(table)]


@pytest.mark.every_engine
@pytest.mark.parametrize(("table", "case"), CASES)
def test_case(table: str, case: dict[str, Any], warehouse: Callable[..., Warehouse]) -> None:
    batches = {date.fromisoformat(day): rows_of(day, tables) for day, tables in case["given"].items()}
    filled = warehouse(Batches(batches), sql_with(json.dumps(case.get("definitions", {}))))
    first = min(batches)
    for day in sorted(batches):
        filled.run(first, day)
        first = day + timedelta(days=1)

    assert found(filled, table, case) == sorted(map(comparable, case["expect"]), key=repr)


def found(filled: Warehouse, table: str, case: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that a case is about, in the columns that it is about."""
    columns = list(case["expect"][0]) if case["expect"] else ["*"]
    where = case.get("where", {})
    query = f"select {', '.join(columns)} from {table} where {' and '.join(['1 = 1', *(f'{c} = ?' for c in where)])}"
    return sorted(map(comparable, filled.rows(query, *where.values())), key=repr)


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers as floats, to the ninth digit: the order in which fractions are added up is nobody's business."""
    return {c: round(float(v), 9) if isinstance(v, int | float) else v for c, v in row.items()}


@cache
def sql_with(changes: str) -> Sql:
    """The statements for the shipped definitions with some words replaced, given as JSON."""
    shipped = yaml.safe_load(definitions.PATH.read_text(encoding="utf-8"))
    return Sql(changed_definitions(**{word: merged(shipped[word], new) for word, new in json.loads(changes).items()}))


def merged(old: Any, new: Any) -> Any:
    """`new` in place of `old`: mappings key by key, where null takes a key away; lists by the names of their items."""
    if isinstance(old, dict) and isinstance(new, dict):
        both = old | {key: merged(old.get(key), value) for key, value in new.items()}
        return {key: value for key, value in both.items() if value is not None}
    if isinstance(old, list) and isinstance(new, dict):
        assert set(new) <= {item["name"] for item in old}
        return [merged(item, new.get(item["name"], {})) for item in old]
    return new


def rows_of(day: str, tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, str | None]]]:
    """The raw rows of a batch, written out."""
    written: dict[str, list[dict[str, str | None]]] = {}
    for table, rows in (tables or {}).items():
        written[table] = []
        for row in rows:
            for values in product(*map(each, row.values())):
                number = f"{len(written[table]) + 1} of {day}"
                left_out = {column: text.format(number) for column, text in LEFT_OUT[table].items()}
                texts = [None if value is None else str(value) for value in values]
                written[table].append(left_out | dict(zip(row, texts, strict=True)))
    return written


def each(value: Any) -> list[Any]:
    """The values that a value in a given row stands for."""
    if isinstance(value, list):
        return value
    if isinstance(value, str) and ".." in value:
        first, last = map(date.fromisoformat, value.split(".."))
        return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
    return [value]


# --- The files themselves ---


def test_every_table_has_its_cases_and_every_file_its_table() -> None:
    assert sorted(table_folders()) == TABLES


def test_no_key_is_misspelt() -> None:
    for table in TABLES:
        for case in cases_of(table):
            assert set(case) - {"definitions", "where"} == {"name", "given", "expect"}, case["name"]


@pytest.mark.parametrize("table", TABLES)
def test_names_are_sentences_and_different(table: str) -> None:
    names = [case["name"] for case in cases_of(table)]
    assert sorted(names) == sorted(set(names))
    assert [name for name in names if not re.fullmatch(r"[A-Z0-9(].*\.", name)] == []


def reasons_in_sql() -> Iterator[str]:
    for path in sorted((SQL_FOLDER / "raw").glob("*/typed.sql")):
        reasons = re.findall(r"(?:then|else) '([^']+)'", path.read_text(encoding="utf-8"))
        assert reasons
        yield from (f"{path.parent.name}: {reason}" for reason in reasons)


def test_every_reason_to_reject_has_a_case() -> None:
    rows = [row for case in cases_of("rejects") for row in case["expect"]]
    expected = {f"{row['table_name']}: {row['reject_reason']}" for row in rows if len(row) == 3 and "table_name" in row}
    assert sorted(expected) == sorted(reasons_in_sql())
