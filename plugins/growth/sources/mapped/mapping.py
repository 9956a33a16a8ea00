"""A mapping: which files feed which raw table, and which of their fields is which.

It stands in `include/sources/<name>.yaml`; `<name>` is the name of the source. Everything in it is text, also
what looks like a number or a flag, and nothing in it is evaluated. docs/own_data.md explains it with examples.

    files:
      - pattern: "calls/{date}/*.jsonl.gz"      # below the operator's folder; {date} is the batch of all rows of a file
        where:                                  # only these rows count
          - {column: type, in: [track, identify]}
        dates: {timestamp: iso}                 # how its fields write a day or a moment
        fields: {campaign: {first: [context.campaign.name, properties.campaign]}}    # values that have a name here
        feeds:                                  # one row of the file is one row of each of these tables
          - table: raw_events
            event: event                        # the field that names the event, and
            rules:                              # what it is here; what no rule maps is counted, and lands nowhere
              - {event: Signed Up, type: signup}
              - {event: Report Viewed, type: feature_used, feature: reports}
            columns:
              event_id: messageId               # a field of the file, as it came; dots lead into what is nested
              user_id: {column: userId, lower: true}
              event_timestamp: {moment: timestamp}      # a field of `dates`, as an ISO timestamp (UTC)
              utm_campaign: campaign

A column of the raw table that no feed names stays empty. Of several feeds for one table the first that takes a row
has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from growth.errors import UserError
from growth.language.raw import RAW_COLUMNS
from growth.sources.mapped.moments import is_format

FORMATS = ("csv", "json_lines", "json", "parquet")

FieldPath = str | tuple[str, ...]
"""A field of a row: its name, whose dots lead into what is nested, or a list of keys, whose dots are part of them."""

PARENT = "parent"
"""Where `rows` makes rows of a list: what each is a part of, as if it were a field."""


def one_line(text: object) -> str:
    """Text of a library or a file on one line, for the sentence of an error."""
    return " ".join(str(text).split())


# --- What the parts of a mapping may be ---


Text = Annotated[str, Field(min_length=1)]


def _path(given: Any) -> FieldPath:
    if given == "":
        raise PydanticCustomError("string_too_short", "is empty")
    if isinstance(given, str):
        return given
    if isinstance(given, list) and given and all(isinstance(key, str) and key for key in given):
        return tuple(given)
    raise ValueError("name a field such as context.page.path, or list its keys: [context, page, path]")


def _texts(given: Any) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
        return tuple(texts)
    raise ValueError("give a text, or a list of texts")


PathOf = Annotated[Any, PlainValidator(_path)]
Texts = Annotated[Any, PlainValidator(_texts)]


def _template(text: str) -> str:
    pieces = list(Formatter().parse(text))  # raises ValueError where a brace is not closed
    if any(spec or conversion or column in ("", "?") for _, column, spec, conversion in pieces):
        raise ValueError("a template takes column names in braces and nothing else in them")
    if all(column is None for _, column, _, _ in pieces):
        raise ValueError('a template names a column in braces such as "signup-{id}": use constant for fixed text')
    return text


def _date_format(text: str) -> str:
    if not is_format(text):
        raise ValueError(
            f"{text!r} does not read a whole date: use iso, epoch_seconds, epoch_ms, epoch, iso_or_epoch or a strptime"
            ' format with year, month and day such as "%d-%m-%Y %H:%M"'
        )
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name!r} is no time zone: use a name such as Europe/Berlin") from None
    return name


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class Value(_Part):
    """Where one column of a raw table comes from: exactly one of the six ways."""

    column: PathOf = None
    """A field of the file, as it came, or one of `fields`. Plain text instead of keys means this."""
    first: Annotated[list[Value], Field(min_length=1)] | None = None
    """The first of several values that is not empty."""
    constant: Text | None = None
    template: Annotated[Text, AfterValidator(_template)] | None = None
    """Text with fields in braces, as they came. Empty where one of them is: half an id is none. {name?} may be."""
    day: Text | None = None
    """The UTC day of one of `dates`, as ISO text."""
    moment: Text | None = None
    """The same with its time (UTC), to the microsecond if given; the day alone where the value has no time."""

    starting: Text | None = None
    """Only values that begin with this count, others are empty."""
    not_starting: Text | None = None
    """Values that begin with this are empty."""
    strip: Text | None = None
    """What is taken from the beginning of a value, as often as it stands there."""
    values: dict[str, str] = {}
    """What a value becomes; those not listed stay as they are. Empty text makes it empty."""
    otherwise: str | None = None
    """What those become that `values` does not list."""
    lower: bool = False
    """Those that `values` does not list become lower-case."""

    @model_validator(mode="before")
    @classmethod
    def _plain_text_is_a_column(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_way(self) -> Value:
        ways = ("column", "first", "constant", "template", "day", "moment")
        if sum(getattr(self, way) is not None for way in ways) != 1:
            raise ValueError(f"use exactly one of {', '.join(ways)}")
        if self.column is None and self.first is None and self.is_changed:
            raise ValueError(
                "values and lower, otherwise, strip, starting and not_starting go with column or first only"
            )
        if self.otherwise is not None and not self.values:
            raise ValueError("otherwise goes with values only")
        return self

    @property
    def is_changed(self) -> bool:
        """Whether the text does not stay as it came."""
        return bool(
            self.values or self.lower or self.strip or self.starting or self.not_starting or self.otherwise is not None
        )

    def pieces(self) -> list[tuple[str, str | None, bool]]:
        """The template as fixed text, the field that follows it (None after the last), and whether it may be empty."""
        return [
            (fixed, column.removesuffix("?") if column else None, bool(column) and column.endswith("?"))
            for fixed, column, _, _ in Formatter().parse(self.template or "")
        ]

    def paths(self) -> Iterator[FieldPath]:
        """The fields that it reads itself; those of its dates are not among them."""
        if self.column is not None:
            yield self.column
        for each in self.first or ():
            yield from each.paths()
        for _, column, _ in self.pieces():
            if column:
                yield column

    def dates(self) -> Iterator[str]:
        """The names of `dates` that it reads."""
        yield from (name for name in (self.day, self.moment) if name)
        for each in self.first or ():
            yield from each.dates()


class Condition(_Part):
    """What must hold of a field: exactly one of the seven. A field that is missing or empty has no value."""

    column: PathOf
    """A field of the file, one of `fields` or one of `dates`."""
    equals: Text | None = None
    differs: Text | None = Field(None, alias="not")
    among: Texts = Field(None, alias="in")
    not_among: Texts = Field(None, alias="not_in")
    exists: bool | None = None
    containing: Texts = None
    """One of these texts stands in the value, in capitals or not."""
    not_containing: Texts = None

    @model_validator(mode="after")
    def _one_way(self) -> Condition:
        ways = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        if sum(value is not None for way, value in ways.items() if way != "column") != 1:
            raise ValueError(f"use exactly one of {', '.join(way for way in ways if way != 'column')}")
        return self


def _constant(given: Any) -> Any:
    return {"constant": given} if isinstance(given, str) else given


class Rule(_Part):
    """What an event is here. Of several rules for its name the first whose conditions hold is taken."""

    event: Texts
    """Its name at its source, or several; * is any."""
    where: list[Condition] = []
    type: Text
    """The type of the event, a word of include/definitions.yaml."""
    feature: Annotated[Value, BeforeValidator(_constant)] | None = None
    """The feature that was used: plain text is one of the features there, keys say which field names it."""


class Feed(_Part):
    """How a row of a file becomes a row of one raw table."""

    table: Text
    where: list[Condition] = []
    """Only rows for which all of this holds."""
    event: PathOf = None
    """The field that names the event; goes with rules."""
    rules: list[Rule] = []
    unmapped: bool = False
    """Only rows that the rules of the feeds before it do not map."""
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

    @model_validator(mode="after")
    def _rules_of_events(self) -> Feed:
        if bool(self.rules) != (self.event is not None):
            raise ValueError("event and rules go together: event is the field whose text the rules name")
        if self.rules and self.table != "raw_events":
            raise ValueError(f"rules make events, and {self.table} has none: use where")
        if self.rules and (given := {"event_type", "feature_name"} & set(self.columns)):
            raise ValueError(f"its rules give {', '.join(sorted(given))}: take that out of columns")
        return self

    @property
    def takes_every_row(self) -> bool:
        return not (self.where or self.rules or self.unmapped)

    def values(self) -> Iterator[Value]:
        yield from self.columns.values()
        yield from (rule.feature for rule in self.rules if rule.feature)

    def conditions(self) -> Iterator[Condition]:
        yield from self.where
        for rule in self.rules:
            yield from rule.where


class Date(_Part):
    """How a day or moment is read. Plain text instead of keys is the format of the field of that name."""

    format: Annotated[str, AfterValidator(_date_format)] = None
    """iso, epoch_seconds, epoch_ms, epoch (seconds or milliseconds, by its size), iso_or_epoch, or one of strptime."""
    column: PathOf = None
    """The field, where it is not called like the date."""
    first: Annotated[list[PathOf], Field(min_length=1)] | None = None
    """Several fields: the first that is not empty."""
    zone: Annotated[Text, AfterValidator(_zone)] | None = None
    """The zone whose wall time the field tells, also as an epoch, where it names none itself. UTC if not given."""

    sent: Text | None = None
    """The date at which the same clock says that the row was sent; with `received` it tells how wrong that clock is."""
    received: Text | None = None
    """The date at which the source received it."""
    from_seconds: Annotated[float, Field(ge=0)] = 0
    """A clock that is less wrong than this is left alone."""

    either: Annotated[list[Text], Field(min_length=1)] | None = None
    """Instead of all the others: dates of which the first that is not empty counts."""

    @model_validator(mode="before")
    @classmethod
    def _plain_text_is_a_format(cls, given: Any) -> Any:
        return {"format": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_way(self) -> Date:
        if (self.either is None) == (self.format is None):
            raise ValueError("say its format, or either with the names of several dates")
        if self.either and self.model_fields_set != {"either"}:
            raise ValueError("either stands alone: what it names has formats of its own")
        if (self.sent is None) != (self.received is None):
            raise ValueError("sent and received go together: they tell how wrong the device's clock was")
        if self.column is not None and self.first is not None:
            raise ValueError("use column or first, not both")
        return self

    def names(self) -> list[str]:
        """The other dates that it is made from."""
        return [name for name in (self.sent, self.received, *(self.either or ())) if name]

    def paths(self, name: str) -> list[FieldPath]:
        """The fields that it reads itself."""
        if self.either:
            return []
        return list(self.first or [name if self.column is None else self.column])


_PLACEHOLDER = re.compile(r"\{(date|day_ms|day_seconds)(?::([^{}]+))?\}")
_DIRECTIVES = {"Y": r"\d{4}", "m": r"\d\d", "d": r"\d\d", "y": r"\d\d", "j": r"\d{3}", "H": r"\d\d", "b": "[A-Za-z]+"}


def _pattern(text: str) -> str:
    parts = text.split("/")
    if parts[0] == "" or ".." in parts or any("**" in part and part != "**" for part in parts):
        raise ValueError(
            f"pattern {text!r} must stay below the folder, without a leading /, .. or a ** that is"
            ' not a folder of its own: write it like "events/*.csv.gz"'
        )
    rest = _PLACEHOLDER.sub("", text)
    if "{" in rest or "}" in rest or len(_PLACEHOLDER.findall(text)) > 1:
        raise ValueError(
            f"pattern {text!r} may have one day in braces: {{date}} for 2024-11-30, {{date:%Y_%m_%d}} for another"
            " form, {day_ms} or {day_seconds} for its midnight as an epoch"
        )
    if (found := _PLACEHOLDER.search(text)) and found[2]:
        directives = re.findall(r"%(.)", found[2])
        if found[1] != "date" or not is_format(found[2]) or set(directives) - set(_DIRECTIVES):
            raise ValueError(
                f"pattern {text!r}: the form of its date is made of year, month and day"
                f" ({' '.join('%' + d for d in _DIRECTIVES)}), such as {{date:%Y/%m/%d}}"
            )
    return text


def placeholder(pattern: str) -> tuple[str, str, str, str] | None:
    """The day in a pattern: what stands before it, its kind, its form, what stands behind it."""
    found = _PLACEHOLDER.search(pattern)
    if not found:
        return None
    return pattern[: found.start()], found[1], found[2] or "%Y-%m-%d", pattern[found.end() :]


def day_form(form: str) -> str:
    """A regular expression for days of a form of strftime."""
    parts = re.split(r"%(.)", form)
    return "".join(_DIRECTIVES[part] if n % 2 else re.escape(part) for n, part in enumerate(parts))


class Input(_Part):
    """Files of one kind, and what they feed."""

    pattern: Annotated[Text, AfterValidator(_pattern)]
    """A glob pattern below the operator's folder; `**` stands for any folders. {date}, {date:%Y_%m_%d}, {day_ms} and
    {day_seconds} stand for the day that is the batch of all rows of a file."""
    format: Literal["csv", "json_lines", "json", "parquet"] | None = None
    """What the files are, where their names do not say it."""
    records: PathOf = None
    """Where in a JSON document the list of rows lies."""
    rows: PathOf = None
    """A list in each row that becomes rows: `parent.` leads to the fields of what it was a part of."""
    no_file: Literal["empty_day", "error"] | None = None
    """What it means that no file is there: as in the whole mapping, where it is not said."""
    optional: Annotated[list[Text], Field(min_length=1)] | None = None
    """Columns that a file may lack; fields of JSON always may."""
    arrival: Text | None = None
    """The date whose UTC day is the batch, where the pattern names no day."""
    dates: dict[str, Date] = {}
    fields: dict[str, Value] = {}
    """Values with names: they stand for fields wherever a column, a template, a date or a condition names one."""
    where: list[Condition] = []
    """Only rows for which all of this holds."""
    feeds: Annotated[list[Feed], Field(min_length=1)]

    @property
    def is_dated(self) -> bool:
        """Whether the day stands in the names of the files."""
        return placeholder(self.pattern) is not None

    def values(self) -> Iterator[Value]:
        """All values, those of its feeds too."""
        yield from self.fields.values()
        for feed in self.feeds:
            yield from feed.values()

    def conditions(self) -> Iterator[Condition]:
        yield from self.where
        for feed in self.feeds:
            yield from feed.conditions()

    @model_validator(mode="after")
    def _days(self) -> Input:
        if self.is_dated and self.arrival:
            raise ValueError("its pattern names the day, which is the batch of all rows: take arrival away")
        if not self.is_dated and not self.arrival:
            raise ValueError("arrival is missing: add the date whose day is the batch, or {date} to the pattern")
        named = [self.arrival, *(name for value in self.values() for name in value.dates())]
        for date in self.dates.values():
            named += date.names()
        for name in named:
            if name is not None and name not in self.dates:
                raise ValueError(f"column {name!r} is read as a date: add its format to dates")
        return self

    @model_validator(mode="after")
    def _no_circles(self) -> Input:
        """Named values and dates may be made from one another, but not in a circle."""

        def follow(kind: str, name: str, above: tuple[tuple[str, str], ...]) -> None:
            if (kind, name) in above:
                raise ValueError(f"{kind}.{name} is made from itself: name the field of the file in another way")
            above = (*above, (kind, name))
            if kind == "dates":
                date = self.dates[name]
                paths, dates = date.paths(name), date.names()
            else:
                paths, dates = list(self.fields[name].paths()), list(self.fields[name].dates())
            for path in paths:
                if path in self.fields:
                    follow("fields", path, above)
            for other in dates:
                follow("dates", other, above)

        for name in self.dates:
            follow("dates", name, ())
        for name in self.fields:
            follow("fields", name, ())
        return self

    @model_validator(mode="after")
    def _each_feed_can_take_rows(self) -> Input:
        whole: set[str] = set()
        for number, feed in enumerate(self.feeds):
            if feed.table in whole:
                raise ValueError(
                    f"feeds[{number}] feeds {feed.table} twice: a feed before it takes every row, give that a where"
                )
            if feed.takes_every_row:
                whole.add(feed.table)
            if feed.unmapped and not any(before.rules for before in self.feeds[:number]):
                raise ValueError(f"feeds[{number}].unmapped: no feed before it has rules")
        return self

    @model_validator(mode="after")
    def _parts_fit_the_format(self) -> Input:
        if self.records is not None and self.format not in (None, "json"):
            raise ValueError(f"records goes with format json, not {self.format}")
        return self

    def file_paths(self) -> set[FieldPath]:
        """The fields of the files that are read."""
        paths = {path for value in self.values() for path in value.paths()}
        paths |= {condition.column for condition in self.conditions()}
        paths |= {feed.event for feed in self.feeds if feed.event is not None}
        for name, date in self.dates.items():
            paths |= set(date.paths(name))
        virtual = {name for name, date in self.dates.items() if name not in date.paths(name)}
        conditions = {condition.column for condition in self.conditions()} & set(self.dates)
        return paths - set(self.fields) - (virtual & conditions)

    def alternatives(self) -> list[set[FieldPath]]:
        """Fields of which a file needs at least one: the parts of a `first`."""
        found = []
        for value in self.values():
            if value.first:
                found.append({path for each in value.first for path in each.paths()})
        for date in self.dates.values():
            if date.first:
                found.append(set(date.first))
            if date.either:
                found.append({path for name in date.either for path in self.dates[name].paths(name)})
        return found

    def key_paths(self) -> set[FieldPath]:
        """The fields of the files that the keys of the raw rows are made from."""
        values = [feed.columns[RAW_COLUMNS[feed.table][0]] for feed in self.feeds]
        found: set[FieldPath] = set()
        while values:
            for path in values.pop().paths():
                if path in self.fields:
                    values.append(self.fields[path])
                else:
                    found.add(path)
        return found


class Mapping(_Part):
    """The content of a mapping file."""

    files: Annotated[list[Input], Field(min_length=1)]
    no_file: Literal["empty_day", "error"] = "error"
    """What a day without a file is: a day without rows, or a fault that stops the run."""
    max_growth: Annotated[int, Field(ge=1)] = 200
    """How many times larger than it is a compressed file may become: more is taken for an attack."""

    def may_be_missing(self, each: Input) -> bool:
        """Whether no file for an input is no fault."""
        return (each.no_file or self.no_file) == "empty_day"


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
    except (yaml.YAMLError, RecursionError) as error:
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


_KEYS_OF = {
    "files": Input,
    "feeds": Feed,
    "columns": Value,
    "fields": Value,
    "first": Value,
    "feature": Value,
    "dates": Date,
    "where": Condition,
    "rules": Rule,
}

_PROBLEMS = {
    "string_type": "must be text",
    "list_type": "must be a list",
    "too_short": "must have an entry",
    "string_too_short": "is empty: fill it or remove it",
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
}


def _problem(error: Any) -> str:
    """One error of pydantic in words: the place in the mapping and what may stand there."""
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in error["loc"]).lstrip(".")
    part = next((_KEYS_OF[key] for key in reversed(error["loc"][:-1]) if key in _KEYS_OF), Mapping)
    allowed = ", ".join(sorted(field.alias or name for name, field in part.model_fields.items()))
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
        case "literal_error":
            return f"{place} must be {error['ctx']['expected']}"
        case kind:
            return f"{place} {_PROBLEMS.get(kind, error['msg'])}"
