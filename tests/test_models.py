"""The tables' folders: what their descriptions say, what their queries read and give, and that every check can fail."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import jinja2
import pytest
import yaml
from worlds import Warehouse, WithDevices, changed_definitions, default_sql

from growth.language import definitions
from growth.language.definitions import Definitions
from growth.language.sql import Check, Sql, statements
from growth.language.tables import LAYERS, SQL_FOLDER, Table, load_table, reads, table_folders
from growth.sources.synthetic.rows import WORLD_START

TABLES = default_sql().tables
CHECKS = {check.name: check for table in TABLES for check in default_sql().checks(table)}
CHECKS_OF_ALL = {check.name: check for table in TABLES for check in default_sql().checks(table, whole=True)}
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


def each_table() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("table", [pytest.param(table, id=name) for name, table in TABLES.items()])


# --- Descriptions ---


def described(folder: Path, text: str) -> Table:
    """A table whose description is this text."""
    target = folder / "marts" / "fct_some"
    target.mkdir(parents=True)
    (target / "table.yaml").write_text(text)
    return load_table(target, definitions.load())


SOME = """
sentence: How many.
grain: [day]
partition: [day]
words: [funnel]
columns:
  day: {type: integer, unit: day number, sentence: The day.}
  {% for step in definitions.funnel.steps %}
  {{ step.people }}: {type: integer, unit: people, sentence: People.}
  {% endfor %}
"""


def test_the_dictionary_makes_columns_of_a_description(tmp_path: Path) -> None:
    assert list(described(tmp_path, SOME).columns) == ["day", "visitors", "signups", "activated", "paid"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("grain: [day]", "grain: [days]", "days is not a column of the table"),
        ("grain: [day]", "grain: [day]\nindexes: [[users]]", "users is not a column of the table"),
        ("type: integer, unit: day", "type: int, unit: day", "columns.day.type"),
        ("type: integer, unit: day number, ", "type: integer, ", "columns.day.unit"),
        ("sentence: How many.", "sentense: How many.", "sentense"),
        ("step.people }}", "step.persons }}", "persons"),
    ],
)
def test_a_description_that_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SOME
    with pytest.raises(Exception, match=said):
        described(tmp_path, SOME.replace(old, new))


def test_no_comment_ends_a_statement() -> None:
    """Statements are told apart by a semicolon at the end of a line."""
    for path in sql_files("."):
        assert not re.search(r"--[^\n]*;$", path.read_text(encoding="utf-8"), re.MULTILINE), path


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
def test_a_sentence_of_several_lines_is_one_comment(dialect: str) -> None:
    table = TABLES["fct_active_users"].model_copy(update={"sentence": "It's so;\nand so.", "columns": {}})
    described = statements(str(Sql(definitions.load(), dialect)._db.describe(table)))
    assert described == ["comment on table fct_active_users is 'It''s so; and so.'"]


@each_table()
def test_a_table_has_a_sentence_a_grain_and_a_partition(table: Table) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", table.sentence)
    assert set(table.grain) <= set(table.key)
    assert table.partition


ACTIVE_ON_DAYS = """
funnel:
  sentence: Steps.
  cohort_by: signup
  steps:
    - {name: signup, sentence: "", people: signups, noun: signup, any_of: [signup], or_user_date: [signup_date]}
    - {name: habit, sentence: "", people: habits, noun: habit, active_days: {days: 2, window_days: 7}}
identity: {sentence: "", anonymous_rows: components, max_users: 3, no_ids: []}
"""


def forms(words: Definitions, table: str, seen: Table) -> list[str]:
    """The query of a table with another description, as each engine gets it, of rows in scope and of all."""
    found = []
    for engine in ("sqlite", "duckdb", "postgres"):
        sql = Sql(words, engine)
        sql.table = lambda name: seen  # type: ignore[method-assign]
        found += [sql.query(table, whole) for whole in (False, True)]
    return found


@each_table()
def test_a_query_reads_the_words_that_its_table_names_and_no_others(table: Table) -> None:
    """A word that a query read without its description naming it would not count for the table's fingerprint."""
    dictionaries = [definitions.load(), changed_definitions(**yaml.safe_load(ACTIVE_ON_DAYS))]
    for words in dictionaries:
        assert all(forms(words, table.name, table))
    for word in table.words:
        without = table.model_copy(update={"words": tuple(w for w in table.words if w != word)})
        with pytest.raises(jinja2.UndefinedError):
            [forms(words, table.name, without) for words in dictionaries]


# --- Queries ---


def test_a_query_gives_the_columns_that_its_description_names(published: Warehouse) -> None:
    for name, table in TABLES.items():
        cursor = published.connection.execute(default_sql().query(name))
        assert [column[0] for column in cursor.description] == list(table.columns), name


def tables_read(connection: sqlite3.Connection, query: str) -> set[str]:
    """The tables of the warehouse that SQLite reads for a query."""
    read: set[str] = set()

    def authorize(action: int, table: str | None, *_: object) -> int:
        if action == sqlite3.SQLITE_READ and table in TABLES:
            read.add(table)
        return sqlite3.SQLITE_OK

    connection.set_authorizer(authorize)
    try:
        connection.execute(f"explain {query}")
    finally:
        connection.set_authorizer(None)
    return read


@each_table()
@pytest.mark.parametrize("whole", [False, True])
def test_a_table_reads_the_layers_above_and_what_comes_before_it(
    table: Table, whole: bool, published: Warehouse
) -> None:
    """Promise 7. The order of the tasks, and what a new definition recomputes, follow from what the text names."""
    query = tables_read(published.connection, default_sql().query(table.name, whole))
    scope = tables_read(published.connection, default_sql().scope(table.name, whole)) - {table.name}
    order = list(table_folders())
    for other in query | scope:
        assert LAYERS.index(TABLES[other].layer) <= LAYERS.index(table.layer)
        assert order.index(other) < order.index(table.name)
        assert other in reads(table.name)
    assert table.layer != "marts" or not any(TABLES[other].layer == "marts" for other in query)
    assert query or table.layer in ("identity", "staging")


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
    for path in sql_files("raw", *LAYERS, "run", "page"):
        assert not dialect.search(re.sub(r"\bdb\.\w+|\{[{%].*?[%}]\}", "", code(path))), path
    assert dialect.search(code(SQL_FOLDER / "engines" / "sqlite.sql"))


# --- Names and values ---


@each_table()
def test_values_have_the_types_of_their_columns(table: Table, published: Warehouse) -> None:
    for column, kind in table.types.items():
        found = {row[0] for row in published.query(f"select distinct typeof({column}) from {table.name}")}
        assert found - {"null"} == {kind}, column
        assert column not in table.grain or "null" not in found, column


FORMS = {
    r"_at$": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    r"_(date|on)$": r"\d{4}-\d\d-\d\d",
    r"_month$": r"\d{4}-\d\d-01",
}


@each_table()
def test_values_have_the_forms_that_names_promise(table: Table, published: Warehouse) -> None:
    for column in table.columns:
        values = {row[0] for row in published.query(f"select distinct {column} from {table.name}")} - {None}
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
        if table.types[column] == "integer" and not re.search(r"_(ms|day)$", column):
            assert min(values, default=0) >= 0, column


@each_table()
def test_what_looks_like_a_moment_or_a_day_is_named_as_such(table: Table, published: Warehouse) -> None:
    for column in (c for c, kind in table.types.items() if kind == "text"):
        values = [
            row[0] for row in published.query(f"select distinct {column} from {table.name}") if row[0] is not None
        ]
        looks = {form for form in (FORMS["_at$"], FORMS["_(date|on)$"]) if any(re.fullmatch(form, v) for v in values)}
        if looks:
            assert re.search("_at$" if FORMS["_at$"] in looks else "_(date|on|month)$", column), column


def test_numbers_are_named_for_what_they_are() -> None:
    """A flag, a count (a plural, or the people of a step), a size, the number of a day, a millisecond or a row."""
    people = {step.people for step in definitions.load().funnel.steps}
    number = re.compile(
        r"^(is|has)_\w+$|^(\w+_)?[a-z]+s(_since_\w+|_used|_observed|_left|_\d+d)?$|_(size|day|ms|latest_ms|row)$"
    )
    for table in TABLES.values():
        for column, kind in table.types.items():
            assert kind != "integer" or column in people or number.search(column), f"{table.name}.{column}"


@each_table()
def test_a_day_as_a_number_is_the_day_of_its_date(table: Table, published: Warehouse) -> None:
    for column in (
        c for c in table.columns if c.endswith("_day") and c.removesuffix("_day") + "_date" in table.columns
    ):
        dates = published.query(f"select distinct {column.removesuffix('_day')}_date, {column} from {table.name}")
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


# --- Checks ---


def test_every_check_belongs_to_a_table_and_is_run_with_it() -> None:
    files = [path for layer in LAYERS for path in (SQL_FOLDER / layer).glob("*/checks/*.sql")]
    assert sorted(CHECKS) == sorted(f"{path.parents[1].name}__{path.stem}" for path in files)
    assert {name.partition("__")[0] for name in CHECKS} == set(TABLES)


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

KEYS = {table.name: ", ".join(table.key) for table in TABLES.values()}
SCOPES = {table.name: ", ".join(table.partition) for table in TABLES.values()}


def one(table: str, where: str = "1 = 1") -> str:
    """The condition that picks one row of a table, of those that the run has computed."""
    scope = f"({SCOPES[table]}) in (select {SCOPES[table]} from work_scope__{table})"
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
    return [*script, f"insert into work_scope__{table} values (' ')"] if column == SCOPES[table] else script


def build(table: str, change: str, where: str = "1 = 1") -> list[str]:
    """Changes one row of a mart that is built aside."""
    some = f"select {KEYS[table]} from work_building__{table} where {where} limit 1"
    return [f"update work_building__{table} set {change} where ({KEYS[table]}) in ({some})"]


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
        lose(EVENTS, "batch_date in (select batch_date from work_scope_batches)"),
        lose("rejects"),
        ["insert into rejects select 'raw_users', batch_date, 'x', 1, 'x', '{}' from work_scope_batches"],
    ],
    "rejects__share_is_within_limit": [
        [
            "insert into rejects select 'raw_users', batch_date, 'x', value, 'x', '{}'"
            " from work_scope_batches, json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]')"
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
        [f"delete from work_building__{FUNNEL}"],
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
        [f"delete from work_building__{CHANNELS}"],
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
        [f"delete from work_building__{COHORTS} where months_since_signup = 5"],
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
        [f"delete from work_building__{COHORTS} where months_since_signup = 0"],
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
        [f"delete from work_building__{ACTIVE} where activity_date = '2026-10-15'"],
        [f"delete from work_building__{ACTIVE}"],
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
        [f"delete from work_building__{HEALTH} where user_id = (select max(user_id) from work_building__{HEALTH})"],
        # One too many for one who is missing: the number of rows is right.
        build(HEALTH, "user_id = 'nobody'"),
        [f"delete from {HEALTH} where user_id not in (select user_id from work_scope__{HEALTH})"],
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
