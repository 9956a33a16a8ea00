"""A mapping says which files feed which raw table, and which of their fields becomes which column.

It is a file `include/sources/<name>.yaml`, where `<name>` is the name of the source. Every value in it is text, also
one that looks like a number or a flag, and nothing is evaluated. docs/own_data.md explains the keys with an example.

A column that no feed names stays empty. If several feeds of an entry fill the same table, a row goes to the first feed
that takes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from growth.language import definitions, yaml_file
from growth.language.definitions import Definitions
from growth.language.raw import RAW_COLUMNS
from growth.sources.mapped.moments import is_format

FieldPath = str | tuple[str, ...]
"""A field of a row: a name whose dots lead into nested objects, or a list of keys, whose dots belong to the keys."""

PARENT = "parent"
"""The field through which a row that `rows` made from a list reaches the row that contained the list."""


# --- The parts of a mapping ---


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


def _texts_or_words(given: Any, info: ValidationInfo) -> tuple[str, ...]:
    if not isinstance(given, dict):
        return _texts(given)
    if given.keys() != {"dictionary"}:
        raise ValueError("give a list of texts, or name one of the dictionary's: {dictionary: features.names}")
    lists = (info.context or definitions.load()).lists()
    if given["dictionary"] not in lists:
        raise ValueError(f"the dictionary has no list {given['dictionary']!r}: use one of {', '.join(lists)}")
    return lists[given["dictionary"]]


PathOf = Annotated[Any, PlainValidator(_path)]
Texts = Annotated[Any, PlainValidator(_texts)]
TextsOrWords = Annotated[Any, PlainValidator(_texts_or_words)]
"""Texts, or a list of include/definitions.yaml: {dictionary: features.names}."""


def _template(text: str) -> str:
    pieces = list(Formatter().parse(text))  # raises ValueError for a brace that is not closed
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
    """Where a column of a raw table comes from: exactly one of the first six keys, then what changes the text."""

    column: PathOf = None
    """A field of the file as it came, or one of `fields`. Plain text instead of keys means this."""
    first: Annotated[list[Value], Field(min_length=1)] | None = None
    """The first of several values that is not empty."""
    constant: Text | None = None
    template: Annotated[Text, AfterValidator(_template)] | None = None
    """Text with fields in braces. The result is empty if one of them is, except {name?}, which may be empty."""
    day: Text | None = None
    """The UTC day of one of `dates`, as ISO text."""
    moment: Text | None = None
    """The UTC timestamp of one of `dates`, to the microsecond if it has them; its day alone if it has no time."""

    starting: Text | None = None
    """Values that do not begin with this become empty."""
    not_starting: Text | None = None
    """Values that begin with this become empty."""
    strip: Text | None = None
    """A prefix to remove, as often as it is repeated."""
    values: dict[str, str] = {}
    """Replacements. Other values stay; empty text makes a value empty."""
    otherwise: str | None = None
    """What values that `values` does not list become."""
    lower: bool = False
    """Whether values that `values` does not list become lower case."""

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
        """Whether the text may differ from what came."""
        return bool(
            self.values or self.lower or self.strip or self.starting or self.not_starting or self.otherwise is not None
        )

    def pieces(self) -> list[tuple[str, str | None, bool]]:
        """The template as (fixed text, the field after it or None, whether that field may be empty)."""
        return [
            (fixed, column.removesuffix("?") if column else None, bool(column) and column.endswith("?"))
            for fixed, column, _, _ in Formatter().parse(self.template or "")
        ]

    def paths(self) -> Iterator[FieldPath]:
        """The fields that it reads, without those of its dates."""
        if self.column is not None:
            yield self.column
        for value in self.first or ():
            yield from value.paths()
        for _, column, _ in self.pieces():
            if column:
                yield column

    def dates(self) -> Iterator[str]:
        """The names of the `dates` that it reads."""
        yield from (name for name in (self.day, self.moment) if name)
        for value in self.first or ():
            yield from value.dates()


class Condition(_Part):
    """A test of one field, by exactly one of the other keys. A missing field and an empty one have no value."""

    column: PathOf
    """A field of the file, one of `fields` or one of `dates`."""
    equals: Text | None = None
    differs: Text | None = Field(None, alias="not")
    among: TextsOrWords = Field(None, alias="in")
    not_among: TextsOrWords = Field(None, alias="not_in")
    exists: bool | None = None
    containing: Texts = None
    """The value contains one of these texts, in any case."""
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
    """What an event of the source is called here. The first rule for its name whose conditions hold applies."""

    event: Texts
    """Its name, or several names, in the source; * is any name."""
    where: list[Condition] = []
    type: Text
    """The event type, one of events.types in include/definitions.yaml."""
    feature: Annotated[Value, BeforeValidator(_constant)] | None = None
    """The feature that was used: plain text is its name, keys are a value."""


class Feed(_Part):
    """How a row of a file becomes a row of one raw table."""

    table: Text
    where: list[Condition] = []
    """Only rows for which all conditions hold."""
    event: PathOf = None
    """The field with the name of the event; requires `rules`."""
    rules: list[Rule] = []
    unmapped: bool = False
    """Only rows that no rule of an earlier feed maps."""
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
    """iso, epoch_seconds, epoch_ms, epoch (seconds or milliseconds, by size), iso_or_epoch, or a strptime format."""
    column: PathOf = None
    """The field, if it has another name than the date."""
    first: Annotated[list[PathOf], Field(min_length=1)] | None = None
    """Several fields, of which the first that is not empty counts."""
    zone: Annotated[Text, AfterValidator(_zone)] | None = None
    """The time zone of the field's wall time (also of an epoch) if the text names none. The default is UTC."""

    sent: Text | None = None
    """The date at which the device's clock says that it sent the row. With `received` it tells the clock's error."""
    received: Text | None = None
    """The date at which the source received the row."""
    from_seconds: Annotated[float, Field(ge=0)] = 0
    """A smaller error of the clock is not corrected."""

    either: Annotated[list[Text], Field(min_length=1)] | None = None
    """Instead of all other keys: several dates, of which the first that is not empty counts."""

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
        """The fields that it reads itself, if it is called `name`."""
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
    """The day in a pattern: the text before it, its kind, its form, the text after it."""
    found = _PLACEHOLDER.search(pattern)
    if not found:
        return None
    return pattern[: found.start()], found[1], found[2] or "%Y-%m-%d", pattern[found.end() :]


def day_form(form: str) -> str:
    """A regular expression for days in a strftime form."""
    parts = re.split(r"%(.)", form)
    return "".join(_DIRECTIVES[part] if n % 2 else re.escape(part) for n, part in enumerate(parts))


class FilesEntry(_Part):
    """An entry of `files`: files of one kind and what they feed."""

    pattern: Annotated[Text, AfterValidator(_pattern)]
    """A glob pattern below the source's folder; `**` stands for any folders. {date}, {date:%Y_%m_%d}, {day_ms} and
    {day_seconds} stand for the day that is the batch of all rows of a file."""
    format: Literal["csv", "json_lines", "json", "parquet"] | None = None
    """The format, if the names of the files do not tell it."""
    records: PathOf = None
    """Where the list of rows is in a JSON document."""
    rows: PathOf = None
    """A list in each row whose elements become the rows; `parent.` leads to the fields of the containing row."""
    no_file: Literal["empty_day", "error"] | None = None
    """What a missing file means for this entry, if not what the whole mapping says."""
    optional: Annotated[list[Text], Field(min_length=1)] | None = None
    """Columns that a file may lack; fields of JSON always may."""
    arrival: Text | None = None
    """The date whose UTC day is the batch, if the pattern names no day."""
    dates: dict[str, Date] = {}
    fields: dict[str, Value] = {}
    """Named values, which a column, a template, a date or a condition can use like a field."""
    where: list[Condition] = []
    """Only rows for which all conditions hold."""
    feeds: Annotated[list[Feed], Field(min_length=1)]

    @property
    def is_dated(self) -> bool:
        """Whether the names of the files contain the day."""
        return placeholder(self.pattern) is not None

    def values(self) -> Iterator[Value]:
        """All values, including those of its feeds."""
        yield from self.fields.values()
        for feed in self.feeds:
            yield from feed.values()

    def conditions(self) -> Iterator[Condition]:
        """All conditions, including those of its feeds."""
        yield from self.where
        for feed in self.feeds:
            yield from feed.conditions()

    @model_validator(mode="after")
    def _days(self) -> FilesEntry:
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
    def _no_circles(self) -> FilesEntry:
        """Named values and dates may be made from one another, but not in a circle."""

        def uses(paths: Iterable[FieldPath], dates: Iterable[str]) -> list[tuple[str, FieldPath]]:
            return [*(("fields", path) for path in paths if path in self.fields), *(("dates", name) for name in dates)]

        graph = {("dates", name): uses(date.paths(name), date.names()) for name, date in self.dates.items()}
        graph |= {("fields", name): uses(value.paths(), value.dates()) for name, value in self.fields.items()}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            kind, name = min(error.args[1])
            raise ValueError(f"{kind}.{name} is made from itself: name the field of the file in another way") from None
        return self

    @model_validator(mode="after")
    def _each_feed_can_take_rows(self) -> FilesEntry:
        complete: set[str] = set()
        for number, feed in enumerate(self.feeds):
            if feed.table in complete:
                raise ValueError(
                    f"feeds.{number} feeds {feed.table} twice: a feed before it takes every row, give that a where"
                )
            if feed.takes_every_row:
                complete.add(feed.table)
            if feed.unmapped and not any(before.rules for before in self.feeds[:number]):
                raise ValueError(f"feeds.{number}.unmapped: no feed before it has rules")
        return self

    @model_validator(mode="after")
    def _parts_fit_the_format(self) -> FilesEntry:
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
        # A condition may name a date whose own name is no field.
        named_dates = {name for name, date in self.dates.items() if name not in date.paths(name)}
        tested = {condition.column for condition in self.conditions()}
        return paths - set(self.fields) - (named_dates & tested)

    def alternatives(self) -> list[set[FieldPath]]:
        """Sets of fields of which a file needs at least one: the parts of a `first`."""
        found = []
        for value in self.values():
            if value.first:
                found.append({path for part in value.first for path in part.paths()})
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


class FileMapping(_Part):
    """The content of a mapping file."""

    files: Annotated[list[FilesEntry], Field(min_length=1)]
    no_file: Literal["empty_day", "error"] = "error"
    """What a day without a file is: a day without rows, or an error that stops the run."""
    max_growth: Annotated[int, Field(ge=1)] = 200
    """How many times its own size a compressed file may unpack to; more is taken for an attack."""

    def may_be_missing(self, entry: FilesEntry) -> bool:
        """Whether an entry may have no file."""
        return (entry.no_file or self.no_file) == "empty_day"


def load(path: Path, words: Definitions | None = None) -> FileMapping:
    """The mapping in a file, with the dictionary whose lists it names (by default the project's). Raises UserError."""
    return yaml_file.load(path, "mapping", FileMapping, as_text=True, context=words)
