"""docs/own_data.md: what it says can be done can be done, and every key has its place there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from growth.language.raw import RAW_COLUMNS
from growth.sources.mapped.mapping import Condition, Date, Feed, FileMapping, FilesEntry, Rule, Value, load
from growth.sources.mapped.moments import NAMED_FORMATS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "own_data.md"


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_its_mapping_loads(text, tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    path = tmp_path / "shop.yaml"
    path.write_text(block, encoding="utf-8")

    assert [each.pattern for each in load(path).files] == ["calls/{date}/*.jsonl.gz", "customers*.csv"]


def test_every_key_every_format_and_every_column_is_there(text):
    for part in (FileMapping, FilesEntry, Feed, Rule, Value, Date, Condition):
        for name, field in part.model_fields.items():
            assert f"`{field.alias or name}" in text, f"{part.__name__}: {field.alias or name}"
    for name in NAMED_FORMATS:
        assert f"`{name}`" in text
    for table, columns in RAW_COLUMNS.items():
        assert f"| `{table}` | {', '.join(f'`{column}`' for column in columns)} |" in text


def test_every_mapping_that_ships_is_there(text):
    mappings = list((ROOT / "include" / "sources").glob("*.yaml"))
    assert len(mappings) > 5
    for path in mappings:
        assert f"`{path.stem}`" in text


def test_its_commands_and_files_are_there(text):
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    commands = re.findall(r"^\$ (.*)$", text, flags=re.MULTILINE)
    assert len(commands) > 5
    for command in commands:
        if command.startswith("make "):
            assert command.split()[1] in targets, command
        for path in re.findall(r"\b(?:tests|requirements|constraints)[\w/-]*\.(?:py|txt)", command):
            assert (ROOT / path).exists(), path


def test_the_readme_leads_here():
    assert "(docs/own_data.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
