"""YAML files that people edit: read strictly, with each mistake told in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from growth.errors import UserError, one_line

Content = TypeVar("Content", bound=BaseModel)


def load(path: Path, what: str, model: type[Content], as_text: bool = False, context: Any = None) -> Content:
    """The content of a file as a model; `what` names the kind of file in errors. Raises UserError.

    With `as_text`, every scalar stays text, also `yes`, `1.10` and `2024-01-01`.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), _TextLoader if as_text else _Loader)
    except OSError as error:
        raise UserError(f"The {what} {path} cannot be read ({error.strerror}): restore the file.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"The {what} {path} is not UTF-8 at byte {error.start}: save it as UTF-8.") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = one_line(getattr(error, "problem", None) or error)
        raise UserError(f"The {what} {path} is not YAML{line} ({problem}): correct that line.") from None
    try:
        return model.model_validate(content, context=context)
    except ValidationError as error:
        raise UserError(f"{path}: {_sentence(model, error)}; correct it and run again.") from None


class _UniqueKeys:
    """YAML in which a repeated key is a mistake; PyYAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                mark = node.value[number][0].start_mark
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", mark)
        return super().construct_mapping(node, deep)


class _Loader(_UniqueKeys, yaml.SafeLoader):
    pass


class _TextLoader(_UniqueKeys, yaml.BaseLoader):
    pass


_PROBLEMS = {
    "missing": "is missing",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be keys with values",
    "string_too_short": "is empty: fill it or remove it",
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
}


def _sentence(model: type[BaseModel], error: ValidationError) -> str:
    """The first mistake as text: the key, and what may stand there."""
    # A misspelt key is reported as a missing one too: name the one that was written.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"]) or "the whole file"
    match first["type"]:
        case "extra_forbidden":
            problem = f"is not a known key: use one of {_keys_at(model, first['loc'][:-1])}"
        case "model_type":
            problem = f"must be keys with values: the keys are {_keys_at(model, first['loc'])}"
        case "value_error":
            problem = str(first["ctx"]["error"])
        case "literal_error":
            problem = f"must be {first['ctx']['expected']}"
        case kind:
            problem = _PROBLEMS.get(kind) or first["msg"][0].lower() + first["msg"][1:]
    more = len(error.errors()) - 1
    return f"{key}: {one_line(problem)}" + (f" (and {more} more)" if more else "")


def _keys_at(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """The keys that may stand at a place of the file."""
    kind: Any = model
    for part in place:
        kind = next(_inside(kind, part), None)
    keys = {field.alias or name for each in _choices(kind) for name, field in getattr(each, "model_fields", {}).items()}
    return ", ".join(sorted(keys))


def _inside(kind: Any, part: int | str) -> Iterator[Any]:
    for each in _choices(kind):
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield from (f.annotation for name, f in each.model_fields.items() if part in (name, f.alias))
        elif get_origin(each) in (list, dict):
            yield get_args(each)[-1]


def _choices(kind: Any) -> Iterator[Any]:
    """The types that a type hint allows."""
    if get_origin(kind) is Annotated:
        yield from _choices(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            yield from _choices(each)
    else:
        yield kind
