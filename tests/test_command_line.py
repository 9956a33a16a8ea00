"""`python -m growth` and `make`: what they list, what they refuse, and how values get from one to the other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from growth import __main__ as command_line

ROOT = Path(__file__).parents[1]
COMMANDS = command_line.cli.commands
OPTIONS = [(name, option) for name, command in COMMANDS.items() for option in command.params]
OPTION_IDS = [f"{name} {option.name}" for name, option in OPTIONS]
# Options of make itself and of tests; USER becomes an option only where make is given one.
OTHER_VARIABLES = {"USER", "PYTHON", "ARGS", "N", "WORLDS", "ENGINES", "MONTHS", "EXPORT", "BENCH_FOLDER"}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, option in OPTIONS:
        for variable in variables(option):
            monkeypatch.delenv(variable, raising=False)


def variables(option: click.Parameter) -> list[str]:
    return [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())


# --- Help


def test_help_lists_each_command_with_a_whole_sentence(capsys):
    assert command_line.main(["--help"]) == 0
    listed = dict(re.findall(r"^  ([a-z]+) +(\S.*)$", capsys.readouterr().out.split("Commands:\n")[1], re.MULTILINE))
    assert listed == {name: command.help for name, command in COMMANDS.items()}
    assert all(sentence.endswith(".") and "..." not in sentence for sentence in listed.values())


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=OPTION_IDS)
def test_help_explains_each_option_with_its_variables_and_default(capsys, name, option):
    assert command_line.main([name, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    if isinstance(option, click.Argument):
        assert option.make_metavar(click.Context(COMMANDS[name])) in text
        return
    (explained,) = re.findall(rf"{', '.join(option.opts)} .*?{re.escape(option.help)}(?: \[(.*?)\])?(?= -|$)", text)
    assert "required" in explained or option.is_flag or option.name == "data" or "default: " in explained
    for variable in variables(option):
        assert re.search(rf"env var: .*\b{variable}\b", explained)


# --- What is refused


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["rnu"], {}, "There is no command rnu: did you mean run?"),
        (["tidy"], {}, "There is no command tidy: python -m growth --help lists all."),
        (["--dya", "1"], {}, "There is no option --dya: python -m growth --help lists all."),
        (["run", "--sclae", "1"], {}, "There is no option --sclae: did you mean --scale or --source?"),
        (["run", "--x"], {}, "There is no option --x: python -m growth run --help lists all."),
        (["run", "2026-10-31"], {}, "Got unexpected extra argument (2026-10-31)"),
        (["compare"], {}, "--known (KNOWN) is missing: A CSV with the columns month,metric,value."),
        (["move", "--warehouse", "x"], {}, "--into (INTO) is missing: The new warehouse: a file, or a connection"),
        (["erase", "--by", "x", "--why", "y"], {}, "--user (SAAS_GROWTH_ERASE_USER) is missing: Ids, with commas"),
        (["erase", "--user", "x", "--why", "y"], {}, "--by (BY) is missing: Who asks for it"),
        (["erase", "--user", "x", "--by", "y"], {}, "--why (WHY) is missing: Why"),
        *(
            (["run", *arguments], environment, f"{option}: {day!r} is not a date: give one such as 2026-10-31.")
            for day in ("yesterday", "2026-02-30", "31.10.2026", "2026-1-1", " ")
            for option, arguments, environment in (
                ("--day (TO or DAY)", ["--day", day], {}),
                ("--day (TO or DAY)", [], {"DAY": day}),
                ("--from (FROM)", [], {"FROM": day}),
            )
        ),
        (["run"], {"REBUILD": "2"}, "--rebuild (REBUILD): '2' is neither 1 nor 0."),
        *(
            (
                ["run"],
                {"SAAS_GROWTH_SCALE": scale},
                f"--scale (SCALE or SAAS_GROWTH_SCALE): {scale!r} is not a number above 0 and up to 1000:"
                " give one such as 0.1.",
            )
            for scale in ("big", "0,1", "0", "-1", "nan", "inf", "1e9")
        ),
        *(
            (["up"], {"PORT": port}, f"--port (PORT): {port!r} is not a port from 1 to 65535: give one such as 8081.")
            for port in ("http", "0", "65536", "-1", "80 80")
        ),
        *(
            (["compare", "--known", "x"], {"WITHIN": within}, f"--within (WITHIN): {within!r} is not a percentage")
            for within in ("x", "-1", "nan", "inf")
        ),
        (["render", "x", "--engine", "oracle"], {}, "--engine: 'oracle' is not one of 'sqlite', 'duckdb', 'postgres'."),
    ],
)
def test_what_is_misspelt_is_one_sentence_and_status_2(capsys, monkeypatch, arguments, environment, sentence):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert command_line.main(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(sentence)
    assert len(error.splitlines()) == 1


def test_an_interrupted_command_is_one_sentence(capsys, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("growth.commands.run.open_source", interrupt)
    assert command_line.main(["run"]) == 1
    assert capsys.readouterr().err.strip() == "Interrupted: run the command again, it goes on from there."


# --- What commands are given


@pytest.fixture
def given(monkeypatch, tmp_path) -> dict[str, object]:
    """What the function of `run` is given, which does nothing else here."""
    given: dict[str, object] = {}

    def note(root: Path, environment: dict[str, str], place: object, *options: object) -> int:
        given.update(environment=environment, place=place, options=options)
        return 0

    monkeypatch.setattr("growth.commands.run.run", note)
    monkeypatch.chdir(tmp_path)
    return given


def test_an_option_overrules_its_variable_and_paths_are_relative_to_the_current_folder(given, monkeypatch, tmp_path):
    for name, value in {"DAY": "2026-10-01", "FROM": "2026-09-01", "SOURCE": "segment", "REBUILD": "1"}.items():
        monkeypatch.setenv(name, value)
    arguments = ["--day", "2026-10-31", "--source", "relax", "--data", "exports", "--scale", "0.1"]

    assert command_line.main(["run", *arguments, "--warehouse", "my data/w.duckdb"]) == 0

    assert [str(option) for option in given["options"]] == ["2026-10-31", "2026-09-01", "True"]
    assert (given["place"].kind, given["place"].host) == ("duckdb", f"{tmp_path}/my data/w.duckdb")
    assert {name: given["environment"][f"SAAS_GROWTH_{name}"] for name in ("SOURCE", "SOURCE_PATH", "SCALE")} == {
        "SOURCE": "relax",
        "SOURCE_PATH": f"{tmp_path}/exports",
        "SCALE": "0.1",
    }


@pytest.mark.parametrize("text", ["25", "25 %", "25.0%"])
def test_a_percentage_may_have_its_sign(text):
    assert command_line.PERCENT.convert(text, None, None) == 25


def test_without_options_all_is_as_the_environment_says(given, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_GROWTH_WAREHOUSE", "postgres://growth@db/growth")
    monkeypatch.setenv("SAAS_GROWTH_SOURCE", "stripe")
    monkeypatch.setenv("DAY", "")

    assert command_line.main(["run"]) == 0

    assert given["options"] == (None, None, False)
    assert (given["place"].kind, given["place"].host) == ("postgres", "db")
    assert given["environment"]["SAAS_GROWTH_SOURCE"] == "stripe"


def test_a_source_has_a_warehouse_of_its_own(given, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_GROWTH_WAREHOUSE", raising=False)
    for source, file in (("synthetic", "saas_funnel"), ("stripe,segment", "segment,stripe")):
        command_line.main(["run", "--source", source])
        assert given["place"].host == f"{ROOT}/data/{file}.db"


# --- make


@pytest.fixture
def make(tmp_path: Path):
    """`make`, with a program that prints its arguments and its environment in place of Python."""
    for name in ("requirements.txt", "constraints.txt", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/.runs").touch()
    program = tmp_path / ".venv/bin/python"
    program.write_text(
        f"#!/bin/sh\nexec '{sys.executable}' -S -c"
        " 'import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))' \"$@\"\n"
    )
    program.chmod(0o755)

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], **environment}
        return subprocess.run(["make", *arguments], cwd=tmp_path, env=env, capture_output=True, text=True)

    return run


HARMFUL = ["jane$doe", "$(shell touch harm)", 'it\'s "x" #1', "a b,c=d", "100 % {x}", "back\\slash", "`id`; ok", "a:=b"]


@pytest.mark.parametrize("value", HARMFUL)
def test_make_passes_values_on_as_they_were_typed(make, tmp_path, value):
    done = make("erase", f"USER={value}", f"WHY={value}", BY=value, USER="the one who is logged in")
    assert (done.returncode, done.stderr) == (0, "")
    arguments, environment = json.loads(done.stdout)
    assert arguments == ["-m", "growth", "erase"]
    assert [environment.get(name) for name in ("SAAS_GROWTH_ERASE_USER", "WHY", "BY")] == [value, value, value]
    assert not (tmp_path / "harm").exists()


def test_make_erases_nobody_because_somebody_is_logged_in(make):
    _, environment = json.loads(make("erase", USER="the one who is logged in").stdout)
    assert environment["SAAS_GROWTH_ERASE_USER"] == ""


def test_make_refuses_a_variable_that_nothing_reads(make):
    done = make("run", "SCLAE=0.1")
    assert done.returncode == 2
    assert "There is no variable SCLAE: the first lines of the Makefile list them" in done.stderr
    assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("secrets", "login", "render")])
def test_make_has_a_target_for_each_command_and_lists_its_variables(make, name):
    arguments, _ = json.loads(make(name).stdout)
    assert arguments == ["-m", "growth", name]
    (line,) = re.findall(rf"^# make {name} .*$", makefile(), re.MULTILINE)
    readers = {v for option in COMMANDS[name].params for v in variables(option) if not v.startswith("SAAS_GROWTH")}
    listed = set(re.findall(r"\b([A-Z]+)=", line)) - {"USER"}
    assert listed == readers


def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


def test_make_knows_each_variable_of_an_option_and_no_other():
    (known,) = re.findall(r"^VARIABLES := (.*?[^\\])$", makefile(), re.MULTILINE | re.DOTALL)
    readers = {v for _, option in OPTIONS for v in variables(option) if not v.startswith("SAAS_GROWTH")}
    assert set(known.replace("\\", "").split()) == readers | OTHER_VARIABLES


def test_secrets_need_nothing_but_python(tmp_path):
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".env.example", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    # -S leaves out everything that is installed.
    command = ["make", "secrets", f"PYTHON='{sys.executable}' -S"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^REDIS_PASSWORD=\S{43}", (tmp_path / ".env").read_text(), re.MULTILINE)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert again.returncode == 2
    assert f"{tmp_path}/.env exists" in again.stderr
