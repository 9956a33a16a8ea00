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
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from worlds import ENGINES, Batches, Warehouse, changed_definitions, fresh_place, on_engine

from growth.engines import Place
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


# --- What a case says ---


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers as floats, to the ninth digit: engines add fractions up in different orders."""
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


# --- Which cases share a warehouse ---

# Tables in which all people are counted together.
OF_ALL_PEOPLE = {
    "fct_acquisition_funnel",
    "fct_acquisition_funnel_by_channel",
    "fct_active_users",
    "fct_engagement_cohorts",
    "int_user_engagement_totals",
}
IDS = ("user_id", "anonymous_id", "other_user_id", "other_anonymous_id", "event_id", "subscription_id", "link_id")
NO_IDS = set(definitions.load().identity.no_ids)
# In a batch of rejected rows alone, the share of them is no error.
LENIENT = {"quality": {"max_rejected_rate": 1}}


@dataclass(frozen=True)
class Case:
    table: str
    number: int

    @property
    def content(self) -> dict[str, Any]:
        return cases_of(self.table)[self.number]

    @property
    def mark(self) -> str:
        """What each id and the file of this case begin with where it shares a warehouse."""
        return f"case{self.number:03}."

    @property
    def can_share(self) -> bool:
        """Whether its rows can be told from those of other cases.

        They cannot where everybody is counted together, where an id is not meant as one, and where no row is expected:
        then nothing would show that the rows of the case have been looked for at the right place.
        """
        if self.table in OF_ALL_PEOPLE or not self.content["expect"]:
            return False
        rows = [row for tables in self.content["given"].values() for rows in (tables or {}).values() for row in rows]
        ids = [value for row in rows for column in IDS if column in row for value in each(row[column])]
        return all(re.fullmatch(r"\w+( \w+)*", str(i), re.ASCII) and str(i) not in NO_IDS for i in ids)


@dataclass(frozen=True)
class World:
    """Cases that share a warehouse: of one table, one dictionary and one as-of day. Or one that stands alone."""

    cases: tuple[Case, ...]

    @property
    def marks(self) -> dict[Case, str]:
        return {case: case.mark for case in self.cases} if len(self.cases) > 1 else dict.fromkeys(self.cases, "")

    def sql(self, engine: str) -> Sql:
        changes = self.cases[0].content.get("definitions", {})
        if len(self.cases) > 1:
            changes = LENIENT | changes
        return on_engine(sql_with(json.dumps(changes)), engine)

    def batches(self) -> dict[date, dict[str, list[dict[str, str | None]]]]:
        """The batches of all its cases, in the order of the cases."""
        batches: dict[date, dict[str, list[dict[str, str | None]]]] = defaultdict(lambda: defaultdict(list))
        for case, mark in self.marks.items():
            for day, tables in case.content["given"].items():
                batch = batches[date.fromisoformat(day)]
                for table, rows in rows_of(day, tables).items():
                    batch[table] += [marked(row, mark) for row in rows]
        return batches

    def run(self, place: Place) -> Warehouse:
        batches = self.batches()
        filled = Warehouse(place, Batches(batches), self.sql(place.kind))
        first = min(batches)
        for day in sorted(batches):
            filled.run(first, day)
            first = day + timedelta(days=1)
        return filled

    def found(self, filled: Warehouse) -> dict[Case, list[dict[str, Any]]]:
        """The rows of each case, as the case alone would have them. A row that belongs to no case is a mistake."""
        found: dict[Case, list[dict[str, Any]]] = {case: [] for case in self.cases}
        for row in filled.rows(f"select * from {self.cases[0].table}"):
            texts = [value for value in row.values() if isinstance(value, str)]
            (case,) = [case for case, mark in self.marks.items() if not mark or any(mark in text for text in texts)]
            mark = self.marks[case]
            found[case].append({c: v.replace(mark, "") if isinstance(v, str) else v for c, v in row.items()})
        return found


def marked(row: dict[str, str | None], mark: str) -> dict[str, str | None]:
    ids = {column: f"{mark}{row[column]}" for column in IDS if row.get(column) is not None}
    return row | ids | {"source_file": f"{mark}test"}


def _worlds() -> dict[Case, World]:
    groups = defaultdict(list)
    for case in (Case(table, number) for table in TABLES for number in range(len(cases_of(table)))):
        words, as_of = json.dumps(case.content.get("definitions", {}), sort_keys=True), max(case.content["given"])
        groups[(case.table, words, as_of) if case.can_share else case].append(case)
    return {case: World(tuple(group)) for group in groups.values() for case in group}


WORLDS = _worlds()


def _parameters() -> Iterator[Any]:
    """Every case on SQLite, those that share a warehouse on each engine; in `make prove` each alone on each engine."""
    for engine in ENGINES:
        for table in TABLES:
            for case in (case for case in WORLDS if case.table == table):
                name = f"{engine}-{table}: {case.content['name']}"
                needs = pytest.mark.needs(*(["PostgreSQL"] if engine == "postgres" else []))
                shared = WORLDS[case]
                if engine == "sqlite" or len(shared.cases) > 1 or not case.number:
                    yield pytest.param(engine, case, shared, id=name, marks=needs)
                if engine != "sqlite" or len(shared.cases) > 1:
                    yield pytest.param(
                        engine, case, World((case,)), id=f"{name} (alone)", marks=[needs, pytest.mark.prove]
                    )


@pytest.fixture(scope="module")
def rows_in() -> Iterator[Callable[[str, World], dict[Case, list[dict[str, Any]]]]]:
    """What a world holds on an engine; it is built for the first of its cases."""

    @cache
    def rows(engine: str, world: World) -> dict[Case, list[dict[str, Any]]]:
        with fresh_place(engine) as place:
            filled = world.run(place)
            try:
                return world.found(filled)
            finally:
                filled.close()

    return rows


@pytest.mark.parametrize(("kind", "case", "world"), _parameters())
def test_case(kind: str, case: Case, world: World, rows_in: Callable[..., Any]) -> None:
    expect, where = case.content["expect"], case.content.get("where", {})
    rows = [row for row in rows_in(kind, world)[case] if comparable({c: row[c] for c in where}) == comparable(where)]
    # A case that expects no row is about all columns.
    columns = list(expect[0]) if expect else None
    found = [comparable({c: row[c] for c in columns} if columns else row) for row in rows]
    assert sorted(found, key=repr) == sorted(map(comparable, expect), key=repr)


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
