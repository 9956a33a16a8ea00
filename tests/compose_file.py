"""docker-compose.yaml as Compose reads it, without Compose: merged, variables filled in, some profiles or all."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[1]
FILE = PROJECT / "docker-compose.yaml"
ROOT = Path("/opt/saas_growth")


def interpolated(text: str, shell: dict[str, str]) -> str:
    """What Compose makes of $$, ${NAME}, ${NAME-default}, ${NAME:-default} and ${NAME:+replacement}, also nested."""
    out = ""
    while "$" in text:
        before, _, text = text.partition("$")
        out += before
        if text.startswith("$"):
            out, text = out + "$", text[1:]
            continue
        assert text.startswith("{"), f"${text[:20]} is a variable without braces"
        inside, text = _braced(text)
        name = inside[: next((n for n, c in enumerate(inside) if c in ":-+?"), len(inside))]
        rest, value = inside[len(name) :], shell.get(name, "")
        if rest.startswith(":+"):
            out += interpolated(rest[2:], shell) if value else ""
        elif rest.startswith((":-", "-")):
            is_given = bool(value) or (rest[0] == "-" and name in shell)
            out += value if is_given else interpolated(rest.lstrip(":").removeprefix("-"), shell)
        else:
            assert not rest, f"${{{inside}}} is not filled in here"
            out += value
    return out + text


def _braced(text: str) -> tuple[str, str]:
    """What stands between the first brace and the one that closes it, and what follows; as Compose counts them."""
    depth = 0
    for n, character in enumerate(text):
        if text[n - 1 : n + 1] == "${" or n == 0:
            depth += 1
        elif character == "}":
            depth -= 1
            if not depth:
                return text[1:n], text[n + 1 :]
    raise AssertionError(f"no brace closes {text}")


def compose(**shell: str) -> dict[str, Any]:
    """The whole file where these variables are set."""
    return _filled_in(_parsed(), shell)


@cache
def _parsed() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def _filled_in(value: Any, shell: dict[str, str]) -> Any:
    """The same with variables filled in where Compose does it: in values, after the file has been parsed."""
    if isinstance(value, dict):
        return {key: _filled_in(each, shell) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled_in(each, shell) for each in value]
    return interpolated(value, shell) if isinstance(value, str) else value


def services(*profiles: str, **shell: str) -> dict[str, dict[str, Any]]:
    """The services of some profiles, or all."""
    every = compose(**shell)["services"]
    return {name: each for name, each in every.items() if not profiles or set(each["profiles"]) & set(profiles)}


def environment(service: str, **shell: str) -> dict[str, str]:
    """The environment in a service's container; a name without a value is passed on from the shell."""
    given = services(**shell)[service]["environment"]
    return {name: value for name, value in given.items() if value is not None} | {
        name: shell[name] for name, value in given.items() if value is None and name in shell
    }
