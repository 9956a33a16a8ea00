"""From the SQL files and the dictionary to the statements that an engine runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jinja2

from growth import engines
from growth.language.definitions import Definitions
from growth.language.models import LAYERS, SQL_FOLDER, Model, model_files, read_header, select_list, tables
from growth.language.raw import RAW_COLUMNS

_EPOCH = date(1970, 1, 1)

# The marts whose cells become final, each with the changes that its cells are counted from.
_LEDGER = {
    "fct_acquisition_funnel": "changed__int_funnel_steps",
    "fct_acquisition_funnel_by_channel": "changed__int_funnel_steps",
    "fct_engagement_cohorts": "changed__int_user_engagement",
}
# Columns that follow from the calendar alone.
_UNMEASURED = ("months_since_signup", "days_observed", "is_complete", "is_mature", "matures_on")


@dataclass(frozen=True)
class Check:
    """A query for rows that must not exist."""

    name: str
    sentence: str
    severity: str
    query: str


def _values(values: list[str]) -> str:
    """Values of the dictionary as SQL text. The dictionary admits none with a quote in it."""
    if any("'" in value for value in values):
        raise ValueError("a value with a quote in it was not validated")
    return ", ".join(f"'{value}'" for value in values) or "''"


class _Compiled(jinja2.BytecodeCache):
    """The templates that this process has compiled: compiling is most of what rendering another dictionary costs."""

    def __init__(self) -> None:
        self._code: dict[str, tuple[str, Any]] = {}

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        checksum, code = self._code.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        self._code[bucket.key] = bucket.checksum, bucket.code


_COMPILED = _Compiled()


def sql_environment(definitions: Definitions, engine: str, whole: bool = False) -> jinja2.Environment:
    """Templates below include/sql that know the dictionary, and as `db` the words of an engine.

    `whole` is whether what they say is said of all rows, not of those in scope.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SQL_FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )
    environment.globals |= {"definitions": definitions, "whole": whole}
    environment.globals["db"] = environment.get_template(f"engines/{engine}.sql").module
    return environment


class Sql:
    """All statements of the warehouse for one engine and one set of definitions."""

    def __init__(self, definitions: Definitions, engine: str = "sqlite") -> None:
        self.definitions = definitions
        self.engine = engines.engine(engine)

    @cache  # noqa: B019 - one Sql lives as long as its process or its test
    def _environment(self, whole: bool) -> jinja2.Environment:
        environment = sql_environment(self.definitions, self.engine.name, whole)
        environment.filters["values"] = _values
        funnel = self.definitions.funnel
        meaningful = self.definitions.active.meaningful_events if funnel.counts_active_days else []
        environment.globals |= {
            "raw_tables": RAW_COLUMNS,
            "funnel_event_types": sorted({*funnel.event_types, *meaningful}),
            "day": lambda d: (d - _EPOCH).days,
            "typed": self._typed_rows,
        }
        environment.globals["words"] = environment.get_template("words.sql").module
        return environment

    def _render(self, path: str, whole: bool = False, **context: object) -> str:
        return self._environment(whole).get_template(path).render(**context)

    @cache  # noqa: B019
    def _query(self, table: str, whole: bool = False) -> str:
        return self._render(model_files()[table].relative_to(SQL_FOLDER).as_posix(), whole).strip()

    @cached_property
    def _queries(self) -> dict[str, str]:
        return {name: self._query(name) for name in model_files()}

    @cached_property
    def models(self) -> list[Model]:
        """All tables, from the top down."""
        return [
            Model(
                name, path.parent.name, read_header(path.read_text(encoding="utf-8")), select_list(self._queries[name])
            )
            for name, path in model_files().items()
        ]

    @property
    def marts(self) -> list[Model]:
        return [m for m in self.models if m.layer == "marts"]

    @cached_property
    def definitions_hash(self) -> str:
        """Changes when a model comes to say something else: its text without comments, numbers filled in."""
        everything = "\n".join([*self._queries.values(), *self._typed.values()])
        said = re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", everything))
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    @cached_property
    def _typed(self) -> dict[str, str]:
        """The views of all raw rows. Conditions reach into them: they have no fence."""
        names = {table: f"typed_{table.removeprefix('raw_')}" for table in RAW_COLUMNS}
        return {name: self._render(f"staging/{name}.sql", rows=table, fence="") for table, name in names.items()}

    def _typed_rows(self, name: str, rows: str) -> str:
        """The query of such a view over a few of its raw rows, which no other row is read for."""
        fence = self._db.fence
        return self._render(f"staging/typed_{name}.sql", rows=rows, fence=fence)

    def create(self) -> str:
        """Tables that are not there yet."""
        return self._render("run/create.sql", models=self.models)

    def views(self) -> str:
        return self._render("run/views.sql", models=self.models, typed=self._typed)

    @cache  # noqa: B019
    def build(self, table: str, whole: bool = False) -> str:
        """The script of a table's task, one transaction: of the rows in scope, or of the whole table.

        Each refuses to run where the warehouse asks for the other (growth.warehouse.landing.computes_everything).
        """
        model = next(m for m in self.models if m.name == table)
        query = self._query(table, whole)
        scope_query = self.scope(table, whole)
        if whole:
            # The partitions of all events would take as long to note down as the events: only where anybody asks.
            asking = (query, *(check.query for check in self._checks(table, whole)))
            scope_query = scope_query if any(f"scope__{table}" in said for said in asking) else ""
        return self._render(
            "run/build.sql" if model.layer == "marts" else "run/refill.sql" if whole else "run/refresh.sql",
            whole,
            model=model,
            query=query,
            scope_query=scope_query,
            hash=self.definitions_hash,
        )

    @cache  # noqa: B019
    def publish(self) -> str:
        refreshed = [m for m in self.models if m.layer != "marts"]
        return self._render(
            "run/publish.sql", marts=self.marts, refreshed=refreshed, ledger=_LEDGER, unmeasured=_UNMEASURED
        )

    def scope(self, table: str, whole: bool = False) -> str:
        """The query for the partitions of a table that a run has to compute again."""
        return self._render(f"scope/{table}.sql", whole).strip()

    @property
    def _db(self) -> Any:
        return self._environment(False).globals["db"]

    def begin(self) -> str:
        """The statements that open a transaction beside which nobody else writes."""
        return str(self._db.begin_alone())

    def drop_views(self) -> str:
        names = [*self._typed, *(f"next__{m.name}" for m in self.marts), "batch_accounting"]
        return "\n".join(str(self._db.drop_view(name)) for name in names)

    def type_of(self, column_type: str) -> str:
        """What the engine calls text, integer or real."""
        return str(self._db.types[column_type])

    def hold(self) -> str:
        """The statements that take the warehouse for a run, or refuse to."""
        return self._render("run/hold.sql")

    def erase(self) -> str:
        """The statements that take a person's raw rows away; their transaction is left open."""
        return self._render("run/erase.sql")

    @cache  # noqa: B019
    def checks(self, layer: str, whole: bool = False) -> list[Check]:
        """The checks of a layer's tables, by file name: of the rows in scope, or of the whole tables."""
        return [check for table in tables(layer) for check in self._checks(table, whole)]

    def _checks(self, table: str, whole: bool) -> Iterator[Check]:
        for path in sorted((SQL_FOLDER / "checks").glob(f"{table}__*.sql")):
            header = read_header(path.read_text(encoding="utf-8"))
            severity = header.keys.get("severity", "error")
            yield Check(path.stem, header.sentence, severity, self._render(f"checks/{path.name}", whole).strip())

    def write(self, folder: Path) -> None:
        """Every statement, rendered: what a linter or a person reads.

        One file for each table, scope and check, and one more where a run that computes everything says it otherwise.
        """
        folder.mkdir(parents=True, exist_ok=True)
        scripts = dict((self._queries | self._typed).items())
        scripts |= {f"scope__{m.name}": self.scope(m.name) for m in self.models}
        scripts |= {c.name: c.query for layer in LAYERS for c in self.checks(layer)}
        whole = {m.name: self._query(m.name, True) for m in self.models}
        whole |= {f"scope__{m.name}": self.scope(m.name, True) for m in self.models}
        whole |= {c.name: c.query for layer in LAYERS for c in self.checks(layer, True)}
        scripts |= {f"whole__{name}": query for name, query in whole.items() if query.strip() != scripts[name].strip()}
        for name, query in scripts.items():
            (folder / f"{name}.sql").write_text(query.strip() + "\n", encoding="utf-8")
