"""The command line: `python -m growth --help`. Options and the environment are read here and nowhere below."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from datetime import date
from functools import partial, reduce
from pathlib import Path
from typing import Any

import click

from growth.engines import MODULES, Place
from growth.errors import UserError

ROOT = Path(__file__).parents[2]
PROGRAM = "python -m growth"


# --- Values


class Value(click.ParamType):
    """A value that `read` accepts; the sentence that refuses another describes it and gives an example."""

    def __init__(self, name: str, description: str, read: Callable[[str], Any], example: str) -> None:
        self.name = name
        self._description = description
        self._read = read
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._read(value)
        except ValueError:
            self.fail(f"{value!r} is not {self._description}: give one such as {self._example}.", param, ctx)


class Flag(click.types.BoolParamType):
    """A flag whose variable is 1 or 0."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is neither 1 nor 0.", param, ctx)


def _port(text: str) -> int:
    if not 1 <= int(text) <= 65535:
        raise ValueError
    return int(text)


def _percent(text: str) -> float:
    percent = float(text.strip().removesuffix("%"))
    if not 0 <= percent < math.inf:
        raise ValueError
    return percent


def _scale(text: str) -> str:
    if not 0 < float(text) <= 1000:
        raise ValueError
    return text


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


DAY = Value("date", "a date", date.fromisoformat, "2026-10-31")
PORT = Value("port", "a port from 1 to 65535", _port, "8081")
PERCENT = Value("percentage", "a percentage", _percent, "5")
SCALE = Value("number", "a number above 0 and up to 1000", _scale, "0.1")
FILE = Value("file", "a file", _path, "data/growth.db")


# --- Options that several commands have

option = partial(click.option, show_envvar=True)


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """These options as one decorator."""
    return lambda command: reduce(lambda decorated, each: each(decorated), reversed(options), command)


source_option = option(
    "--source",
    envvar=["SOURCE", "SAAS_GROWTH_SOURCE"],
    default="synthetic",
    help="Where rows come from: synthetic or a source of docs/own_data.md; several with commas.",
)
source_options = together(
    source_option,
    option(
        "--data",
        envvar=["DATA", "SAAS_GROWTH_SOURCE_PATH"],
        help="The folder or bucket of the source's files; of several sources NAME=PLACE,NAME=PLACE.",
    ),
    option(
        "--scale",
        envvar=["SCALE", "SAAS_GROWTH_SCALE"],
        type=SCALE,
        show_default="1",
        help="Multiplies the users of the synthetic source.",
    ),
)
warehouse_option = option(
    "--warehouse",
    envvar="WAREHOUSE",
    type=FILE,
    show_default="AIRFLOW_CONN_GROWTH_WAREHOUSE, or a file in data/ named after the source",
    help="The file of the warehouse: *.duckdb is DuckDB's, any other SQLite's.",
)


def _environment(source: str, data: str | None, scale: str | None) -> dict[str, str]:
    """The environment of this process with these options in it, which is where Airflow's tasks read them."""
    from growth.sources import absolute_locations

    path = absolute_locations(data, source.split(","), Path.cwd()) if data else None
    given = {"SAAS_GROWTH_SOURCE": source, "SAAS_GROWTH_SOURCE_PATH": path, "SAAS_GROWTH_SCALE": scale}
    return {**os.environ, **{name: value for name, value in given.items() if value}}


def _place(warehouse: Path | None, source: str) -> Place:
    from growth.commands.where import warehouse_place

    return warehouse_place(ROOT, warehouse, os.environ.get("AIRFLOW_CONN_GROWTH_WAREHOUSE"), source)


def _environment_and_place(source: str, warehouse: Path | None, **options: Any) -> tuple[dict[str, str], Place]:
    return _environment(source, **options), _place(warehouse, source)


# --- Commands. Each imports what it needs: Airflow and pandas take seconds.


class InOrder(click.Group):
    """Lists its commands in the order in which they stand here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100},
    epilog="`make` takes the variables of the options: make run DAY=2026-10-31.",
)
def cli() -> None:
    """Growth analytics of a SaaS product, on Airflow and SQL."""


@cli.command()
@option("--day", "--to", "day", envvar=["TO", "DAY"], type=DAY, show_default="yesterday", help="The last day.")
@option("--from", "first", envvar="FROM", type=DAY, show_default="the first that is new", help="The first day.")
@option("--rebuild", envvar="REBUILD", is_flag=True, type=Flag(), help="Compute all, not only what changed.")
@source_options
@warehouse_option
def run(day: date | None, first: date | None, rebuild: bool, **options: Any) -> int:
    """Run the days that are new through the DAG and show the numbers."""
    from growth.commands.run import run

    return run(ROOT, *_environment_and_place(**options), day, first, rebuild)


@cli.command()
@option("--port", envvar="PORT", type=PORT, show_default="8080", help="The port of the UI.")
@source_options
@warehouse_option
def up(port: int | None, **options: Any) -> int:
    """Start Airflow with its UI on this machine, until Ctrl-C."""
    from growth.commands.up import up

    return up(ROOT, *_environment_and_place(**options), port)


@cli.command()
@source_options
def preview(**options: Any) -> int:
    """Show on a sample what a source would land, and write nothing."""
    from growth.commands.preview import preview

    return preview(_environment(**options))


@cli.command()
@option("--known", envvar="KNOWN", required=True, type=FILE, help="A CSV with the columns month,metric,value.")
@option("--within", envvar="WITHIN", default="5", type=PERCENT, help="The percentage by which numbers may differ.")
@warehouse_option
@source_option
def compare(known: Path, within: float, **options: Any) -> int:
    """Compare the numbers of another dashboard with these."""
    from growth.commands.compare import compare

    return compare(_place(**options), known, within)


@cli.command()
@warehouse_option
@source_option
def verify(**options: Any) -> int:
    """Compare all tables with a rebuild from the raw rows, made aside."""
    from growth.language import definitions
    from growth.language.sql import Sql
    from growth.warehouse import verify

    place = _place(**options)
    return verify.report(verify.verify(place, Sql(definitions.load(), place.kind)))


@cli.command()
@option("--into", envvar="INTO", required=True, help="The new warehouse: a file, or a connection as JSON or URI.")
@warehouse_option
@source_option
def move(into: str, **options: Any) -> int:
    """Copy a warehouse's history into an empty one of another engine."""
    from growth.commands.move import move

    return move(_place(**options), into)


@cli.command()
@option("--user", "users", envvar="SAAS_GROWTH_ERASE_USER", required=True, help="Ids, with commas; USER= of make.")
@option("--by", "asked_by", envvar="BY", required=True, help="Who asks for it; Airflow's log keeps it.")
@option("--why", "reason", envvar="WHY", required=True, help="Why; Airflow's log keeps it.")
@source_options
@warehouse_option
def erase(users: str, asked_by: str, reason: str, **options: Any) -> int:
    """Erase people from all tables and recompute all numbers."""
    from growth.commands.run import erase

    return erase(ROOT, *_environment_and_place(**options), users, asked_by, reason)


@cli.command()
def secrets() -> int:
    """Write .env with the secrets of a team's Airflow."""
    from growth.commands.team import make_secrets

    return make_secrets(ROOT)


@cli.command()
def login() -> int:
    """Show how to log in to a team's Airflow (in its api-server)."""
    from growth.commands.team import show_login

    return show_login(os.environ)


@cli.command()
@click.argument("folder", type=FILE)
@option("--engine", "engines", type=click.Choice(list(MODULES)), multiple=True, show_default="all", help="An engine.")
def render(folder: Path, engines: tuple[str, ...]) -> int:
    """Write every statement into a folder for each engine."""
    from growth.commands.render import render

    return render(folder, engines or tuple(MODULES))


@cli.command()
def docs() -> int:
    """Write the generated pages, docs/tables.md and docs/metrics.md."""
    from growth.language.docs import write_docs

    write_docs(ROOT)
    return 0


# --- Errors


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 after success, 2 where the command was not understood, else 1."""
    try:
        return cli.main(arguments, prog_name=PROGRAM, standalone_mode=False) or 0
    except click.UsageError as error:
        print(_sentence(error), file=sys.stderr)
        return 2
    except UserError as error:
        print(error, file=sys.stderr)
    except click.Abort:
        print("Interrupted: run the command again, it goes on from there.", file=sys.stderr)
    return 1


def _sentence(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else PROGRAM
    match error:
        case click.NoSuchOption() | click.exceptions.NoSuchCommand():
            is_option = isinstance(error, click.NoSuchOption)
            name = error.option_name if is_option else error.command_name
            known = " or ".join(error.possibilities or ())
            hint = f"did you mean {known}?" if known else f"{command} --help lists all."
            return f"There is no {'option' if is_option else 'command'} {name}: {hint}"
        case click.MissingParameter() if isinstance(error.param, click.Option):
            return f"{_named(error.param)} is missing: {error.param.help}"
        case click.BadParameter() if isinstance(error.param, click.Option):
            return f"{_named(error.param)}: {error.message}"
    return error.format_message()


def _named(parameter: click.Option) -> str:
    variables = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or ()
    return f"{parameter.opts[0]} ({' or '.join(variables)})" if variables else parameter.opts[0]


if __name__ == "__main__":
    sys.exit(main())
