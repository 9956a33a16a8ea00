"""Each rule of each scope is needed: without it some world ends in other tables, and the tests of roads notice."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
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


SCOPE_RULES = [f"{m.name} {n}" for m in default_sql().tables.values() for n in _rules(default_sql().scope(m.name))]

OTHER_RULES = {
    "the old content of a partition counts": (r"insert or ignore into work_changed__\w+ [^;]*from gone;", ""),
    "the new content of a partition counts": (r"insert or ignore into work_changed__\w+ [^;]*from incoming;", ""),
    "a row that is no longer given goes": (r"delete from \w+ where [^;]*from gone\);", ""),
}


WORLDS = Path(__file__).with_name("worlds_by_rule.json")
"""The world that noticed each rule: tried first, since most worlds notice few rules. This file, run, writes it anew."""


def _world(name: str) -> World:
    kind, number = name.split()
    return plain_worlds()[int(number)] if kind == "plain" else random_world(Random(int(number)))


def _notices(broken: Sql, name: str) -> bool:
    """Whether a world ends in something else with the broken statements."""
    try:
        return bool(what_is_wrong(_world(name), broken))
    except (ChecksFailed, sqlite3.IntegrityError):
        return True  # the pipeline's own checks, or a key that stands twice


def _first_that_notices(rule: str, most: int = 400) -> str | None:
    """The first world, plain or random, that notices a missing rule."""
    names = [f"plain {n}" for n in range(len(plain_worlds()))] + [f"seed {n}" for n in range(most)]
    broken = _without(rule)
    return next((name for name in names if _notices(broken, name)), None)


def _known() -> dict[str, str]:
    return json.loads(WORLDS.read_text(encoding="utf-8"))


def _without(rule: str) -> Sql:
    """The statements of the project without a rule."""
    if rule in OTHER_RULES:
        pattern, replacement = OTHER_RULES[rule]
        assert re.search(pattern, default_sql().build("stg_events")), "the rule is not where this test looks for it"
        return Broken(None, lambda script: re.sub(pattern, replacement, script))
    table, number = rule.split()
    return Broken(lambda t, query: _without_rule(query, int(number)) if t == table else query, None)


RULES = [*SCOPE_RULES, *OTHER_RULES]


@pytest.mark.parametrize("rule", RULES)
def test_a_world_notices_a_missing_rule(rule: str) -> None:
    """The world that noticed it before, or another one where the rule has changed since."""
    known = _known().get(rule)
    assert (known and _notices(_without(rule), known)) or _first_that_notices(rule)


@pytest.mark.prove
@pytest.mark.parametrize("rule", RULES)
def test_worlds_that_are_searched_in_order_notice_a_missing_rule(rule: str) -> None:
    assert _first_that_notices(rule) is not None


def test_worlds_notice_nothing_when_nothing_is_broken() -> None:
    nothing_broken = Broken(lambda table, query: query, lambda script: script)
    assert [name for name in sorted(set(_known().values())) if _notices(nothing_broken, name)] == []


def test_the_world_of_each_rule_is_written_down() -> None:
    assert sorted(_known()) == sorted(RULES), "python tests/test_scope_rules.py writes them down"


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    # PYTHONPATH=plugins:tests python tests/test_scope_rules.py
    found = {rule: _first_that_notices(rule) for rule in RULES}
    WORLDS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
