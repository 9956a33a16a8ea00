"""What a mapping can say of nested files: each way of making a value, filters, rules, lists, several feeds."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from textwrap import indent
from typing import Any

import pandas as pd
import pytest
from pyarrow import Table
from pyarrow.parquet import write_table
from test_files import USERS, sentence_of

from growth.errors import UserError
from growth.language import definitions
from growth.language.raw import RAW_COLUMNS, UNMAPPED
from growth.sources import absolute_locations, locations_of, open_source
from growth.sources.mapped.files import Files
from growth.sources.mapped.mapping import load
from growth.sources.mapped.moments import moment_reader

Read = Callable[..., dict[str, list[dict[str, Any]]]]

ROW = {"id": "1", "at": "2025-01-02T10:00:00Z"}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """What rows become by one input of a mapping: its text without pattern, arrival and the date `at`."""

    def act(text: str, *rows: Any, name: str = "rows.jsonl") -> dict[str, list[dict[str, Any]]]:
        folder = tmp_path / "place"
        folder.mkdir(exist_ok=True)
        if name.endswith(".jsonl"):
            content = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
        elif name.endswith(".json"):
            content = json.dumps(rows[0])
        else:
            content = rows[0]
        (folder / name).write_text(content, encoding="utf-8")
        return frames(Files(written(tmp_path, text), folder))

    return act


def written(folder: Path, text: str) -> Path:
    path = folder / "shop.yaml"
    head = 'files:\n  - pattern: "*"\n    arrival: at\n'
    dates = "" if "dates:" in text else "    dates: {at: iso}\n"
    path.write_text(head + dates + indent(text.strip(), "    "), encoding="utf-8")
    return path


def frames(source: Files) -> dict[str, list[dict[str, Any]]]:
    pieces = list(source.pieces(source.first_day, source.last_day))
    found = {}
    for table in (*RAW_COLUMNS, UNMAPPED):
        frame = pd.concat([piece[table] for piece in pieces])
        found[table] = [{k: v for k, v in row.items() if v is not None} for row in frame.to_dict("records")]
    return found


def values(read: Read, value: str, *rows: dict[str, Any], **more: Any) -> list[str | None]:
    """What a value is in each row."""
    text = "feeds:\n  - table: raw_users\n    columns:\n      user_id: id\n      email: " + value
    if "fields" in more:
        text = f"fields: {more.pop('fields')}\n" + text
    found = read(text, *({**ROW, **row} for row in rows), **more)["raw_users"]
    return [row.get("email") for row in found]


# --- Values


@pytest.mark.parametrize(
    ("value", "row", "expected"),
    [
        ("a.b.c", {"a": {"b": {"c": "x"}}}, "x"),
        ("a.b", {"a": {"b": {"c": [1, "é"]}}}, '{"c": [1, "é"]}'),
        ("a.b", {"a": "text"}, None),
        ("a.b", {"a": None}, None),
        ("a.b", {"a": {}}, None),
        ("a.b", {}, None),
        ("a.b", {"a.b": "x"}, None),
        ('{column: ["a.b", "c d"]}', {"a.b": {"c d": 29.90}}, "29.9"),
        ("a.1.b", {"a": [{"b": "x"}, {"b": "y"}]}, "y"),
        ("a.5.b", {"a": [{"b": "x"}]}, None),
        ("a.0", {"a": {"0": "key"}}, "key"),
        ("{first: [a, b.c, d]}", {"a": "", "b": {"c": "x"}, "d": "y"}, "x"),
        ("{first: [a, {constant: none}]}", {}, "none"),
        ('{first: [{template: "{a}:{b}"}, c]}', {"a": "1", "c": "3"}, "3"),
        ('{template: "{a?}-{b}"}', {"b": "2"}, "-2"),
        ('{template: "{a?}-{b}"}', {"a": "1"}, None),
        ('{column: a, strip: "$device:"}', {"a": "$device:$device:x"}, "x"),
        ('{column: a, strip: "$device:"}', {"a": "$device:"}, None),
        ('{column: a, not_starting: "$device:"}', {"a": "$device:x"}, None),
        ('{column: a, starting: "$device:"}', {"a": "x"}, None),
        ('{column: a, starting: "$device:", strip: "$device:"}', {"a": "$device:x"}, "x"),
        ('{column: a, values: {EMPTY: ""}}', {"a": "EMPTY"}, None),
        ("{column: a, values: {x: y}, otherwise: other}", {"a": "z"}, "other"),
        ("{column: a, values: {x: y}, otherwise: other}", {"a": "x"}, "y"),
        ("{column: a, values: {x: y}, otherwise: other}", {}, None),
        ('{column: a, values: {x: y}, otherwise: ""}', {"a": "z"}, None),
        ("{column: a, values: {X: Y}, lower: true}", {"a": "ZZ"}, "zz"),
        ("{column: a}", {"a": True}, "true"),
        ("a", {"a": 12345678901234567890}, "12345678901234567890"),
        ("a", {"a": "\ud800\0"}, "\ufffd\ufffd"),
    ],
)
def test_a_value(read, value, row, expected):
    # With a row beside it that is read in the slow way, which must not differ.
    assert values(read, value, row, {"nan": float("nan")} | row) == [expected, expected]


def test_a_number_is_what_was_written(read):
    rows = [f'{{"id": 1, "at": "2025-01-02", "a": {{"b": {number}}}}}' for number in ("29.90", "1e2", "007e1", "NaN")]
    text = "feeds: [{table: raw_users, columns: {user_id: id, email: a.b}}]"

    found = read(text, *rows)["raw_users"]

    read_as = {row["source_row"]: row.get("email") for row in found}
    assert read_as == {1: "29.90", 2: "1e2", 3: None, 4: "NaN"}  # the third is no JSON


def test_named_values_stand_for_fields_everywhere(read):
    fields = '{who: {first: [user, guest]}, key: {template: "{who}/{id}"}}'

    assert values(read, '{template: "<{key}>"}', {"guest": "g"}, {"user": "u"}, fields=fields) == ["<g/1>", "<u/1>"]


def test_new_fields_are_ignored_and_missing_ones_leave_the_row(read):
    found = read(
        "feeds: [{table: raw_users, columns: {user_id: id}}]", ROW | {"new": {"id": 3}}, {"at": ROW["at"]}, ROW
    )

    assert [row.get("user_id") for row in found["raw_users"]] == ["1", None, "1"]


# --- Days and moments


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("epoch", "1735732800", "2025-01-01T12:00:00"),
        ("epoch", "1735732800000", "2025-01-01T12:00:00"),
        ("epoch", "10000000000", "2286-11-20T17:46:40"),
        ("epoch", "10000000001", "1970-04-26T17:46:40.001000"),
        ("iso_or_epoch", "1735732800", "2025-01-01T12:00:00"),
        ("iso_or_epoch", "2025-01-01T12:00:00Z", "2025-01-01T12:00:00"),
        ("iso_or_epoch", "20250101", "2025-01-01"),
        ("iso", "2025-01-01 12:00:00.123000", "2025-01-01T12:00:00.123000"),
        ("iso", "2025-01-01T12:00:00+00:00Z", None),
        ("iso", "", None),
    ],
)
def test_a_moment(form, text, expected):
    found = moment_reader(form)(text)

    assert (found and found.isoformat()) == expected


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("epoch", "1735732800", "2025-01-01T17:00:00"),
        ("epoch", "1751371200", "2025-07-01T16:00:00"),
        ("iso", "2025-01-01 12:00:00", "2025-01-01T17:00:00"),
        ("iso", "2025-01-01T12:00:00Z", "2025-01-01T12:00:00"),
        ("%d.%m.%Y %H:%M", "01.01.2025 12:00", "2025-01-01T17:00:00"),
        ("iso", "2025-01-01", "2025-01-01"),
    ],
)
def test_wall_time_of_a_zone(form, text, expected):
    assert moment_reader(form, "America/New_York")(text).isoformat() == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"o": "2031-01-01T00:00:00Z", "s": "2031-01-01T00:00:10Z", "r": "2025-01-02T09:00:00Z"},
            "2025-01-02T08:59:50",
        ),
        (
            {"o": "2025-01-01T00:00:00Z", "s": "2025-01-02T09:00:00Z", "r": "2025-01-02T09:00:59Z"},
            "2025-01-01T00:00:00",
        ),
        (
            {"o": "2025-01-01T00:00:00Z", "s": "2025-01-02T09:00:00Z", "r": "2025-01-02T09:01:00Z"},
            "2025-01-01T00:01:00",
        ),
        ({"o": "2025-01-01T00:00:00Z", "r": "2025-01-02T09:01:00Z"}, "2025-01-01T00:00:00"),
        ({"o": "2025-01-01T00:00:00Z", "s": "soon", "r": "2025-01-02T09:01:00Z"}, "2025-01-01T00:00:00"),
        ({"o": "never", "s": "2025-01-02T09:00:00Z", "r": "2025-01-02T09:01:00Z"}, "never"),
        ({"s": "2025-01-02T09:00:00Z", "r": "2025-01-02T09:01:00Z"}, None),
    ],
)
def test_a_device_clock_is_corrected(read, row, expected):
    text = """
dates:
  at: iso
  s: iso
  r: iso
  made: {column: o, format: iso, sent: s, received: r, from_seconds: 60}
feeds: [{table: raw_users, columns: {user_id: id, signup_date: {moment: made}}}]
"""
    assert read(text, ROW | row)["raw_users"][0].get("signup_date") == expected


# --- Filters, rules, feeds


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("{column: a.b, equals: x}", ["x"]),
        ("{column: a.b, not: x}", ["y", "X-ray", "-"]),
        ("{column: a.b, in: [x, y]}", ["x", "y"]),
        ("{column: a.b, not_in: [x, y]}", ["X-ray", "-"]),
        ("{column: a.b, exists: true}", ["x", "y", "X-ray"]),
        ("{column: a.b, exists: false}", ["-"]),
        ("{column: a.b, containing: x}", ["x", "X-ray"]),
        ("{column: a.b, not_containing: [RAY, z]}", ["x", "y", "-"]),
        ("{column: test, not: 'true'}", ["x", "y", "X-ray"]),
        ("{column: at, exists: true}", ["x", "y", "X-ray", "-"]),
    ],
)
def test_a_filter(read, condition, kept):
    rows = [ROW | {"id": each, "a": {"b": each}, "test": False} for each in ("x", "y", "X-ray")]
    rows.append(ROW | {"id": "-", "a": {"b": ""}, "test": True})
    for place in ("input", "feed"):
        feed = "table: raw_users, columns: {user_id: id}"
        text = (
            f"where: [{condition}]\nfeeds: [{{{feed}}}]"
            if place == "input"
            else f"feeds: [{{{feed}, where: [{condition}]}}]"
        )

        assert [row["user_id"] for row in read(text, *rows)["raw_users"]] == kept


RULES = """
feeds:
  - table: raw_events
    where: [{column: kind, equals: track}]
    event: what.name
    rules:
      - {event: [Joined, Signed Up], type: signup}
      - {event: Used, where: [{column: which, in: [api, export]}], type: feature_used, feature: {column: which}}
      - {event: Used, where: [{column: which, exists: true}], type: feature_used, feature: reports}
      - {event: Used, type: daily_active}
    columns: {event_id: id, user_id: user}
  - table: raw_links
    unmapped: true
    where: [{column: user, exists: true}]
    columns: {link_id: id, user_id: user}
  - table: raw_events
    where: [{column: kind, not: track}]
    columns: {event_id: id, event_type: {constant: visit}}
"""


def test_rules_name_events_and_what_no_rule_maps_is_counted(read):
    def track(number: int, name: str | None, **more: Any) -> dict[str, Any]:
        return ROW | {"id": f"{number}", "kind": "track", "what": {"name": name}} | more

    found = read(
        RULES,
        track(1, "Signed Up"),
        track(2, "Used", which="api"),
        track(3, "Used", which="other"),
        track(4, "Used"),
        track(5, "used", user="u"),
        track(6, None),
        ROW | {"id": "7", "kind": "page"},
        track(8, "used", at="2025-01-03"),
    )

    events = [
        tuple(row.get(name) for name in ("event_id", "event_type", "feature_name")) for row in found["raw_events"]
    ]
    assert sorted(events) == [
        ("1", "signup", None),
        ("2", "feature_used", "api"),
        ("3", "feature_used", "reports"),
        ("4", "daily_active", None),
        ("7", "visit", None),
    ]
    assert [row["source_row"] for row in found["raw_events"] if row["event_id"] == "7"] == [7]
    assert [(row["link_id"], row["user_id"]) for row in found["raw_links"]] == [("5", "u")]
    counted = {(row["batch_date"], row["event_name"]): row["rows_seen"] for row in found[UNMAPPED]}
    assert counted == {("2025-01-02", "used"): 1, ("2025-01-02", "(no name)"): 1, ("2025-01-03", "used"): 1}


def test_of_several_feeds_for_a_table_the_first_that_takes_a_row_has_it(read):
    text = """
feeds:
  - {table: raw_users, where: [{column: a, exists: true}], columns: {user_id: a}}
  - {table: raw_users, where: [{column: b, exists: true}], columns: {user_id: b}}
  - {table: raw_users, columns: {user_id: id}}
"""
    found = read(text, ROW | {"a": "a", "b": "b"}, ROW | {"b": "b"}, ROW)["raw_users"]

    assert sorted((row["source_row"], row["user_id"]) for row in found) == [(1, "a"), (2, "b"), (3, "1")]


def test_a_malformed_line_lands_once_where_every_row_is_taken_only_if_it_meets_a_condition(read):
    found = read(RULES, ROW | {"kind": "page"}, "broken")

    assert [(row["source_row"], row.get("event_id")) for row in found["raw_events"]] == [(1, "1"), (2, None)]
    assert found["raw_links"] == []


def test_lists_become_rows_that_know_what_they_are_part_of(read):
    text = """
rows: items.data
feeds: [{table: raw_users, columns: {user_id: {template: "{parent.id}/{id}"}, email: parent.mail.to}}]
dates: {at: {column: parent.at, format: iso}}
"""
    orders = [
        {"id": "o1", "at": "2025-01-02", "mail": {"to": "x"}, "items": {"data": [{"id": "a"}, {"id": "b"}]}},
        {"id": "o2", "at": "2025-01-02", "items": {"data": []}},
        {"id": "o3", "at": "2025-01-02"},
        {"id": "o4", "at": "2025-01-02", "items": {"data": [{"id": "c"}]}},
    ]
    found = read(text, *orders)["raw_users"]

    keys = [(row["source_row"], row["user_id"], row.get("email")) for row in found]
    assert keys == [(1, "o1/a", "x"), (2, "o1/b", "x"), (3, "o4/c", None)]


@pytest.mark.parametrize("text", ["records: page.data\n", "format: json\nrecords: [page, data]\n"])
def test_a_json_document_has_its_rows_in_a_list(read, text):
    document = {"page": {"data": [ROW, ROW | {"id": "2"}]}}
    name = "rows.json"

    found = read(text + "feeds: [{table: raw_users, columns: {user_id: id}}]", document, name=name)["raw_users"]

    assert [(row["source_row"], row["user_id"]) for row in found] == [(1, "1"), (2, "2")]


def test_nested_fields_of_parquet(tmp_path):
    (tmp_path / "place").mkdir()
    rows = [ROW | {"a": {"b": n, "unread": "x"}, "list": [{"c": f"c{n}"}]} for n in range(3)]
    write_table(Table.from_pylist(rows), tmp_path / "place" / "rows.parquet", row_group_size=2)
    text = "feeds: [{table: raw_users, columns: {user_id: a.b, email: list.0.c}}]"

    found = frames(Files(written(tmp_path, text), tmp_path / "place"))["raw_users"]

    assert [(row["source_row"], row["user_id"], row["email"]) for row in found] == [
        (1, "0", "c0"),
        (2, "1", "c1"),
        (3, "2", "c2"),
    ]


def test_columns_of_csv_that_a_file_may_lack(read):
    """A column with dots is one column; of a `first` one is enough."""
    text = """
optional: [campaign.name]
feeds: [{table: raw_users, columns: {user_id: id, utm_campaign: campaign.name, email: {first: [mail, e_mail]}}}]
"""
    with_it = read(text, "id,at,campaign.name,e_mail\n1,2025-01-02,spring,x\n", name="1.csv")["raw_users"][0]
    without = read(text, "id,at,mail\n1,2025-01-02,y\n", name="1.csv")["raw_users"][0]

    assert (with_it["utm_campaign"], with_it["email"], without["email"]) == ("spring", "x", "y")
    with pytest.raises(UserError, match="has no column 'e_mail'"):
        read(text, "id,at\n1,2025-01-02\n", name="1.csv")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{date}.jsonl", "2025-01-02.jsonl"),
        ("a/{date}/*.jsonl", "a/2025-01-02/x.jsonl"),
        ("{date:%Y/%m/%d}/x.jsonl", "2025/01/02/x.jsonl"),
        ("**/e_{date:%Y_%m_%d}-*.jsonl", "a/b/e_2025_01_02-1.jsonl"),
        ("{date:%Y%m%d}*.jsonl", "20250102T10.jsonl"),
        ("*/{day_ms}/*.jsonl", "s/1735776000000/1.jsonl"),
        ("{day_seconds}.jsonl", "1735776000.jsonl"),
    ],
)
def test_the_day_in_the_name_of_a_file(tmp_path, pattern, path):
    for name in (path, path.replace("02", "0x").replace("17357", "x7357"), "2025-01-02/other.txt"):
        (tmp_path / "place" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "place" / name).write_text(json.dumps({"id": 1}))
    mapping = tmp_path / "shop.yaml"
    feeds = "feeds: [{table: raw_users, columns: {user_id: id}}]"
    mapping.write_text(f'files: [{{pattern: "{pattern}", {feeds}}}]', encoding="utf-8")
    source = Files(mapping, tmp_path / "place")

    assert (source.first_day, source.last_day) == (date(2025, 1, 2), date(2025, 1, 2))
    found = frames(source)["raw_users"]
    assert [(row["batch_date"], row["source_file"]) for row in found] == [("2025-01-02", path)]


# --- Lists of the dictionary


def dictionary(**lists: dict[str, Any]) -> definitions.Definitions:
    """The shipped dictionary with other lists: section={list: values}."""
    content = definitions.load().model_dump(mode="json", exclude_none=True)
    return definitions.Definitions.model_validate(
        {name: section | lists.get(name, {}) for name, section in content.items()}
    )


def test_a_condition_may_take_its_texts_from_a_list_of_the_dictionary(tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    rows = [{**ROW, "id": name, "what": name} for name in ("api", "billing", "active", "frozen")]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = dictionary(features={"names": ["billing", "dashboard", "reports", "export"]})

    def kept(condition: str) -> list[str]:
        path = written(tmp_path, f"where: [{{column: what, {condition}}}]\nfeeds: [{FEED}]")
        return [row["user_id"] for row in frames(Files(path, folder, words))["raw_users"]]

    assert kept("in: {dictionary: features.names}") == ["billing"]
    assert kept("not_in: {dictionary: features.names}") == ["api", "active", "frozen"]
    assert kept("in: {dictionary: subscriptions.statuses}") == ["active"]


def test_a_feature_that_is_new_in_the_dictionary_needs_no_change_of_a_shipped_mapping(tmp_path):
    features = [*definitions.load().features.names, "billing"]
    words = dictionary(features={"names": features})
    sources = Path(__file__).parents[1] / "include" / "sources"
    at = "2025-01-02T10:00:00Z"
    day = tmp_path / "segment-logs" / "source" / "1735776000000"
    day.mkdir(parents=True)
    call = {"type": "track", "event": "Feature Used", "messageId": "1", "userId": "u", "receivedAt": at}
    day.joinpath("1.gz").write_bytes(gzip.compress(json.dumps({**call, "properties": {"feature": "billing"}}).encode()))
    (tmp_path / "events").mkdir()
    event = {"event_type": "feature used", "event_time": at, "server_upload_time": at, "uuid": "1", "user_id": "u"}
    (tmp_path / "events" / "1.json").write_text(json.dumps({**event, "event_properties": {"feature": "billing"}}))

    for name in ("segment", "amplitude"):
        (landed,) = frames(Files(sources / f"{name}.yaml", tmp_path, words))["raw_events"]
        assert (landed["event_type"], landed["feature_name"]) == ("feature_used", "billing")
        before = frames(Files(sources / f"{name}.yaml", tmp_path))["raw_events"]
        assert [row["event_type"] for row in before] == {"segment": [], "amplitude": ["daily_active"]}[name]


# --- Mappings that cannot be used

FEED = "{table: raw_users, columns: {user_id: id}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"feeds: [{FEED}, {FEED}]", ["files.0", "feeds.1 feeds raw_users twice", "give that a where"]),
        ("feeds: [{table: raw_users, unmapped: true, columns: {user_id: id}}]", ["feeds.0.unmapped: no feed before"]),
        ("feeds: [{table: raw_users, event: what, columns: {user_id: id}}]", ["event and rules go together"]),
        ("feeds: [{table: raw_users, event: a, rules: [{event: b, type: c}], columns: {user_id: id}}]", ["use where"]),
        (
            "feeds: [{table: raw_events, event: a, rules: [{event: b, type: c}],"
            " columns: {event_id: a, event_type: b}}]",
            ["its rules give event_type", "take that out of columns"],
        ),
        (
            "feeds: [{table: raw_events, event: a, rules: [{event: b, typ: c}], columns: {event_id: a}}]",
            ["files.0.feeds.0.rules.0.typ: is not a known key", "event, feature, type, where"],
        ),
        (f"where: [{{column: a, is: b}}]\nfeeds: [{FEED}]", ["files.0.where.0.is", "equals, exists, in, not, not_"]),
        (f"where: [{{column: a}}]\nfeeds: [{FEED}]", ["files.0.where.0", "exactly one of equals, not, in, not_in"]),
        (f"where: [{{column: a, in: []}}]\nfeeds: [{FEED}]", ["where.0.in", "a list of texts"]),
        (
            f"where: [{{column: a, in: {{dictionary: features.name}}}}]\nfeeds: [{FEED}]",
            ["where.0.in", "the dictionary has no list 'features.name'", "use one of events.types, features.names"],
        ),
        (f"where: [{{column: a, in: {{words: features.names}}}}]\nfeeds: [{FEED}]", ["{dictionary: features.names}"]),
        (f"where: [{{column: a, exists: perhaps}}]\nfeeds: [{FEED}]", ["where.0.exists: must be true or false"]),
        ("feeds: [{table: raw_users, columns: {user_id: {column: [a, [b]]}}}]", ["user_id.column", "list its keys"]),
        (
            "feeds: [{table: raw_users, columns: {user_id: {first: []}}}]",
            ["user_id.first: list should have at least 1 item"],
        ),
        ("feeds: [{table: raw_users, columns: {user_id: {column: a, otherwise: b}}}]", ["otherwise goes with values"]),
        (f"fields: {{a: {{first: [b, a]}}}}\nfeeds: [{FEED}]", ["fields.a is made from itself"]),
        (f"fields: {{a: {{column: b}}, b: {{column: a}}}}\nfeeds: [{FEED}]", ["fields.a is made from itself"]),
        (f"fields: {{at: {{day: at}}}}\nfeeds: [{FEED}]", ["dates.at is made from itself"]),
        (f"dates: {{at: {{format: iso, zone: Berlin}}}}\nfeeds: [{FEED}]", ["dates.at.zone", "Europe/Berlin"]),
        (f"dates: {{at: {{format: iso, sent: at}}}}\nfeeds: [{FEED}]", ["sent and received go together"]),
        (f"dates: {{at: {{either: [b]}}}}\nfeeds: [{FEED}]", ["'b' is read as a date", "add its format to dates"]),
        (f"dates: {{at: {{either: [at], format: iso}}}}\nfeeds: [{FEED}]", ["dates.at"]),
        (f"dates: {{at: {{column: b}}}}\nfeeds: [{FEED}]", ["dates.at", "say its format"]),
        (f"format: xml\nfeeds: [{FEED}]", ["files.0.format: must be 'csv', 'json_lines', 'json' or 'parquet'"]),
        (f"format: csv\nrecords: a\nfeeds: [{FEED}]", ["records goes with format json, not csv"]),
        (f"no_file: ignore\nfeeds: [{FEED}]", ["files.0.no_file: must be 'empty_day' or 'error'"]),
    ],
)
def test_a_mapping_that_cannot_be_used_says_where_and_what_is_allowed(tmp_path, text, said):
    path = written(tmp_path, text)

    with pytest.raises(UserError) as caught:
        load(path)

    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert sentence.endswith("; correct it and run again.")
    assert len(sentence.splitlines()) == 1
    for words in said:
        assert words in sentence


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "    arrival:",
            "    arival:",
            ["files.0.arival: is not a known key", "arrival, dates, feeds"],
        ),
        ("    arrival: created", "", ["files.0: arrival is missing"]),
        ("files:", "fils:", ["fils: is not a known key", "use one of files"]),
        (
            "- table: raw_users",
            "- tabel: raw_users",
            ["files.0.feeds.0.tabel: is not a known key", "table, unmapped"],
        ),
        ("raw_users", "raw_user", ["files.0.feeds.0", "'raw_user' is no raw table", "raw_subscriptions"]),
        ("utm_source:", "utm_sorce:", ["feeds.0", "raw_users has no column 'utm_sorce'", "utm_source"]),
        ("event_type:", "plan_name:", ["feeds.1", "raw_events has no column 'plan_name'", "event_type"]),
        ("          user_id: id\n          signup", "          signup", ["feeds.0", "raw_users needs its user_id"]),
        ("{constant: signup}", "{const: signup}", ["feeds.1.columns.event_type.const: is not a known key", "constant"]),
        ("{constant: signup}", "{constant: a, column: id}", ["feeds.1.columns.event_type", "exactly one of column"]),
        ("{constant: signup}", "{}", ["feeds.1.columns.event_type", "exactly one of column"]),
        ("{constant: signup}", "{constant: a, lower: true}", ["columns.event_type", "values and lower"]),
        ("{constant: signup}", "", ["feeds.1.columns.event_type.column: is empty"]),
        ("{constant: signup}", "[signup]", ["feeds.1.columns.event_type: must be keys with values", "constant"]),
        ("lower: true", "lower: maybe", ["utm_source.lower: must be true or false"]),
        ("{SEM: search_ads}", "SEM", ["utm_source.values: must be keys with values"]),
        ("signup-{id}", "signup-{id!r}", ["feeds.1.columns.event_id.template", "column names in braces"]),
        ("signup-{id}", "signup-{id:>9}", ["feeds.1.columns.event_id.template", "column names in braces"]),
        ("signup-{id}", "signup-{}", ["feeds.1.columns.event_id.template", "column names in braces"]),
        ("signup-{id}", "signup-{id", ["feeds.1.columns.event_id.template"]),
        ("signup-{id}", "signup", ["feeds.1.columns.event_id.template", "use constant"]),
        ("{day: created}", "{day: id}", ["files.0", "'id' is read as a date", "dates"]),
        ("{moment: created}", "{moment: mail}", ["files.0", "'mail' is read as a date", "dates"]),
        ("arrival: created", "arrival: id", ["files.0", "'id' is read as a date", "dates"]),
        ("FORMAT", "iso8601", ["files.0.dates.created", "'iso8601'", "epoch_seconds", "strptime"]),
        ("FORMAT", '"%d-%m"', ["files.0.dates.created", "'%d-%m'", "whole date"]),
        ("FORMAT", '"%Y-%m-%d %Y"', ["files.0.dates.created", "whole date"]),
        ("FORMAT", '"%Y-%m-%d %Z"', ["files.0.dates.created", "whole date"]),
        ("PATTERN", "/data/*.csv", ["files.0", "'/data/*.csv' must stay below the folder"]),
        ("PATTERN", "../*.csv", ["files.0", "'../*.csv' must stay below the folder"]),
        ("PATTERN", '"a**/*.csv"', ["files.0", "'a**/*.csv'"]),
        ("PATTERN", '""', ["files.0.pattern: is empty"]),
        ("    arrival: created", "    arrival: created\n    arrival: id", ["line 5", "the key 'arrival' stands twice"]),
        ("{day: created}", "{day: created", ["is not YAML at line"]),
        ("{day: created}", "\x01", ["not YAML"]),
        (USERS, "", ["the whole file: must be keys with values", "files"]),
        (USERS, "files: []", ["files: list should have at least 1 item"]),
        (USERS, "files: {}", ["files: must be a list"]),
        (USERS, "files: [users.csv]", ["files.0: must be keys with values", "arrival, dates, feeds, fields"]),
    ],
)
def test_a_mistake_in_a_mapping_of_columns_says_where_and_what_is_allowed(tmp_path, old, new, said):
    assert USERS.count(old)
    path = tmp_path / "shop.yaml"
    text = USERS.replace(old, new, 1).replace("PATTERN", '"*.csv"').replace("FORMAT", "iso")
    path.write_text(text, encoding="utf-8")

    sentence = sentence_of(lambda: load(path))

    for words in (str(path), *said):
        assert words in sentence


def test_a_mapping_file_that_cannot_be_read_is_named(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"files: \xe9")

    assert f"{tmp_path / 'shop.yaml'} cannot be read (No such file or directory)" in sentence_of(
        lambda: load(tmp_path / "shop.yaml")
    )
    assert f"{latin} is not UTF-8 at byte 7" in sentence_of(lambda: load(latin))
    assert f"{tmp_path} cannot be read" in sentence_of(lambda: load(tmp_path))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{date}/{date}.csv", "may have one day in braces"),
        ("{day}.csv", "may have one day in braces"),
        ("{date:%m-%d}.csv", "is made of year, month and day"),
        ("{date:%Y-%m-%d %S}.csv", "is made of year, month and day"),
        ("{day_ms:%Y}.csv", "is made of year, month and day"),
        ("{date}.csv", "take arrival away"),
    ],
)
def test_a_pattern_that_cannot_be_used(tmp_path, pattern, said):
    path = written(tmp_path, f"feeds: [{FEED}]")
    path.write_text(path.read_text().replace('"*"', f'"{pattern}"'))

    with pytest.raises(UserError, match=said):
        load(path)


def test_how_much_a_file_may_grow_is_a_number(tmp_path):
    path = written(tmp_path, f"feeds: [{FEED}]")
    path.write_text(path.read_text() + "\nmax_growth: much\n")

    with pytest.raises(UserError, match="max_growth: must be a whole number"):
        load(path)


def test_every_shipped_mapping_loads():
    for path in (Path(__file__).parents[1] / "include" / "sources").glob("*.yaml"):
        if not path.stem.startswith("stripe"):
            load(path)


# --- Several sources


def test_several_sources_are_one_whose_files_are_told_apart(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jsonl").write_text(
            json.dumps({"event": "Signed Up", "properties": {"time": 1735732800, "distinct_id": name,
                        "mp_processing_time_ms": 1735732800000}})
        )  # fmt: skip
    (tmp_path / "b" / "events").mkdir()
    (tmp_path / "b" / "events" / "1.jsonl").write_text(
        json.dumps({"uuid": "x", "server_upload_time": "2025-01-03 10:00:00", "event_type": "unknown"})
    )
    (tmp_path / "b" / "1.jsonl").unlink()
    for names in ("mixpanel,amplitude", "amplitude, mixpanel"):
        source = open_source(
            {
                "SAAS_GROWTH_SOURCE": names,
                "SAAS_GROWTH_SOURCE_PATH": f"mixpanel={tmp_path / 'a'},amplitude={tmp_path / 'b'}",
            }
        )
        assert source.name == "amplitude,mixpanel"
        assert (source.first_day, source.last_day) == (date(2025, 1, 1), date(2025, 1, 3))
        found = frames(source)
        assert [row["source_file"] for row in found["raw_events"]] == ["mixpanel/1.jsonl"]
        assert [row["source_file"] for row in found[UNMAPPED]] == ["amplitude/events/1.jsonl"]


def test_where_several_sources_are(tmp_path):
    names = ["segment", "stripe"]
    assert locations_of("/a,b", names) == {"segment": "/a,b", "stripe": "/a,b"}
    assert locations_of("stripe=s3://x/y=z,segment=/a,b", names) == {"stripe": "s3://x/y=z", "segment": "/a,b"}
    assert absolute_locations("stripe=s3://x,segment=a", names, tmp_path) == f"stripe=s3://x,segment={tmp_path}/a"
    assert absolute_locations("a", names, tmp_path) == f"{tmp_path}/a"
    assert absolute_locations("s3://x/y", names, tmp_path) == "s3://x/y"
    with pytest.raises(UserError, match="say segment=<place>,stripe=<place>"):
        locations_of("x,segment=/a", names)


def test_the_name_of_a_source_costs_no_large_import(tmp_path):
    script = (
        "import sys; from growth.sources import open_source;"
        f"names = {{'SAAS_GROWTH_SOURCE': 'segment,relax', 'SAAS_GROWTH_SOURCE_PATH': {str(tmp_path)!r}}};"
        "print(open_source(names).name);"
        "print({'pandas', 'pyarrow', 'numpy', 'airflow', 'fsspec', 'msgspec'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[1] / "plugins")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["relax,segment", "set()"]


@pytest.mark.parametrize(
    ("names", "place", "said"),
    [
        ("segment,relax", "segment=/a", "The source relax reads files"),
        ("segment,segment", "/a", "name each source once"),
        ("segment,nothing", "/a", "There is no source nothing: choose synthetic or a mapping"),
    ],
)
def test_several_sources_that_cannot_be_opened(names, place, said):
    with pytest.raises(UserError, match=said):
        open_source({"SAAS_GROWTH_SOURCE": names, "SAAS_GROWTH_SOURCE_PATH": place})
