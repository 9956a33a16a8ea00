"""Files as a source: what lands, in which batch, and the errors of files that cannot be read."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from growth.errors import UserError
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS
from growth.sources.mapped.files import Files
from growth.sources.mapped.moments import moment_reader

HOME = Path(__file__).parents[1]
LONG = "!" * 500

USERS = """
files:
  - pattern: PATTERN
    arrival: created
    dates: {created: FORMAT}
    feeds:
      - table: raw_users
        columns:
          user_id: id
          signup_date: {moment: created}
          email: mail
          utm_source: {column: origin, values: {SEM: search_ads}, lower: true}
      - table: raw_events
        columns:
          event_id: {template: "signup-{id}-{{x}}"}
          user_id: id
          event_type: {constant: signup}
          event_date: {day: created}
"""


def users_mapping(pattern: str = '"*.csv"', date_format: str = "iso") -> str:
    return USERS.replace("PATTERN", pattern).replace("FORMAT", date_format)


@pytest.fixture
def deliver(tmp_path):
    """Write a mapping and its files, and give their source."""

    def write(mapping: str, files: dict[str, str | bytes]) -> Files:
        folder = tmp_path / "in box"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(
                gzip.compress(data, mtime=0) if name.endswith(".gz") and isinstance(content, str) else data
            )
        mapping_path = tmp_path / "shop.yaml"
        mapping_path.write_text(mapping, encoding="utf-8")
        return Files(mapping_path, folder)

    return write


def everything(source: Files) -> dict[str, pd.DataFrame]:
    return read(source, source.first_day, source.last_day)


def read(source: Files, first: date, last: date) -> dict[str, pd.DataFrame]:
    """All pieces of some days as one frame for each raw table, in the order of their batches."""
    pieces = list(source.pieces(first, last))
    frames = {table: pd.concat([piece[table] for piece in pieces]) for table in RAW_COLUMNS}
    return {table: frame.sort_values(list(ARRIVAL_COLUMNS), ignore_index=True) for table, frame in frames.items()}


def records(frame: pd.DataFrame, *columns: str) -> list[tuple]:
    return list(frame[list(columns)].itertuples(index=False, name=None))


def sentence_of(act) -> str:
    """The sentence of the UserError that an act raises."""
    with pytest.raises(UserError) as caught:
        act()
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert len(sentence.splitlines()) == 1
    assert LONG not in sentence
    return sentence


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


# --- Formats ---


CSV = "id,created,mail,origin\n7,2024-03-01T10:00:00,a@x,SEM\n8,2024-03-02,,Direct\n"
JSONL = (
    '{"id": 7, "created": "2024-03-01T10:00:00", "mail": "a@x", "origin": "SEM"}\n'
    '\n{"origin": "Direct", "id": 8, "created": "2024-03-02", "mail": null, "more": [1]}\n'
)


def parquet(**columns: list) -> bytes:
    sink = pa.BufferOutputStream()
    write_table(pa.table(columns), sink, compression="none", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


PARQUET = parquet(
    more=[[1], [2]],
    id=[7, 8],
    created=["2024-03-01T10:00:00", "2024-03-02"],
    mail=["a@x", None],
    origin=["SEM", "Direct"],
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("u.csv", CSV),
        ("u.csv", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("u.csv.gz", CSV),
        ("u.jsonl", JSONL),
        ("u.jsonl.gz", JSONL),
        ("u.parquet", PARQUET),
        ("U.CSV", CSV),
    ],
)
def test_every_format_gives_the_same_rows(deliver, name, content):
    frames = everything(deliver(users_mapping('"[uU].*"'), {name: content}))

    assert frames["raw_users"].to_dict("records") == [
        {
            "batch_date": "2024-03-01",
            "source_file": name,
            "source_row": 1,
            "user_id": "7",
            "signup_date": "2024-03-01T10:00:00",
            "email": "a@x",
            "utm_source": "search_ads",
            "utm_campaign": None,
            "first_visit_date": None,
        },
        {
            "batch_date": "2024-03-02",
            "source_file": name,
            "source_row": 2,
            "user_id": "8",
            "signup_date": "2024-03-02",
            "email": None,
            "utm_source": "direct",
            "utm_campaign": None,
            "first_visit_date": None,
        },
    ]
    assert records(frames["raw_events"], "source_row", "event_id", "user_id", "event_type", "event_date") == [
        (1, "signup-7-{x}", "7", "signup", "2024-03-01"),
        (2, "signup-8-{x}", "8", "signup", "2024-03-02"),
    ]


def test_frames_have_the_columns_of_the_contract_and_text_or_none(deliver):
    frames = everything(deliver(users_mapping(), {"u.csv": CSV}))

    assert list(frames) == list(RAW_COLUMNS)
    for table, frame in frames.items():
        assert tuple(frame.columns) == ARRIVAL_COLUMNS + RAW_COLUMNS[table]
        assert frame["source_row"].dtype == "int64"
        for column in frame.columns.drop("source_row"):
            assert frame[column].dtype == object
            assert all(value is None or type(value) is str for value in frame[column])


def test_text_that_looks_like_nothing_stays_and_empty_text_is_none(deliver):
    csv = 'id,created,mail,origin\nNA,2024-03-01,null,""\n\n007,2024-03-01,nan, \n8,2024-03-01,"1\r\n2",a\0b\n'

    frames = everything(deliver(users_mapping(), {"u.csv": csv}))

    assert records(frames["raw_users"], "source_row", "user_id", "email", "utm_source") == [
        (1, "NA", "null", None),
        (2, "007", "nan", " "),
        (3, "8", "1\r\n2", "a\ufffdb"),
    ]


def test_typed_values_become_the_text_that_they_were_written_as(deliver):
    lines = [
        '{"id": 1, "mail": 29.90, "origin": 1e2, "created": "2024-03-01"}',
        '{"id": 2, "mail": 12345678901234567890, "origin": {"b": [1, 2.5, "é", null]}, "created": "2024-03-01"}',
        '{"id": 3, "mail": "\\ud800\\u0000", "origin": "É", "created": "2024-03-01"}',
        '{"id": false, "mail": true, "created": "2024-03-01"}',
        '{"id": 5, "mail": NaN, "created": "2024-03-01"}',
        '{"id": 4, "mail": "", "created": "2024-03-01"}',
    ]
    frames = everything(deliver(users_mapping("u.jsonl"), {"u.jsonl": "\n".join(lines)}))

    assert records(frames["raw_users"], "user_id", "email", "utm_source") == [
        ("1", "29.90", "1e2"),
        ("2", "12345678901234567890", '{"b": [1, 2.5, "é", null]}'),
        ("3", "\ufffd\ufffd", "é"),
        ("false", "true", None),
        ("5", "NaN", None),
        ("4", None, None),
    ]


def test_typed_values_of_parquet_become_text(deliver):
    content = parquet(
        id=pa.array([7.0, float("nan"), 1.5]),  # whole numbers with a gap, as pandas writes them
        created=pa.array([datetime(2024, 3, 1, 23, 30, 0, 500_000, UTC)] * 3, pa.timestamp("ns", "Europe/Berlin")),
        mail=[datetime(2024, 1, 2, 3, 4), None, datetime(2024, 1, 3)],
        origin=pa.array([b"SEM", None, b"x\0\xff"], pa.binary()),
    )
    frames = everything(deliver(users_mapping("u.parquet"), {"u.parquet": content}))

    assert records(frames["raw_users"], "batch_date", "user_id", "signup_date", "email", "utm_source") == [
        ("2024-03-01", "7", "2024-03-01T23:30:00.500000", "2024-01-02T03:04:00", "search_ads"),
        ("2024-03-01", None, "2024-03-01T23:30:00.500000", None, None),
        ("2024-03-01", "1.5", "2024-03-01T23:30:00.500000", "2024-01-03T00:00:00", "x\ufffd\ufffd"),
    ]


def test_an_id_made_from_an_empty_column_is_empty(deliver):
    csv = "id,created,mail,origin\n,2024-03-01,a@x,SEM\n"

    frames = everything(deliver(users_mapping(), {"u.csv": csv}))

    assert records(frames["raw_events"], "event_id") == [(None,)]


def test_a_template_evaluates_nothing(deliver):
    mapping = users_mapping().replace('"signup-{id}-{{x}}"', '"{id.__class__}"')
    csv = "id,id.__class__,created,mail,origin\n7,plain,2024-03-01,a@x,SEM\n"

    frames = everything(deliver(mapping, {"u.csv": csv}))

    assert records(frames["raw_events"], "event_id") == [("plain",)]


# --- Days and moments ---


@pytest.mark.parametrize(
    ("date_format", "text", "day", "moment"),
    [
        ("%d-%m-%Y %H:%M", "22-04-2014 03:53", "2014-04-22", "2014-04-22T03:53:00"),
        ("%d.%m.%y", "02.04.14", "2014-04-02", "2014-04-02"),
        ("%Y-%m-%d %H:%M:%S%z", "2014-04-22 01:30:00+0200", "2014-04-21", "2014-04-21T23:30:00"),
        ("iso", "2014-04-22", "2014-04-22", "2014-04-22"),
        ("iso", "2014-04-22 03:53:07", "2014-04-22", "2014-04-22T03:53:07"),
        ("iso", "2014-04-22T03:53:07.250000", "2014-04-22", "2014-04-22T03:53:07.250000"),
        ("iso", "2014-04-22T23:30:00-05:00", "2014-04-23", "2014-04-23T04:30:00"),
        ("iso", "2014-04-22T03:53:07Z", "2014-04-22", "2014-04-22T03:53:07"),
        ("epoch_seconds", "1398138810", "2014-04-22", "2014-04-22T03:53:30"),
        ("epoch_seconds", "1398138810.5", "2014-04-22", "2014-04-22T03:53:30.500000"),
        ("epoch_ms", "1398138810123", "2014-04-22", "2014-04-22T03:53:30.123000"),
        ("epoch_ms", "-1", "1969-12-31", "1969-12-31T23:59:59.999000"),
    ],
)
def test_a_date_is_read_by_its_format_in_utc(deliver, date_format, text, day, moment):
    csv = f"id,created,mail,origin\n7,{text},a@x,SEM\n"

    frames = everything(deliver(users_mapping(date_format=f'"{date_format}"'), {"u.csv": csv}))

    assert records(frames["raw_users"], "batch_date", "signup_date") == [(day, moment)]
    assert records(frames["raw_events"], "batch_date", "event_date") == [(day, day)]


@pytest.mark.parametrize(
    ("date_format", "good", "bad"),
    [
        ("%d-%m-%Y", "22-04-2014", "04-22-2014"),
        ("%d-%m-%Y", "22-04-2014", "22-04-2014 03:53"),
        ("iso", "2014-04-22", "22.04.2014"),
        ("iso", "2014-04-22", "0001-01-01T00:00:00+14:00"),
        ("epoch_seconds", "1398138810", "1398138810123456789"),
        ("epoch_seconds", "1398138810", "1_398"),
        ("epoch_seconds", "1398138810", "NaN"),
        ("epoch_ms", "1398138810000", "2014-04-22"),
    ],
)
def test_a_date_that_does_not_read_stays_as_it_came(deliver, date_format, good, bad):
    csv = f"id,created,mail,origin\n7,{bad},a@x,SEM\n8,{good},b@x,SEM\n"

    frames = everything(deliver(users_mapping(date_format=f'"{date_format}"'), {"u.csv": csv}))

    assert records(frames["raw_users"], "user_id", "signup_date")[0] == ("7", bad)
    assert records(frames["raw_events"], "user_id", "event_date")[0] == ("7", bad)


def test_a_format_without_time_gives_a_day_also_where_the_day_begins():
    assert moment_reader("%Y-%m-%d")("2024-03-01") == date(2024, 3, 1)
    assert moment_reader("%Y-%m-%d %H")("2024-03-01 00") == datetime(2024, 3, 1)


# --- Batches ---

SPREAD = {
    "a/u.csv": "id,created,mail,origin\n1,2024-03-01,,\n2,2024-03-05,,\n3,2024-03-01,,\n4,broken,,\n",
    "b/u.csv": "id,created,mail,origin\n5,,,\n6,2024-03-02T23:59:59,,\n7,2024-03-01T00:00:00,,\n",
    "b/empty.csv": "id,created,mail,origin\n",
    "folder.csv/notes.txt": "no file of the pattern",
}


def test_the_days_of_a_source_are_those_of_its_arrivals(deliver):
    source = deliver(users_mapping('"**/*.csv"'), SPREAD)

    assert (source.name, source.first_day, source.last_day) == ("shop", date(2024, 3, 1), date(2024, 3, 5))


def test_a_batch_does_not_depend_on_the_days_read_with_it(deliver):
    source = deliver(users_mapping('"**/*.csv"'), SPREAD)
    whole = everything(source)

    for table in RAW_COLUMNS:
        singly = [read(source, day, day)[table] for day in days(source.first_day, source.last_day)]
        pd.testing.assert_frame_equal(pd.concat(singly, ignore_index=True).astype(whole[table].dtypes), whole[table])
    third = read(source, date(2024, 3, 2), date(2024, 3, 4))["raw_users"]
    assert records(third, "batch_date", "user_id") == [("2024-03-02", "5"), ("2024-03-02", "6")]
    assert all(frame.empty for frame in read(source, date(2024, 3, 3), date(2024, 3, 4)).values())


def test_every_row_of_every_file_lands_once_in_each_table_it_feeds(deliver):
    source = deliver(users_mapping('"**/*.csv"'), SPREAD)
    expected = [(name, row) for name, rows in (("a/u.csv", 4), ("b/u.csv", 3)) for row in range(1, rows + 1)]

    batches = [read(source, day, day) for day in days(source.first_day, source.last_day)]

    for table in ("raw_users", "raw_events"):
        landed = [place for batch in batches for place in records(batch[table], "source_file", "source_row")]
        assert sorted(landed) == expected


def test_a_row_whose_arrival_does_not_read_lands_in_the_last_batch_of_its_file(deliver):
    source = deliver(users_mapping('"**/*.csv"'), SPREAD)

    landed = {
        user: day.isoformat()
        for day in days(source.first_day, source.last_day)
        for (user,) in records(read(source, day, day)["raw_users"], "user_id")
    }

    assert landed["4"] == "2024-03-05"
    assert landed["5"] == "2024-03-02"  # the last of its own file, not of all files


def test_only_the_files_of_the_days_that_are_asked_for_are_opened(deliver, tmp_path):
    """Where their names say the day, which is then the batch of all their rows."""
    files = {f"{day}/u.csv": CSV for day in ("2024-04-01", "2024-04-02")} | {"2024-04-03/u.csv": "no mail"}
    source = deliver(users_mapping('"{date}/u.csv"').replace("    arrival: created\n", ""), files)

    assert (source.first_day, source.last_day) == (date(2024, 4, 1), date(2024, 4, 3))
    frames = read(source, date(2024, 4, 2), date(2024, 4, 2))
    assert records(frames["raw_users"], "batch_date", "source_file", "source_row", "user_id") == [
        ("2024-04-02", "2024-04-02/u.csv", 1, "7"),
        ("2024-04-02", "2024-04-02/u.csv", 2, "8"),
    ]
    assert "2024-04-03/u.csv has no column" in sentence_of(lambda: everything(source))


# --- Malformed lines ---


def test_a_csv_line_with_too_many_fields_lands_without_ids(deliver):
    csv = "id,created,mail,origin\n7,2024-03-01,a,b@x,SEM\n8,2024-03-02,c@x,SEM\n"

    frames = everything(deliver(users_mapping(), {"u.csv": csv}))

    assert records(frames["raw_users"], "batch_date", "source_row", "user_id", "signup_date", "email") == [
        ("2024-03-01", 1, None, "2024-03-01", "a"),
        ("2024-03-02", 2, "8", "2024-03-02", "c@x"),
    ]
    assert records(frames["raw_events"], "event_id", "user_id") == [(None, None), ("signup-8-{x}", "8")]


def test_a_csv_line_with_too_few_fields_lands_with_empty_ones(deliver):
    csv = "id,created,mail,origin\n7,2024-03-01\n8\n"

    frames = everything(deliver(users_mapping(), {"u.csv": csv}))

    assert records(frames["raw_users"], "user_id", "signup_date", "email", "utm_source") == [
        ("7", "2024-03-01", None, None),
        ("8", None, None, None),
    ]


@pytest.mark.parametrize("bad", ['2,2024-03-02,"never closed,x', '2,2024-03-02,"closed" too early,x', '2,2024-03-02,"'])
@pytest.mark.parametrize(
    "after", ['3,2024-03-03,"fine, too",SEM\n4,2024-03-04,,\n', "3,2024-03-03,,\n4,2024-03-04,,\n"]
)
def test_a_stray_quote_spoils_its_own_line_only(deliver, bad, after):
    csv = f'id,created,mail,origin\n1,2024-03-01,"two\nlines ""quoted""",SEM\n{bad}\n{after}'

    frames = everything(deliver(users_mapping(), {"u.csv": csv}))

    assert records(frames["raw_users"], "source_row", "user_id", "batch_date") == [
        (1, "1", "2024-03-01"),
        (2, None, "2024-03-02"),
        (3, "3", "2024-03-03"),
        (4, "4", "2024-03-04"),
    ]
    assert frames["raw_users"]["email"][0] == 'two\nlines "quoted"'


def test_a_field_beyond_the_limit_of_the_csv_module_spoils_its_own_line_only(deliver):
    csv = f"id,created,mail,origin\n1,2024-03-01,{'x' * 200_000},\n2,2024-03-02,,\n"

    frames = everything(deliver(users_mapping(), {"u.csv": csv}))

    assert records(frames["raw_users"], "source_row", "user_id", "batch_date") == [
        (1, None, "2024-03-02"),
        (2, "2", "2024-03-02"),
    ]


@pytest.mark.parametrize("bad", ['{"id": 9, "created": "2024-03-01"', "[9]", '"9"', "null", "[" * 100_000, "1" * 5000])
def test_a_json_line_that_is_no_object_lands_without_ids(deliver, bad):
    lines = ['{"id": 1, "created": "2024-03-02", "mail": 1, "origin": 1}', bad, '{"id": 3, "created": "2024-03-03"}']

    frames = everything(deliver(users_mapping("u.jsonl"), {"u.jsonl": "\n".join(lines)}))

    assert records(frames["raw_events"], "batch_date", "source_row", "event_id", "user_id", "event_date") == [
        ("2024-03-02", 1, "signup-1-{x}", "1", "2024-03-02"),
        ("2024-03-03", 2, None, None, None),
        ("2024-03-03", 3, "signup-3-{x}", "3", "2024-03-03"),
    ]


def test_a_column_that_one_file_of_json_lines_leaves_out_is_empty_there(deliver):
    files = {
        "1.jsonl": '{"id": 1, "created": "2024-03-01", "mail": "a@x"}\n',
        "2.jsonl": '{"id": 2, "created": "2024-03-01", "origin": "SEM"}\n',
    }
    frames = everything(deliver(users_mapping('"*.jsonl"'), files))

    assert records(frames["raw_users"], "user_id", "email", "utm_source") == [
        ("1", "a@x", None),
        ("2", None, "search_ads"),
    ]


# --- What cannot be read ---


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("u.csv", "", ["is empty"]),
        ("u.csv", "\n \n", ["is empty"]),
        ("u.jsonl", "", ["is empty"]),
        ("u.csv.gz", b"", ["is empty"]),
        ("u.csv.gz", CSV.encode(), ["cannot be read whole", "deliver it again"]),
        ("u.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9], ["cannot be read whole", "deliver it again"]),
        (
            "u.csv.gz",
            gzip.compress(CSV.encode(), mtime=0)[:10] + b"\xff" * 40,
            ["cannot be read whole", "deliver it again"],
        ),
        ("u.csv", CSV.encode() + b"9,\xe9", ["is not UTF-8", f"byte {len(CSV) + 2}"]),
        ("u.jsonl.gz", gzip.compress(b'{"id": "\xe9"}', mtime=0), ["is not UTF-8"]),
        ("u.parquet", PARQUET[:-20], ["cannot be read as Parquet", "deliver it again"]),
        ("u.parquet", PARQUET.replace(b"a@x", b"b@x", 1), ["cannot be read as Parquet"]),
        ("u.parquet", b"", ["cannot be read as Parquet"]),
        ("u.xlsx", "x", ["no known format", ".csv.gz", ".jsonl", ".parquet"]),
        ("u.csv", "id;created\n1;2\n", ["no column 'created'", "are id;created"]),
        ("u.csv", 'id,created,origin,"e\nmail"\n', ["no column 'mail'", "are id, created, origin, e mail"]),
        ("u.jsonl", '{"id": 1, "created": 2, "origin": 3}\n', ["No row of", "'iso'", "created is '2'"]),
        ("u.jsonl", '{"ident": 1, "created": "2024-03-01"}\n', ["has no row with any of id,", "remove the file"]),
        ("u.jsonl", "broken\n", ["has no row with any of id,", "correct the mapping"]),
        ("u.json", "broken\n", ["is no JSON document", "format: json_lines"]),
        ("u.json", '{"data": [{"id": 1}], "n": "x"}'[:-1], ["is no JSON document"]),
        ("u.parquet", parquet(id=[1], created=["x"], e=[1]), ["no column 'mail'", "are id, created, e"]),
        ("u.csv", "id,created,mail,origin,id\n", ["column 'id' twice"]),
        ("u.csv", f"id,created,mail,origin\n1,5 Mai{LONG},a,\n2,,b,\n", ["'iso'", "created is '5 Mai", "shop.yaml"]),
    ],
)
def test_a_file_that_cannot_be_read_is_named_before_anything_is_handed_out(deliver, tmp_path, name, content, said):
    source = deliver(users_mapping('"**/u*"'), {"a/u.csv": CSV, f"b/{name}": content})

    sentence = sentence_of(lambda: read(source, date(2024, 3, 1), date(2024, 3, 1)))

    assert str(tmp_path / "in box" / "b" / name) in sentence
    for words in said:
        assert words in sentence


def test_a_column_that_no_file_has_is_named(deliver):
    mapping = users_mapping().replace("email: mail", "email: e-mail")

    sentence = sentence_of(lambda: deliver(mapping, {"u.csv": CSV}).first_day)

    assert "u.csv has no column 'e-mail'" in sentence
    assert "columns are id, created, mail, origin" in sentence


@pytest.mark.parametrize(
    ("old", "new"), [("signup-{id}", "signup-{ident}"), ("created: iso", "created: iso, ident: iso")]
)
def test_a_column_of_a_template_or_a_format_must_be_there(deliver, old, new):
    mapping = users_mapping().replace(old, new)

    assert "u.csv has no column 'ident'" in sentence_of(lambda: deliver(mapping, {"u.csv": CSV}).first_day)


def test_a_pattern_without_files_is_named(deliver, tmp_path):
    sentence = sentence_of(lambda: deliver(users_mapping("users.csv"), {"folder/users.csv": CSV}).last_day)

    for words in (str(tmp_path / "in box"), "'users.csv'", "shop.yaml"):
        assert words in sentence


def test_a_folder_that_is_not_there_is_named(deliver, tmp_path):
    deliver(users_mapping(), {})
    source = Files(tmp_path / "shop.yaml", tmp_path / "elsewhere")

    assert f"There is no folder {tmp_path / 'elsewhere'}" in sentence_of(lambda: source.first_day)


def test_files_without_a_row_are_an_error(deliver):
    source = deliver(users_mapping(), {"u.csv": "id,created,mail,origin\n"})

    assert "have no rows" in sentence_of(lambda: source.first_day)


def test_a_file_that_feeds_a_table_twice_is_refused(deliver, tmp_path):
    mapping = users_mapping() + "  - pattern: u.*\n    arrival: id\n    dates: {id: iso}\n"
    mapping += "    feeds: [{table: raw_events, columns: {event_id: id}}]\n"

    sentence = sentence_of(lambda: deliver(mapping, {"u.csv": CSV}).first_day)

    assert f"{tmp_path / 'in box' / 'u.csv'} feeds raw_events twice" in sentence


# --- Text in a mapping ---


def test_what_looks_like_a_number_or_flag_in_a_mapping_is_text(deliver):
    mapping = users_mapping().replace("{constant: signup}", "{constant: 0012}").replace("SEM: search_ads", "SEM: yes")

    frames = everything(deliver(mapping, {"u.csv": CSV}))

    assert records(frames["raw_events"], "event_type")[0] == ("0012",)
    assert records(frames["raw_users"], "utm_source")[0] == ("yes",)


# --- Real files: a workspace of 2012 to 2014 ---


@pytest.fixture(scope="module")
def relax(shared_data: Path) -> Files:
    return Files(HOME / "include" / "sources" / "relax.yaml", shared_data / "data" / "relax")


def test_relax_lands_every_signup_and_login_with_the_published_sources(relax):
    frames = everything(relax)
    events = frames["raw_events"]

    assert (relax.name, relax.first_day, relax.last_day) == ("relax", date(2012, 5, 31), date(2014, 6, 6))
    assert len(frames["raw_users"]) == 12_000
    assert events["event_type"].value_counts().to_dict() == {"daily_active": 207_917, "signup": 12_000}
    assert len(frames["raw_subscriptions"]) == 0
    assert events["event_id"].nunique() == len(events)
    assert not events.duplicated(list(ARRIVAL_COLUMNS)).any()
    assert (events["batch_date"] == events["event_date"]).all()
    assert frames["raw_users"]["utm_source"].value_counts().to_dict() == {
        "org_invite": 4_254,
        "guest_invite": 2_163,
        "personal_projects": 2_111,
        "signup": 2_087,
        "signup_google_auth": 1_385,
    }


def test_relax_reads_one_day_as_it_is_in_the_files(relax):
    frames = read(relax, date(2014, 4, 22), date(2014, 4, 22))
    user = frames["raw_users"].set_index("user_id").loc["1"]
    events = frames["raw_events"].set_index("event_id")

    assert json.loads(user.to_json()) == {
        "batch_date": "2014-04-22",
        "source_file": "users.csv.gz",
        "source_row": 1,
        "signup_date": "2014-04-22T03:53:00",
        "email": "1@example.invalid",
        "utm_source": "guest_invite",
        "utm_campaign": None,
        "first_visit_date": None,
    }
    columns = ["source_file", "source_row", "user_id", "event_type", "event_date", "event_timestamp"]
    assert list(events.loc["signup-1", columns]) == [
        *("users.csv.gz", 1, "1", "signup", "2014-04-22", "2014-04-22T03:53:00"),
    ]
    assert list(events.loc["login-1-2014-04-22", columns]) == [
        *("logins.csv.gz", 1, "1", "daily_active", "2014-04-22", None),
    ]
    assert set(frames["raw_events"]["batch_date"]) == {"2014-04-22"}
