"""Renders the tables' folders and the dictionary to the statements that an engine runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
from pydantic import BaseModel

from growth import engines
from growth.language.definitions import Definitions
from growth.language.raw import RAW_COLUMNS
from growth.language.tables import SQL_FOLDER, Table, load_raw_tables, load_table, load_tables, table_folders

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Check:
    """A query for rows that must not exist."""

    name: str
    sentence: str
    severity: str
    query: str


def _values(values: list[str]) -> str:
    """Values of the dictionary as a list of SQL literals. The dictionary rejects values with a quote."""
    if any("'" in value for value in values):
        raise ValueError("a value with a quote in it was not validated")
    return ", ".join(f"'{value}'" for value in values) or "''"


class _Compiled(jinja2.BytecodeCache):
    """A cache of compiled templates: compiling takes most of the time of rendering another dictionary."""

    def __init__(self) -> None:
        self._code: dict[str, tuple[str, Any]] = {}

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        checksum, code = self._code.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        self._code[bucket.key] = bucket.checksum, bucket.code


_COMPILED = _Compiled()


def _text(text: str) -> str:
    """A sentence as SQL text, on one line: a semicolon at the end of a line would end the statement."""
    return "'" + " ".join(text.split()).replace("'", "''") + "'"


def sql_environment(definitions: Definitions, engine: str) -> jinja2.Environment:
    """The templates of include/sql, with the dictionary as `definitions` and the macros of an engine as `db`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SQL_FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )
    environment.filters |= {"values": _values, "text": _text}
    environment.globals["definitions"] = definitions
    environment.globals["db"] = environment.get_template(f"engines/{engine}.sql").module
    return environment


def statements(script: str) -> list[str]:
    """Split a rendered script into statements, at the semicolons that end a line."""
    parts = (part.strip() for part in f"{script}\n".split(";\n"))
    return [part for part in parts if part]


class Sql:
    """All statements of the warehouse for one engine and one dictionary."""

    def __init__(self, definitions: Definitions, engine: str = "sqlite") -> None:
        self.definitions = definitions
        self.engine = engines.engine(engine)

    # --- Tables

    @cached_property
    def tables(self) -> dict[str, Table]:
        """All computed tables, in the order of their computation."""
        return load_tables(self.definitions)

    @property
    def marts(self) -> list[Table]:
        return [table for table in self.tables.values() if table.layer == "marts"]

    @cache  # noqa: B019 - one Sql lives as long as its process or its test
    def table(self, name: str) -> Table:
        """One table, without reading the descriptions of the others."""
        return load_table(table_folders()[name], self.definitions)

    @cache  # noqa: B019
    def fingerprint(self, name: str) -> str:
        """A hash of what determines a table: its files, its columns, and the sections of the dictionary that it reads.

        Sentences are excluded. The tables that it reads have fingerprints of their own.
        """
        table = self.table(name)
        # Any query may use these. The parsing of raw text only affects the tables that read raw rows.
        files = [SQL_FOLDER / "words.sql", SQL_FOLDER / "engines" / f"{self.engine.name}.sql"]
        files += [p for p in sorted(table_folders()[name].glob("*.sql")) if p.name != "scope.sql"]
        if table.layer in ("identity", "staging"):
            files += sorted((SQL_FOLDER / "raw").glob("*/typed.sql"))
        said = {
            "files": [path.read_text(encoding="utf-8") for path in files],
            "columns": table.types,
            "key": table.key,
            "words": {word: _without_sentences(self.definitions.value(word)) for word in table.words},
        }
        return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()[:16]

    # --- Rendering

    @cached_property
    def _environment(self) -> jinja2.Environment:
        environment = sql_environment(self.definitions, self.engine.name)
        environment.globals |= {
            "raw_tables": RAW_COLUMNS,
            "day": lambda d: (d - _EPOCH).days,
            "typed": self._typed,
            "next_rows": self._next_rows,
        }
        return environment

    @property
    def _db(self) -> Any:
        return self._environment.globals["db"]

    def render(self, path: str, whole: bool = False, seen: object = None, **context: object) -> str:
        """Render a template. It sees the dictionary, or `seen` in its place."""
        context |= {"definitions": seen or self.definitions, "whole": whole}
        context["words"] = self._environment.get_template("words.sql").make_module(context)
        return self._environment.get_template(path).render(context).strip()

    @jinja2.pass_context
    def _typed(self, context: jinja2.runtime.Context, table: str, rows: str) -> str:
        """The query that parses raw rows; `rows` is a relation with some or all rows of the raw table."""
        return self._environment.get_template(f"raw/{table}/typed.sql").render(context.get_all(), rows=rows).strip()

    def _next_rows(self, table: str) -> str:
        """A mart after the publish of the run, as a subquery."""
        return f"(\n{self.render('run/next_rows.sql', t=self.table(table))}\n)"

    def _words(self, table: str) -> SimpleNamespace:
        """The part of the dictionary that the query of a table may read."""
        seen = SimpleNamespace()
        for word in self.table(table).words:
            section, _, key = word.partition(".")
            value = getattr(self.definitions, section)
            if key:
                setattr(seen, section, getattr(seen, section, SimpleNamespace()))
                setattr(getattr(seen, section), key, getattr(value, key))
            else:
                setattr(seen, section, value)
        return seen

    def _file(self, table: str, name: str) -> str:
        return (table_folders()[table] / name).relative_to(SQL_FOLDER).as_posix()

    @cache  # noqa: B019
    def query(self, table: str, whole: bool = False) -> str:
        """The query for the rows of a table: its partitions in scope, or all rows."""
        return self.render(self._file(table, "query.sql"), whole, self._words(table))

    def scope(self, table: str, whole: bool = False) -> str:
        """The query for the partitions of a table that a run has to compute again."""
        return self.render(self._file(table, "scope.sql"), whole)

    # --- Statements of a run

    @cache  # noqa: B019
    def create(self) -> list[str]:
        """Create missing tables, and describe all of them."""
        raw = load_raw_tables(self.definitions).values()
        return statements(self.render("run/create.sql", raw=raw, tables=self.tables.values()))

    def drop_views(self) -> list[str]:
        return [str(self._db.drop_view("batch_accounting")).removesuffix(";")]

    def begin(self) -> list[str]:
        """Open an exclusive transaction."""
        return statements(str(self._db.begin_alone()))

    def acquire_lease(self) -> list[str]:
        """Acquire the lease for a run, or refuse the run."""
        return statements(self.render("run/acquire_lease.sql"))

    @cache  # noqa: B019
    def build(self, name: str, whole: bool = False) -> list[str]:
        """The one transaction of a table's task, which computes its rows in scope or the whole table.

        Each variant refuses to run if the warehouse requires the other (growth.warehouse.state).
        """
        table = self.table(name)
        query = self.query(name, whole)
        scope_query = self.scope(name, whole)
        if whole:
            # Listing the partitions of all events takes as long as computing the events: only if a query reads them.
            asking = (query, *(check.query for check in self._checks(name, whole)))
            scope_query = scope_query if any(f"work_scope__{name}" in text for text in asking) else ""
        script = "build_mart" if table.layer == "marts" else "build_whole" if whole else "build_in_scope"
        return statements(
            self.render(
                f"run/{script}.sql",
                whole,
                t=table,
                query=query,
                scope_query=scope_query,
                fingerprint=self.fingerprint(name),
            )
        )

    @cache  # noqa: B019
    def checks(self, table: str, whole: bool = False) -> list[Check]:
        """The checks of a table in order of file names, for its rows in scope or all rows."""
        return list(self._checks(table, whole))

    def _checks(self, table: str, whole: bool) -> Iterator[Check]:
        for path in sorted((table_folders()[table] / "checks").glob("*.sql")):
            sentence, severity = _header(path.read_text(encoding="utf-8"))
            query = self.render(path.relative_to(SQL_FOLDER).as_posix(), whole)
            yield Check(f"{table}__{path.stem}", sentence, severity, query)

    @cache  # noqa: B019
    def publish(self) -> list[str]:
        upper = [table for table in self.tables.values() if table.layer != "marts"]
        return statements(self.render("run/publish.sql", marts=self.marts, upper_tables=upper))

    def erase(self) -> list[str]:
        """Delete the raw rows of some people. The transaction stays open."""
        return statements(self.render("run/erase.sql"))

    # --- For readers

    def typed(self, raw_table: str) -> str:
        """The query that parses all rows of a raw table, with the reason if a row is rejected."""
        return self.render(f"raw/{raw_table}/typed.sql", rows=raw_table)

    def type_of(self, column_type: str) -> str:
        """The engine's name of the type text, integer or real."""
        return str(self._db.types[column_type])

    def write(self, folder: Path) -> None:
        """Write every rendered query to a file, for linters and readers.

        There is one for each table, scope and check, and another if it differs in a run that computes whole tables.
        """
        folder.mkdir(parents=True, exist_ok=True)
        in_scope = self._queries(False)
        whole = {f"whole__{name}": q for name, q in self._queries(True).items() if q != in_scope[name]}
        typed = {f"typed__{table}": self.typed(table) for table in RAW_COLUMNS}
        for name, query in (in_scope | whole | typed).items():
            (folder / f"{name}.sql").write_text(query + "\n", encoding="utf-8")

    def _queries(self, whole: bool) -> dict[str, str]:
        queries = {name: self.query(name, whole) for name in self.tables}
        queries |= {f"scope__{name}": self.scope(name, whole) for name in self.tables}
        return queries | {check.name: check.query for name in self.tables for check in self.checks(name, whole)}


def check_sentence(name: str) -> str:
    """The sentence of a check; empty if the check no longer exists."""
    table, _, claim = name.partition("__")
    folder = table_folders().get(table)
    path = folder / "checks" / f"{claim}.sql" if folder else None
    return _header(path.read_text(encoding="utf-8"))[0] if path and path.is_file() else ""


def _header(text: str) -> tuple[str, str]:
    """The sentence of a check (its first comment lines) and its severity."""
    lines = []
    severity = "error"
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        line = line.removeprefix("--").strip()
        if line.startswith("severity:"):
            severity = line.removeprefix("severity:").strip()
        else:
            lines.append(line)
    return " ".join(lines), severity


def _without_sentences(content: Any) -> Any:
    if isinstance(content, BaseModel):
        content = content.model_dump()
    if isinstance(content, dict):
        return {key: _without_sentences(value) for key, value in content.items() if key != "sentence"}
    return [_without_sentences(value) for value in content] if isinstance(content, list | tuple) else content
