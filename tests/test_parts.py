"""Tests that do not run are seen, and tests leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import parts
import pytest

ROOT = Path(__file__).parents[1]

BROKEN = {
    "SAAS_GROWTH_TEST_POSTGRES": "postgresql://me:a-secret@127.0.0.1:1/postgres",
    "SAAS_GROWTH_TEST_REDIS": "redis://:a-secret@127.0.0.1:1",
    "SAAS_GROWTH_SHARED": "/nowhere",
    "SAAS_GROWTH_TEST_CHROMIUM": "/nowhere/chromium",
}


@pytest.mark.parametrize("variable", BROKEN)
def test_a_part_that_is_mandatory_and_does_not_work_is_one_sentence(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in parts.PARTS.values():
        monkeypatch.delenv(part.variable, raising=False)
    assert parts.what_is_wrong() == []
    monkeypatch.setenv(variable, BROKEN[variable])
    (sentence,) = parts.what_is_wrong()
    assert sentence.startswith(f"{variable} is set, so tests of the part ")
    assert "a-secret" not in sentence


def test_programs_that_are_mandatory_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAAS_GROWTH_TEST_PROGRAMS", "1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "but redis-server, redis-cli, pg_isready not found." in " ".join(parts.what_is_wrong())


def test_ci_makes_every_part_mandatory() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert [part.name for part in parts.PARTS.values() if f"{part.variable}=" not in script] == []


def test_a_run_lists_what_did_not_run_and_leaves_its_home_empty(tmp_path: Path) -> None:
    """A run of one test of each engine, on a machine without servers."""
    home = tmp_path / "home"
    home.mkdir()
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("SAAS_GROWTH", "AIRFLOW", "PYTEST"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "1", "tests/test_erase.py", "-k", "ledger and not duckdb"],
        cwd=ROOT,
        env=env | {"HOME": str(home), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"PostgreSQL: 1 test did not run: {parts.PARTS['PostgreSQL'].how}\n" in done.stdout
    assert list(tmp_path.rglob("*")) == [home]
