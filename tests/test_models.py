"""The SQL files: what their headers and select lists say, what names promise, and that every check can fail."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from worlds import Warehouse, WithDevices, default_sql

from growth.language import definitions
from growth.language.models import LAYERS, SQL_FOLDER, Model, model_files, read_header, select_list
from growth.language.sql import Check
from growth.sources.synthetic.rows import WORLD_START

MODELS = default_sql().models
CHECKS = {check.name: check for layer in LAYERS for check in default_sql().checks(layer)}
CHECKS_OF_ALL = {check.name: check for layer in LAYERS for check in default_sql().checks(layer, whole=True)}
"""The same of whole tables, as a first load asks them."""

PUBLISHED = date(2026, 9, 30)
BUILT = date(2026, 10, 31)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """Two years of the invented company but for the last month, published."""
    warehouse = Warehouse(tmp_path_factory.mktemp("models") / "published.db", WithDevices(scale=0.1))
    warehouse.run(WORLD_START, PUBLISHED)
    yield warehouse
    warehouse.connection.close()


class Stopped(Exception):
    """A run is left where it is."""


@pytest.fixture(scope="module")
def built(published: Warehouse) -> Iterator[sqlite3.Connection]:
    """The same with the last month in every table, its marts built aside, and not yet published."""

    def stop(task: str) -> None:
        if task == "publish":
            raise Stopped

    path = published.path.with_name("built.db")
    published.connection.execute("vacuum into ?", (str(path),))
    warehouse = Warehouse(path, published.source)
    with pytest.raises(Stopped):
        warehouse.run(PUBLISHED.replace(month=10, day=1), BUILT, before_task=stop)
    warehouse.connection.isolation_level = None
    yield warehouse.connection
    warehouse.connection.close()


def each_model() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("model", [pytest.param(model, id=model.name) for model in MODELS])


# --- Headers and select lists are read ---


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("select a, b from t", ("a", "b")),
        ("select t.a, u.b as c from t join u using (k)", ("a", "c")),
        ("SELECT a,\n    b\nFROM t WHERE a IN (SELECT x FROM y)", ("a", "b")),
        ("with x as (select p, q from t), y as (select r from x) select r as s from y", ("s",)),
        ("select a from t union all select b from u", ("b",)),
        ("select coalesce(a, max(b, (c + d) * 2)) as e, f from t", ("e", "f")),
        ("select (select max(x), min(y) from u) as most, b from t", ("most", "b")),
        ("select row_number() over (partition by a, b order by c) as place from t", ("place",)),
        ("select case when a in (1, 2) then 'x, y' else 'from t' end as word, b from t", ("word", "b")),
        ("select 'it''s, from -- here' as text, b from t", ("text", "b")),
        ("select a, -- from here, and there\n    b -- select c\nfrom t", ("a", "b")),
        ("select 'a (b' as opened, ')' as closed, c from t", ("opened", "closed", "c")),
        ("select from_day, selected, a as from_where from t", ("from_day", "selected", "from_where")),
        ("select distinct a, b from t", ("a", "b")),
        ("select 1 as one, 'x' as two", ("one", "two")),
        ("select a from (select b, c from t) as s where exists (select 1 from u)", ("a",)),
    ],
)
def test_select_list(query: str, columns: tuple[str, ...]) -> None:
    assert select_list(query) == columns


def test_a_header_is_its_sentences_and_its_keys() -> None:
    header = read_header(
        "-- One row: the first, and\n-- the last.\n-- grain: a, b\n-- indexes: c; d, e\n-- words: funnel\n"
        "select a -- scope: x\n-- scope: y\nfrom t\n"
    )
    assert header.sentence == "One row: the first, and the last."
    assert header.keys == {"grain": "a, b", "indexes": "c; d, e", "words": "funnel"}
    assert header.names("grain") == ("a", "b")
    assert header.names("scope") == ()


def test_a_file_without_comments_has_an_empty_header() -> None:
    header = read_header("select a from t -- grain: a")
    assert (header.sentence, header.keys) == ("", {})


def test_select_lists_are_what_the_engine_makes_of_the_queries(published: Warehouse) -> None:
    for model in MODELS:
        cursor = published.connection.execute(default_sql()._queries[model.name])
        assert tuple(column[0] for column in cursor.description) == model.columns, model.name


# --- Files ---


def sql_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((SQL_FOLDER / folder).rglob("*.sql"))]


def code(path: Path) -> str:
    """The text of a file without its comments, in small letters."""
    text = path.read_text(encoding="utf-8").lower()
    return re.sub(r"--[^\n]*|\{#.*?#\}|/\*.*?\*/", "", text, flags=re.DOTALL)


def test_no_sql_asks_what_day_it_is_or_throws_dice() -> None:
    """Promise 5. Sentences in quotes may say such words; 'now' alone is what SQLite's functions understand."""
    asking = re.compile(
        r"\b(current_(date|time|timestamp)|localtime|localtimestamp|now|getdate|sysdate|today|random|randomblob|rand|uuid)\b"
    )
    files = sql_files(".")
    assert len(files) > 60
    for path in files:
        said = re.sub(r"'((?:[^']|'')*)'", lambda m: m[1] if m[1].strip() in ("now", "localtime") else "", code(path))
        assert not asking.search(said), path


def test_dialect_stands_in_the_engines_alone() -> None:
    dialect = re.compile(
        r"\b(strftime|julianday|unixepoch|date_trunc|datetime|glob|json_\w+|ifnull|iif|pragma|rowid|group_concat|string_agg)\b"
        r"|::|\binsert or\b|\bcreate temp\b|\bbegin\b|\bcommit\b|\bdate\("
    )
    for path in sql_files("staging", "intermediate", "marts", "checks", "scope", "run", "page"):
        assert not dialect.search(re.sub(r"\bdb\.\w+", "", code(path))), path
    assert dialect.search(code(SQL_FOLDER / "engines" / "sqlite.sql"))


def test_no_model_file_is_longer_than_100_lines() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in sql_files(*LAYERS)}
    assert len(lengths) > len(MODELS)
    assert {name: lines for name, lines in lengths.items() if lines > 100} == {}


@each_model()
def test_a_model_has_a_sentence_and_a_grain(model: Model) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", model.header.sentence)
    assert model.grain
    assert set(model.grain) <= set(model.key)


@each_model()
def test_a_header_names_columns_that_the_table_has(model: Model) -> None:
    named = {*model.grain, *model.scope, *model.changes, *(column for index in model.indexes for column in index)}
    assert named <= set(model.columns)
    assert model.scope


@each_model()
def test_a_model_names_the_words_that_it_uses(model: Model) -> None:
    shipped = definitions.load()
    known = {*definitions.Definitions.model_fields, *(step.name for step in shipped.funnel.steps)}
    words = model.header.names("words")
    assert words
    assert set(words) <= known


@each_model()
def test_a_model_names_the_words_whose_numbers_stand_in_its_file(model: Model) -> None:
    """What a header calls its words is what the file reads from the dictionary, and the macros that it uses."""
    text = model_files()[model.name].read_text(encoding="utf-8")
    used = {*re.findall(r"definitions\.(\w+)", text)} | ({"active"} if "words.is_active" in text else set())
    assert used <= set(model.header.names("words"))


@each_model()
def test_a_model_reads_only_the_layers_above_it(model: Model) -> None:
    """Promise 7."""
    above = LAYERS[: LAYERS.index(model.layer)]
    said = re.sub(r"'[^']*'", "", default_sql()._queries[model.name])
    read = [other for other in MODELS if re.search(rf"\b(?:from|join)\s+{other.name}\b", said)]
    # Who is behind an id follows from the links of its layer, how many were active from who was.
    above = (*above, model.layer) if model.name in ("int_identities", "int_user_engagement_totals") else above
    assert [other.name for other in read if other.layer not in above] == []
    assert read or model.layer in ("identity", "staging")


# --- Names and values ---


@each_model()
def test_values_have_the_types_that_names_promise(model: Model, published: Warehouse) -> None:
    for column, kind in model.types.items():
        found = {row[0] for row in published.query(f"select distinct typeof({column}) from {model.name}")}
        assert found - {"null"} == {kind}, column
        assert column not in model.grain or "null" not in found, column


FORMS = {
    r"_at$": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    r"_(date|on)$": r"\d{4}-\d\d-\d\d",
    r"_month$": r"\d{4}-\d\d-01",
}


@each_model()
def test_values_have_the_forms_that_names_promise(model: Model, published: Warehouse) -> None:
    for column in model.columns:
        values = {row[0] for row in published.query(f"select distinct {column} from {model.name}")} - {None}
        for name, form in FORMS.items():
            if re.search(name, column):
                assert [v for v in values if not re.fullmatch(form, v)] == [], column
                assert {v[:10] for v in values} == {date.fromisoformat(v[:10]).isoformat() for v in values}, column
        if re.match(r"(is|has)_", column):
            assert values <= {0, 1}, column
        if column.endswith("_rate") or column == "stickiness":
            assert all(0 <= v <= 1 for v in values), column
        if column.endswith("_score"):
            assert all(0 <= v <= 100 for v in values), column
        if model.types[column] == "integer" and not re.search(r"_(ms|day)$", column):
            assert min(values, default=0) >= 0, column


@each_model()
def test_what_looks_like_a_moment_or_a_day_is_named_as_such(model: Model, published: Warehouse) -> None:
    for column in (c for c, kind in model.types.items() if kind == "text"):
        values = [
            row[0] for row in published.query(f"select distinct {column} from {model.name}") if row[0] is not None
        ]
        looks = {form for form in (FORMS["_at$"], FORMS["_(date|on)$"]) if any(re.fullmatch(form, v) for v in values)}
        if looks:
            assert re.search("_at$" if FORMS["_at$"] in looks else "_(date|on|month)$", column), column


def test_numbers_are_named_for_what_they_are() -> None:
    """A flag, a count (a plural, or the people of a step), a size, the number of a day, a millisecond or a row."""
    people = {step.people for step in definitions.load().funnel.steps}
    number = re.compile(
        r"^(is|has)_\w+$|^(\w+_)?[a-z]+s(_since_\w+|_used|_observed|_\d+d)?$|_(size|day|ms|latest_ms|row)$"
    )
    for model in MODELS:
        for column, kind in model.types.items():
            assert kind != "integer" or column in people or number.search(column), f"{model.name}.{column}"


@each_model()
def test_a_day_as_a_number_is_the_day_of_its_date(model: Model, published: Warehouse) -> None:
    for column in (
        c for c in model.columns if c.endswith("_day") and c.removesuffix("_day") + "_date" in model.columns
    ):
        dates = published.query(f"select distinct {column.removesuffix('_day')}_date, {column} from {model.name}")
        assert dates
        epoch = date(1970, 1, 1).toordinal()
        assert [d for d, n in dates if d and date.fromisoformat(d).toordinal() - epoch != n] == [], column


# What people's queries rely on: these names stay for good.
CONTRACT = {
    "fct_acquisition_funnel": "cohort_month, visitors, signups, activated, paid, visit_to_signup_rate,"
    " signup_to_activation_rate, activation_to_paid_rate",
    "fct_engagement_cohorts": "cohort_month, months_since_signup, activity_month, cohort_size, active_users,"
    " retention_rate, avg_dau, stickiness, avg_features_used",
    "dim_user_health": "user_id, cohort_month, plan_name, last_active_date, active_days_28d, features_used,"
    " overall_health_score, health_status, is_at_risk, is_upsell_ready",
}


@pytest.mark.parametrize("table", CONTRACT)
def test_the_columns_that_queries_rely_on_are_there(table: str, published: Warehouse) -> None:
    assert published.query(f"select {CONTRACT[table]} from {table} limit 1")


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("fct_acquisition_funnel", "cohort_month"),
        ("fct_engagement_cohorts", "cohort_month || activity_month"),
        ("fct_active_users", "activity_date"),
        ("dim_user_health", "user_id"),
    ],
)
def test_a_mart_has_one_row_for_each(table: str, row: str, published: Warehouse) -> None:
    ((rows, keys),) = published.query(f"select count(*), count(distinct {row}) from {table}")
    assert rows == keys > 0


# --- Checks ---


def test_every_check_belongs_to_a_table_and_is_run_with_it() -> None:
    assert sorted(CHECKS) == sorted(path.stem for path in sql_files("checks"))
    assert {name.partition("__")[0] for name in CHECKS} == set(model_files())
    for layer in LAYERS:
        for check in default_sql().checks(layer):
            assert model_files()[check.name.partition("__")[0]].parent.name == layer


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in CHECKS.items()])
def test_a_check_has_a_sentence_and_a_severity(check: Check) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", check.sentence)
    assert check.severity in ("error", "warn")


# --- Every check can fail ---

LINKS, IDS = "int_id_links", "int_identities"
FORMER = "id like 'former%'"
USERS, EVENTS, SUBSCRIPTIONS = "stg_users", "stg_events", "stg_subscriptions"
STEPS, DAYS, USES = "int_funnel_steps", "int_user_engagement", "int_feature_usage"
TOTALS = "int_user_engagement_totals"
FUNNEL, CHANNELS = "fct_acquisition_funnel", "fct_acquisition_funnel_by_channel"
COHORTS, HEALTH = "fct_engagement_cohorts", "dim_user_health"
ACTIVE = "fct_active_users"

KEYS = {model.name: ", ".join(model.key) for model in MODELS}
SCOPES = {model.name: ", ".join(model.scope) for model in MODELS}


def one(table: str, where: str = "1 = 1") -> str:
    """The condition that picks one row of a table, of those that the run has computed."""
    scope = f"({SCOPES[table]}) in (select {SCOPES[table]} from scope__{table})"
    return f"where ({KEYS[table]}) = (select {KEYS[table]} from {table} where {scope} and {where} limit 1)"


def spoil(table: str, change: str, where: str = "1 = 1") -> list[str]:
    return [f"update {table} set {change} {one(table, where)}"]


def lose(table: str, where: str = "1 = 1") -> list[str]:
    return [f"delete from {table} {one(table, where)}"]


def loose(table: str) -> str:
    """Puts a copy of a table without its constraints in front of it."""
    return f"create temp table {table} as select * from main.{table}"


def twice(table: str) -> list[str]:
    return [loose(table), f"insert into temp.{table} select * from main.{table} {one(table)}"]


def empty(table: str, *columns: str) -> list[list[str]]:
    return [[loose(table), f"update temp.{table} set {column} = null {one(table)}"] for column in columns]


def blank(table: str, column: str) -> list[str]:
    script = [loose(table), f"update temp.{table} set {column} = ' ' {one(table)}"]
    return [*script, f"insert into scope__{table} values (' ')"] if column == SCOPES[table] else script


def build(table: str, change: str, where: str = "1 = 1") -> list[str]:
    """Changes one row of a mart that is built aside."""
    some = f"select {KEYS[table]} from building__{table} where {where} limit 1"
    return [f"update building__{table} set {change} where ({KEYS[table]}) in ({some})"]


# For each check, each way to break what it claims, as a script that spoils the built warehouse.
PLANTED: dict[str, list[list[str]]] = {
    "int_id_links__every_link_is_there": [
        *(lose(LINKS, f"kind = '{kind}'") for kind in ("seen_user", "seen_on", "same")),
        [f"delete from {LINKS}"],
    ],
    "int_identities__links_are_followed": [
        lose(IDS, FORMER),
        lose(IDS, "id like 'anonymous:%'"),
        spoil(IDS, "person_id = 'nobody'", FORMER),
    ],
    "int_identities__an_id_has_one_person_at_a_time": [
        spoil(IDS, "until_ms = from_ms"),
        spoil(IDS, "from_ms = from_ms - 1", "from_ms > 0"),
        [f"insert into {IDS} select id, 1, until_ms, 'nobody' from {IDS} {one(IDS, FORMER)}"],
    ],
    "int_identities__a_person_is_nobody_else": [
        [f"insert into {IDS} select person_id, from_ms, until_ms, 'nobody' from {IDS} {one(IDS)}"]
    ],
    "int_identities__devices_are_not_shared": [
        [
            f"insert into {LINKS} select distinct l.id, kind, value, 0, 0, '2026-10-01' from {LINKS} as l,"
            " json_each('[1, 2, 3, 4, 5]') where kind = 'seen_user'"
        ]
    ],
    "stg_users__one_row_for_each_user": [twice(USERS)],
    "stg_users__required_columns_are_filled": [
        blank(USERS, "user_id"),
        *empty(USERS, "signup_date", "signup_month", "signup_day"),
    ],
    "stg_users__signup_is_in_range": [
        spoil(USERS, "signup_day = 10956"),  # 1999-12-31
        spoil(USERS, "signup_day = signup_day + 60"),
    ],
    "stg_users__emails_look_like_emails": [
        spoil(USERS, "email = 'nobody'"),
        spoil(USERS, "email = '@x.org'"),
        spoil(USERS, "email = 'a@'"),
    ],
    "stg_events__one_row_for_each_event": [twice(EVENTS)],
    "stg_events__required_columns_are_filled": [
        blank(EVENTS, "event_id"),
        blank(EVENTS, "user_id"),
        *empty(EVENTS, "event_type", "event_at", "event_day"),
    ],
    "stg_events__types_and_features_are_known": [
        spoil(EVENTS, "event_type = 'page_ping'"),
        spoil(EVENTS, "feature_name = 'teleport'"),
        spoil(EVENTS, "feature_name = null", "feature_name is not null"),
    ],
    "stg_events__days_are_in_range": [
        spoil(EVENTS, "event_day = 10956"),
        spoil(EVENTS, "event_day = event_day + 60"),
    ],
    "stg_events__belong_to_a_user": [spoil(EVENTS, "user_id = 'nobody'", "is_meaningful = 1")],
    "stg_subscriptions__one_row_for_each_subscription": [twice(SUBSCRIPTIONS)],
    "stg_subscriptions__required_columns_are_filled": [
        blank(SUBSCRIPTIONS, "subscription_id"),
        blank(SUBSCRIPTIONS, "user_id"),
        *empty(SUBSCRIPTIONS, "plan_name", "status", "mrr", "start_day", "currency"),
    ],
    "stg_subscriptions__plans_and_statuses_are_known": [
        spoil(SUBSCRIPTIONS, "plan_name = 'Platinum'"),
        spoil(SUBSCRIPTIONS, "status = 'halted'"),
    ],
    "stg_subscriptions__prices_and_dates_are_in_range": [
        spoil(SUBSCRIPTIONS, "mrr = -0.01"),
        spoil(SUBSCRIPTIONS, "end_day = start_day - 1"),
        spoil(SUBSCRIPTIONS, "start_day = 10956"),
    ],
    "stg_subscriptions__belong_to_a_user": [spoil(SUBSCRIPTIONS, "user_id = 'nobody'")],
    "rejects__every_row_is_accounted_for": [
        ["update raw_batches set rows_landed = rows_landed + 1"],
        lose(EVENTS, "batch_date in (select batch_date from scope_batches)"),
        lose("rejects"),
        ["insert into rejects select 'raw_users', batch_date, 'x', 1, 'x', '{}' from scope_batches"],
    ],
    "rejects__share_is_within_limit": [
        [
            "insert into rejects select 'raw_users', batch_date, 'x', value, 'x', '{}'"
            " from scope_batches, json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]')"
        ]
    ],
    "int_funnel_steps__every_user_has_signed_up": [
        spoil(STEPS, "signup_at = null", "signup_at is not null"),
        lose(STEPS, "signup_at is not null"),
    ],
    "int_funnel_steps__steps_are_in_order": [
        spoil(STEPS, "signup_at = '2000-01-01 00:00:00'"),
        spoil(STEPS, "activated_at = '2000-01-01 00:00:00'", "signup_at is not null"),
        spoil(STEPS, "paid_at = '2000-01-01 00:00:00'", "activated_at is not null"),
        spoil(STEPS, "activated_at = '2100-01-01 00:00:00'", "signup_at is null"),
        spoil(STEPS, "paid_at = '2100-01-01 00:00:00'", "activated_at is null"),
    ],
    "int_funnel_steps__windows_are_kept": [
        spoil(STEPS, "activated_at = datetime(signup_at, '+8 days')", "signup_at is not null"),
        spoil(STEPS, "paid_at = datetime(signup_at, '+91 days')", "signup_at is not null"),
    ],
    "int_user_engagement__days_follow_the_signup": [
        [f"update {USERS} set signup_day = 30000 where user_id = (select user_id from {DAYS} {one(DAYS)})"],
        [f"delete from {USERS} where user_id = (select user_id from {DAYS} {one(DAYS)})"],
        spoil(DAYS, "cohort_month = '2000-01-01'"),
    ],
    "int_user_engagement__holds_every_meaningful_event": [
        spoil(DAYS, "events = events + 1"),
        lose(DAYS),
    ],
    "int_user_engagement_totals__add_up_to_the_users": [
        spoil(TOTALS, "users = users + 1"),
        spoil(TOTALS, "new_features = new_features + 1"),
        lose(TOTALS),
        lose(DAYS),
    ],
    "int_feature_usage__features_are_known": [
        spoil(USES, "feature_name = 'teleport'"),
        spoil(USES, "uses = 0"),
    ],
    "int_feature_usage__using_a_feature_is_being_active": [
        [f"delete from {DAYS} where (activity_day, user_id) = (select activity_day, user_id from {USES} {one(USES)})"]
    ],
    "fct_acquisition_funnel__everybody_is_in_one_cohort": [
        build(FUNNEL, "visitors = visitors + 1"),
        [f"delete from building__{FUNNEL}"],
    ],
    "fct_acquisition_funnel__no_step_exceeds_the_one_before": [
        build(FUNNEL, "signups = visitors + 1"),
        build(FUNNEL, "activated = signups + 1"),
        build(FUNNEL, "paid = activated + 1"),
    ],
    "fct_acquisition_funnel__rates_are_fractions": [
        build(FUNNEL, f"{rate} = {value}")
        for rate in ("visit_to_signup_rate", "signup_to_activation_rate", "activation_to_paid_rate")
        for value in ("null", "-0.1", "1.1", f"{rate} + 0.01")
    ],
    "fct_acquisition_funnel_by_channel__adds_up_to_the_total": [
        *(build(CHANNELS, f"{people} = {people} + 1") for people in ("visitors", "signups", "activated", "paid")),
        [f"delete from building__{CHANNELS}"],
    ],
    "fct_engagement_cohorts__active_users_are_members": [
        build(COHORTS, change, "active_users > 1")
        for change in (
            "active_users = cohort_size + 1",
            "active_users = -1",
            "active_user_days = active_users - 1",
            "active_user_days = active_users * days_observed + 1",
            "retention_rate = 1.1",
            "retention_rate = -0.1",
            "stickiness = 1.1",
            "stickiness = -0.1",
            "features_used = active_users * 6 + 1",
        )
    ],
    "fct_engagement_cohorts__has_every_month": [
        [f"delete from building__{COHORTS} where months_since_signup = 5"],
        build(COHORTS, "months_since_signup = 1", "months_since_signup = 0"),
        build(COHORTS, "cohort_size = cohort_size + 1", "months_since_signup > 0"),
        build(COHORTS, "cohort_size = cohort_size - 1", "months_since_signup > 0"),
    ],
    "fct_engagement_cohorts__month_0_counts_every_signup": [
        build(COHORTS, "cohort_size = cohort_size + 1", "months_since_signup = 0"),
        build(COHORTS, "cohort_month = '2000-01-01'", "months_since_signup = 0"),
    ],
    "fct_engagement_cohorts__sizes_add_up_to_the_users": [
        build(COHORTS, "cohort_size = cohort_size + 1", "months_since_signup = 0"),
        [f"delete from building__{COHORTS} where months_since_signup = 0"],
    ],
    "fct_active_users__parts_add_up": [
        build(ACTIVE, change)
        for change in (
            "new_users = new_users + 1",
            "new_users = -1, retained_users = retained_users + new_users + 1",
            "retained_users = -1, new_users = new_users + retained_users + 1",
            "resurrected_users = -1, new_users = new_users + resurrected_users + 1",
            "dormant_users = -1",
            "daily_active_users = weekly_active_users + 1",
            "weekly_active_users = monthly_active_users + 1",
            "stickiness = 1.1",
            "stickiness = -0.1",
        )
    ],
    "fct_active_users__counts_every_active_day": [
        build(ACTIVE, "daily_active_users = daily_active_users + 1"),
        [f"delete from building__{ACTIVE} where activity_date = '2026-10-15'"],
        [f"delete from building__{ACTIVE}"],
    ],
    "dim_user_health__counts_are_in_range": [
        build(HEALTH, "active_days_28d = -1"),
        build(HEALTH, "active_days_28d = 29"),
        build(HEALTH, "features_used = -1"),
        build(HEALTH, "features_used = 7"),
        build(HEALTH, "last_active_date = '2026-11-01'"),
        build(HEALTH, "active_days_28d = 1, last_active_date = null"),
    ],
    "dim_user_health__every_user_is_scored_once": [
        [f"delete from building__{HEALTH} where user_id = (select max(user_id) from building__{HEALTH})"],
        # One too many for one who is missing: the number of rows is right.
        build(HEALTH, "user_id = 'nobody'"),
        [f"delete from {HEALTH} where user_id not in (select user_id from scope__{HEALTH})"],
    ],
    "dim_user_health__flags_have_reasons": [
        build(HEALTH, f"plan_name = 'Pro', is_at_risk = 0, at_risk_reason = null, is_upsell_ready = 0, {change}")
        for change in (
            "upsell_reason = null, is_paying = 2",
            "upsell_reason = null, is_paying = 1, is_at_risk = 2",
            "upsell_reason = null, is_paying = 1, is_upsell_ready = 2",
            "upsell_reason = null, is_paying = 0, is_at_risk = 1, at_risk_reason = 'x'",
            "upsell_reason = 'x', is_paying = 0, is_upsell_ready = 1",
            "upsell_reason = null, is_paying = 1, is_at_risk = 1",
            "upsell_reason = null, is_paying = 1, at_risk_reason = 'x'",
            "upsell_reason = null, is_paying = 1, is_upsell_ready = 1",
            "upsell_reason = 'x', is_paying = 1",
            "upsell_reason = null, is_paying = 1, plan_name = null",
        )
    ],
    "dim_user_health__scores_are_0_to_100": [
        build(HEALTH, "overall_health_score = null"),
        build(HEALTH, "overall_health_score = -0.1"),
        build(HEALTH, "overall_health_score = 100.1"),
        build(HEALTH, "health_status = null"),
    ],
}


def test_every_check_has_its_planted_violations() -> None:
    assert sorted(PLANTED) == sorted(CHECKS)


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in CHECKS.items()])
def test_a_check_is_content_with_a_good_warehouse(check: Check, built: sqlite3.Connection) -> None:
    assert check.severity == "warn" or built.execute(check.query).fetchall() == []


@pytest.mark.parametrize("checks", [pytest.param(CHECKS, id="in scope"), pytest.param(CHECKS_OF_ALL, id="of all")])
@pytest.mark.parametrize(
    ("name", "script"),
    [
        pytest.param(name, script, id=f"{name} {number}")
        for name, scripts in PLANTED.items()
        for number, script in enumerate(scripts, start=1)
    ],
)
def test_a_check_finds_what_is_planted(
    name: str, script: list[str], checks: dict[str, Check], built: sqlite3.Connection
) -> None:
    before = set(built.execute(checks[name].query))
    built.execute("begin")
    try:
        changes = built.total_changes
        for statement in script:
            built.execute(statement)
        assert built.total_changes > changes
        assert set(built.execute(checks[name].query)) - before
    finally:
        built.execute("rollback")
