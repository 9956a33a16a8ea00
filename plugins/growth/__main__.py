"""The commands behind the Makefile: python -m growth run | up | preview | verify | ... (--help lists them)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from growth.engines import MODULES
from growth.errors import UserError

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m growth")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the DAG once and show the numbers")
    commands.add_parser("up", help="start Airflow with its UI")
    commands.add_parser("preview", help="show what a source would land, on a sample, and write nothing")
    commands.add_parser("verify", help="compare what people read with a rebuild made aside")
    commands.add_parser("erase", help="forget people, in every table")
    commands.add_parser("move", help="the history of a warehouse into an empty one of another engine")
    commands.add_parser("compare", help="another dashboard's numbers beside these")
    commands.add_parser("secrets", help="write .env, with the secrets of a team's Airflow")
    commands.add_parser("login", help="show how to log in to a team's Airflow, in its API server's container")
    render = commands.add_parser("render", help="write every statement, as the engine gets it, into a folder")
    render.add_argument("folder", type=Path)
    render.add_argument("--engine", action="append", help="sqlite, duckdb, postgres; all of them by default")
    arguments = parser.parse_args()
    try:
        if arguments.command == "run":
            from growth.commands.run import run

            return run(ROOT)
        if arguments.command == "erase":
            from growth.commands.run import erase

            return erase(ROOT)
        if arguments.command == "up":
            from growth.commands.up import up

            return up(ROOT)
        if arguments.command == "preview":
            from growth.commands.preview import preview

            return preview()
        if arguments.command == "compare":
            from growth.commands.compare import compare

            return compare(ROOT, os.environ)
        if arguments.command == "move":
            from growth.commands.move import move

            return move(ROOT, os.environ)
        if arguments.command == "secrets":
            from growth.commands.team import make_secrets

            return make_secrets(ROOT)
        if arguments.command == "login":
            from growth.commands.team import show_login

            return show_login()
        if arguments.command == "render":
            from growth.commands.render import render as write_statements

            return write_statements(arguments.folder, arguments.engine or MODULES)
        from growth.language import definitions
        from growth.language.sql import Sql

        if arguments.command == "verify":
            from growth.commands.run import warehouse_place
            from growth.warehouse.verify import report, verify

            place = warehouse_place(ROOT, os.environ)
            return report(verify(place, Sql(definitions.load(), place.kind)))
        return 0
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
