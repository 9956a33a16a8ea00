"""Each rule of each scope is needed: without it some world ends in other tables, and the tests of roads notice."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from itertools import chain
from random import Random

import pytest
from random_worlds import World, plain_worlds, random_world
from test_roads import lenient_definitions, what_is_wrong
from worlds import default_sql

from growth.language.sql import Sql
from growth.warehouse.checks import ChecksFailed


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


# A rule of a scope is one select: a part of a union, or a named part of the query.
_BETWEEN_RULES = re.compile(r"(\n\s*union\n|\n\),?\n|\w+(?: \(\w+\))? as \(\n)")


def _rules(query: str) -> list[int]:
    """Where the rules stand among the parts of the query."""
    parts = _BETWEEN_RULES.split(query)
    return [n for n, part in enumerate(parts) if re.sub(r"--[^\n]*\n", "", part).strip().startswith("select")]


def _without_rule(query: str, number: int) -> str:
    parts = _BETWEEN_RULES.split(query)
    # The part of a recursion that refers to itself cannot be asked from within another query.
    is_recursive = "from touched" in parts[number] and "select id from touched" not in parts[number]
    rule = "select null" if is_recursive else f"select * from ({parts[number]}\n) as no_rule"
    parts[number] = f"{rule} where 1 = 0"
    return "".join(parts)


class Broken(Sql):
    """The statements of the project with one rule taken out."""

    def __init__(self, break_scope: Callable[[str, str], str] | None, break_build: Callable[[str], str] | None) -> None:
        super().__init__(lenient_definitions())
        self._break_scope = break_scope
        self._break_build = break_build

    def scope(self, table: str, whole: bool = False) -> str:
        query = super().scope(table, whole)
        return self._break_scope(table, query) if self._break_scope and not whole else query

    def build(self, table: str, whole: bool = False) -> str:
        script = super().build(table, whole)
        return self._break_build(script) if self._break_build else script


SCOPE_RULES = [(m.name, n) for m in default_sql().tables.values() for n in _rules(default_sql().scope(m.name))]

OTHER_RULES = {
    "the old content of a partition counts": (r"insert or ignore into work_changed__\w+ [^;]*from gone;", ""),
    "the new content of a partition counts": (r"insert or ignore into work_changed__\w+ [^;]*from incoming;", ""),
    "a row that is no longer given goes": (r"delete from \w+ where [^;]*from gone\);", ""),
}


def _notices(broken: Sql, most: int) -> World | None:
    """The first world, plain or random, in which the broken statements end in something else."""
    for world in chain(plain_worlds(), (random_world(Random(seed)) for seed in range(most))):
        try:
            if what_is_wrong(world, broken):
                return world
        except (ChecksFailed, sqlite3.IntegrityError):
            return world  # the pipeline's own checks, or a key that stands twice
    return None


@pytest.mark.parametrize(("table", "number"), SCOPE_RULES, ids=[f"{t}-{n}" for t, n in SCOPE_RULES])
def test_worlds_notice_a_missing_rule_of_a_scope(table: str, number: int) -> None:
    broken = Broken(lambda t, query: _without_rule(query, number) if t == table else query, None)
    assert _notices(broken, 400) is not None


@pytest.mark.parametrize("rule", OTHER_RULES)
def test_worlds_notice_when_changes_are_not_handed_on(rule: str) -> None:
    pattern, replacement = OTHER_RULES[rule]
    assert re.search(pattern, default_sql().build("stg_events")), "the rule is not where this test looks for it"
    broken = Broken(None, lambda script: re.sub(pattern, replacement, script))
    assert _notices(broken, 400) is not None


def test_worlds_notice_nothing_when_nothing_is_broken() -> None:
    assert _notices(Broken(lambda table, query: query, lambda script: script), 30) is None
