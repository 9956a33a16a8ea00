"""A mapping: which files feed which raw table, and which of their columns is which.

It stands in `include/sources/<name>.yaml`; `<name>` is the name of the source. Everything in it is text, also
what looks like a number or a flag, and nothing in it is evaluated.

    files:
      - pattern: "users*.csv.gz"                # below the operator's folder: .csv or .jsonl, also .gz, or .parquet
        arrival: created                        # the column whose UTC day is the batch
        dates: {created: "%d-%m-%Y %H:%M"}      # how its columns write a day or a moment
        feeds:                                  # one row of the file is one row of each of these tables
          - table: raw_users
            columns:
              user_id: id                       # a column of the file, as it came
              signup_date: {moment: created}    # a column of `dates`, as an ISO timestamp (UTC)
              utm_source: {column: origin, values: {SEM: search_ads}, lower: true}
          - table: raw_events
            columns:
              event_id: {template: "signup-{id}"}
              event_type: {constant: signup}
              event_date: {day: created}        # a column of `dates`, as an ISO day (UTC)

A column of the raw table that no feed names stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from string import Formatter
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from growth.errors import UserError
from growth.sources import RAW_COLUMNS


def one_line(text: object) -> str:
    """Text of a library or a file on one line, for the sentence of an error."""
    return " ".join(str(text).split())


# --- How files write days and moments ---


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _iso(text: str) -> date | datetime:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return _in_utc(datetime.fromisoformat(text))


def _epoch(microseconds: int) -> Callable[[str], datetime]:
    def read(text: str) -> datetime:
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
            raise ValueError(text)
        return datetime(1970, 1, 1) + timedelta(microseconds=int(Decimal(text) * microseconds))

    return read


_NAMED_FORMATS = {"iso": _iso, "epoch_seconds": _epoch(1_000_000), "epoch_ms": _epoch(1_000)}

# A moment whose parts all differ shows which of them a format carries. Its zone has a name that no machine knows:
# `%Z` reads the names of the machine's own zone, so that it would read the same file differently elsewhere.
_PROBE = datetime(2001, 2, 3, 16, 5, 6, tzinfo=timezone(timedelta(0), "?"))


def _probed(date_format: str) -> datetime:
    return datetime.strptime(_PROBE.strftime(date_format), date_format)


def _date_format(text: str) -> str:
    if text not in _NAMED_FORMATS:
        try:
            is_whole_date = _probed(text).date() == _PROBE.date()
        except (ValueError, re.error):  # re.error: a directive that stands twice
            is_whole_date = False
        if not is_whole_date:
            raise ValueError(
                f"{text!r} does not read a whole date: use iso, epoch_seconds, epoch_ms or a strptime format"
                ' with year, month and day such as "%d-%m-%Y %H:%M"'
            )
    return text


def moment_reader(date_format: str) -> Callable[[str], date | datetime | None]:
    """A function from text to its moment (UTC, without zone), its day where it has no time of day, or None.

    None is for text that does not read as the format. A moment without a zone is taken for UTC.
    """
    if date_format in _NAMED_FORMATS:
        parse = _NAMED_FORMATS[date_format]
    else:
        has_time = _probed(date_format).time() != time()

        def parse(text: str) -> date | datetime:
            moment = _in_utc(datetime.strptime(text, date_format))
            return moment if has_time else moment.date()

    def read(text: str) -> date | datetime | None:
        try:
            return parse(text)
        except (ValueError, OverflowError):
            return None

    return read


# --- What a mapping says ---


def _template(text: str) -> str:
    pieces = list(Formatter().parse(text))  # raises ValueError where a brace is not closed
    if any(spec or conversion or column == "" for _, column, spec, conversion in pieces):
        raise ValueError("a template takes column names in braces and nothing else in them")
    if all(column is None for _, column, _, _ in pieces):
        raise ValueError('a template names a column in braces such as "signup-{id}": use constant for fixed text')
    return text


Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Value(_Part):
    """Where one column of a raw table comes from: exactly one of the five ways."""

    column: Text | None = None
    """A column of the file, as it came. Plain text instead of keys means this."""
    constant: Text | None = None
    template: Annotated[Text, AfterValidator(_template)] | None = None
    """Text with columns in braces, as they came. Empty where one of them is: half an id is none."""
    day: Text | None = None
    """The UTC day of a column that stands in `dates`, as ISO text."""
    moment: Text | None = None
    """The same with its time (UTC), to the microsecond if given; the day alone where the value has no time."""

    values: dict[str, Text] = {}
    """What a value of `column` becomes; those not listed stay as they are."""
    lower: bool = False
    """Those that `values` does not list become lower-case."""

    @model_validator(mode="before")
    @classmethod
    def _plain_text_is_a_column(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_way(self) -> Value:
        ways = ("column", "constant", "template", "day", "moment")
        if sum(getattr(self, way) is not None for way in ways) != 1:
            raise ValueError(f"use exactly one of {', '.join(ways)}")
        if self.column is None and (self.values or self.lower):
            raise ValueError("values and lower go with column only")
        return self

    def pieces(self) -> list[tuple[str, str | None]]:
        """The template as pairs of fixed text and the column that follows it, None after the last."""
        return [(fixed, column) for fixed, column, _, _ in Formatter().parse(self.template or "")]

    def file_columns(self) -> set[str]:
        """The columns of the file that the value is made from."""
        return {name for name in (self.column, self.day, self.moment, *(c for _, c in self.pieces())) if name}


class Feed(_Part):
    """How a row of a file becomes a row of one raw table."""

    table: Text
    columns: dict[str, Value]

    @model_validator(mode="after")
    def _raw_columns(self) -> Feed:
        if self.table not in RAW_COLUMNS:
            raise ValueError(f"{self.table!r} is no raw table: use one of {', '.join(RAW_COLUMNS)}")
        known = RAW_COLUMNS[self.table]
        for column in self.columns:
            if column not in known:
                raise ValueError(f"{self.table} has no column {column!r}: use one of {', '.join(known)}")
        if known[0] not in self.columns:
            raise ValueError(f"{self.table} needs its {known[0]}: say which column or template makes it")
        return self


class Input(_Part):
    """Files of one kind, and what they feed."""

    pattern: Text
    """A glob pattern below the operator's folder; `**` stands for any folders."""
    arrival: Text
    dates: dict[str, Annotated[str, AfterValidator(_date_format)]]
    """For each column that is read as a day or moment: iso, epoch_seconds, epoch_ms or a strptime format."""
    feeds: Annotated[list[Feed], Field(min_length=1)]

    @model_validator(mode="after")
    def _below_the_folder(self) -> Input:
        parts = self.pattern.split("/")
        if parts[0] == "" or ".." in parts or any("**" in part and part != "**" for part in parts):
            raise ValueError(
                f"pattern {self.pattern!r} must stay below the folder, without a leading /, .. or a ** that is"
                ' not a folder of its own: write it like "events/*.csv.gz"'
            )
        return self

    @model_validator(mode="after")
    def _dates_have_formats(self) -> Input:
        values = [value for feed in self.feeds for value in feed.columns.values()]
        for column in [self.arrival, *(v.day for v in values), *(v.moment for v in values)]:
            if column is not None and column not in self.dates:
                raise ValueError(f"column {column!r} is read as a date: add its format to dates")
        return self

    def file_columns(self) -> set[str]:
        """The columns that its files must have."""
        values = [value for feed in self.feeds for value in feed.columns.values()]
        return set(self.dates).union(*(value.file_columns() for value in values))


class Mapping(_Part):
    """The content of a mapping file."""

    files: Annotated[list[Input], Field(min_length=1)]


# --- Reading one ---


class _Loader(yaml.BaseLoader):
    """YAML whose scalars all stay text (`yes`, `1.10` and `2024-01-01` too) and whose keys stand once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        content = super().construct_mapping(node, deep)
        keys = [key.value for key, _ in node.value]
        for key in content:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return content


def load(path: Path) -> Mapping:
    """The mapping in a YAML file. Raises UserError."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
    except FileNotFoundError:
        raise UserError(f"There is no mapping {path}: write it, or name one that exists.") from None
    except OSError as error:
        raise UserError(f"The mapping {path} cannot be read ({error.strerror}): make it readable.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"The mapping {path} is not UTF-8 at byte {error.start}: save it as UTF-8.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = one_line(getattr(error, "problem", None) or error)
        raise UserError(f"The mapping {path} is not YAML{line}, mend it there: {problem}.") from None
    try:
        return Mapping.model_validate(content)
    except ValidationError as error:
        # A misspelt key is also a missing one: name the one that was written.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise UserError(f"The mapping {path} cannot be used: {one_line(_problem(first))}.") from None


_KEYS_OF = {"files": Input, "feeds": Feed, "columns": Value}

_PROBLEMS = {
    "string_type": "must be text",
    "list_type": "must be a list",
    "too_short": "must have an entry",
    "string_too_short": "is empty: fill it or remove it",
    "bool_parsing": "must be true or false",
}


def _problem(error: Any) -> str:
    """One error of pydantic in words: the place in the mapping and what may stand there."""
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in error["loc"]).lstrip(".")
    part = next((_KEYS_OF[key] for key in reversed(error["loc"][:-1]) if key in _KEYS_OF), Mapping)
    allowed = ", ".join(sorted(part.model_fields))
    match error["type"]:
        case "extra_forbidden":
            return f"{place} is not a known key: use one of {allowed}"
        case "missing":
            return f"{place} is missing: add it"
        case "model_type":
            return f"{place or 'its content'} must be keys with values: the keys are {allowed}"
        case "dict_type":
            return f"{place} must be keys with values"
        case "value_error":
            return f"{place}: {error['ctx']['error']}"
        case kind:
            return f"{place} {_PROBLEMS.get(kind, error['msg'])}"
