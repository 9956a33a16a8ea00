"""The dictionary: what is said about a mistake in it, and what a change of it does to the warehouse."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import Batches, Rows, Warehouse, default_sql

from growth.errors import UserError
from growth.language import definitions
from growth.language.sql import Sql
from growth.language.tables import reads
from growth.warehouse.checks import ChecksFailed
from growth.warehouse.schema import prepare
from growth.warehouse.state import whole_tables

SHIPPED = yaml.safe_load(definitions.PATH.read_text(encoding="utf-8"))
FUNNELS = ("fct_acquisition_funnel", "fct_acquisition_funnel_by_channel")
STEPS = {step["name"]: number for number, step in enumerate(SHIPPED["funnel"]["steps"])}


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The shipped dictionary with other values at some keys. Steps are called by their names; ... takes a key away."""
    content = deepcopy(SHIPPED)
    for key, value in changes:
        *path, last = [STEPS.get(part, part) if key.startswith("funnel.steps.") else part for part in key.split(".")]
        place = content
        for part in path:
            place = place[part]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return content


def sql_of(content: dict[str, Any]) -> Sql:
    return Sql(definitions.Definitions.model_validate(content))


# --- Mistakes ---


@pytest.fixture
def sentence_about(tmp_path: Path) -> Callable[[str | bytes], str]:
    """What loading a file with some text says."""

    def say(text: str | bytes) -> str:
        path = tmp_path / "my definitions.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(UserError) as caught:
            definitions.load(path)
        sentence = str(caught.value)
        assert str(path) in sentence
        assert "\n" not in sentence
        assert sentence.endswith(".")
        return sentence.replace(str(path), "FILE")

    return say


def test_the_shipped_dictionary_is_good(tmp_path: Path) -> None:
    path = tmp_path / "definitions.yaml"
    path.write_text(yaml.safe_dump(changed()))
    assert definitions.load(path) == definitions.load()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"nowhere\.yaml cannot be read \(No such file or directory\): restore the file\.$"
    ):
        definitions.load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("events: [visit\nfeatures: x\n", "FILE is not YAML at line 2"),
        ("events:\n\ttypes: [visit]\n", "FILE is not YAML at line 2"),
        (b"events: \xff\xfe\n", "FILE is not UTF-8 at byte 8"),
        ("", "FILE: the whole file: "),
        ("- events\n", "FILE: the whole file: "),
        ("just words\n", "FILE: the whole file: "),
        ("events: visit\n", "FILE: events: "),
    ],
)
def test_a_file_that_is_no_dictionary(text: str | bytes, says: str, sentence_about: Callable[..., str]) -> None:
    assert says in sentence_about(text)


def test_a_word_that_is_defined_twice(sentence_about: Callable[..., str]) -> None:
    text = definitions.PATH.read_text(encoding="utf-8")
    again = "\nat_risk:\n  sentence: Nobody.\n  below_score: 0\n  after_signup_days: 0\n"
    assert "at_risk" in sentence_about(text + again)


STEP = "funnel.steps."
WITHOUT_SIGNUP = {"name": "paid", "sentence": "", "people": "paid", "noun": "paid", "any_of": ["paid"]}
UNSORTED = [{"name": "so", "from_score": 30}, {"name": "well", "from_score": 60}, {"name": "ill", "from_score": 0}]

# A key of the dictionary, what somebody wrote there, and what the sentence names.
MISTAKES: list[tuple[str, Any, str]] = [
    # Misspelt, missing, of another kind
    ("event", {"types": ["visit"]}, "event: is not a known key: use one of"),
    ("active", ..., "active: is missing"),
    ("events.sentence", ..., "events.sentence: is missing"),
    ("events.type", ["visit"], "events.type: is not a known key: use one of"),
    ("events.types", "visit", "events.types: "),
    ("events.types", [], "events.types: "),
    ("events.types", ["visit", "visit"], "events.types: visit is listed twice"),
    ("events.types", ["visit", True], "events.types.1: "),
    ("events.types", ["it's"], "events.types.0: "),
    ("features.names", ["a", None], "features.names.1: "),
    ("subscriptions.plans", ["Pro", "Pro"], "subscriptions.plans: Pro is listed twice"),
    ("subscriptions.default_currency", "", "subscriptions.default_currency: "),
    # Words that are not known
    ("active.meaningful_events", ["daily_activ"], "active.meaningful_events names daily_activ"),
    ("subscriptions.statuses", {"active": "pays"}, "subscriptions.statuses.active: "),
    ("subscriptions.statuses", {}, "subscriptions.statuses: "),
    ("active.meaningful_events", ["daily_active"], "active.meaningful_events lacks feature_used"),
    ("health.plan.share", {"Pro": 1.0}, "health.plan.share lacks Starter, Enterprise, Other"),
    ("identity.anonymous_rows", "last", "identity.anonymous_rows: "),
    ("identity.max_users", 0, "identity.max_users: "),
    ("identity.no_ids", ["it's"], "identity.no_ids.0: "),
    (STEP + "activated.any_of", ["activate"], "funnel step activated names activate"),
    ("health.plan.share", {"Gold": 1.0}, "health.plan.share names Gold"),
    ("upsell_ready.plans", ["Gold"], "upsell_ready.plans names Gold"),
    ("upsell_ready.plans", [], "upsell_ready.plans: "),
    # Steps
    ("funnel.cohort_by", "visit", "funnel.cohort_by: "),
    ("funnel.steps", SHIPPED["funnel"]["steps"][1:2], "funnel.steps: "),
    ("funnel.steps", [SHIPPED["funnel"]["steps"][0], WITHOUT_SIGNUP], "funnel: no step has the name signup"),
    (STEP + "activated.any_of", ..., "funnel.steps.2: a step needs exactly one of any_of, all_of"),
    (STEP + "activated.subscription", {"mrr_above": 0}, "funnel.steps.2: a step needs exactly one of any_of, all_of"),
    (STEP + "activated.any_of", [], "funnel.steps.2.any_of: "),
    (STEP + "activated.any_of", ["paid", "paid"], "funnel.steps.2.any_of: paid is listed twice"),
    (STEP + "activated.anyof", ["paid"], "funnel.steps.2.anyof: is not a known key: use one of"),
    (STEP + "activated.within_days", 0, "funnel.steps.2.within_days: "),
    (STEP + "activated.within_days", -7, "funnel.steps.2.within_days: "),
    (STEP + "activated.within_days", 7.5, "funnel.steps.2.within_days: "),
    (STEP + "activated.within_days", "a week", "funnel.steps.2.within_days: "),
    (STEP + "activated.within_days", ..., "funnel.steps.2: within_days and of need each other"),
    (STEP + "activated.of", ..., "funnel.steps.2: within_days and of need each other"),
    (STEP + "activated.of", "paid", "funnel: step activated counts its days from paid"),
    (STEP + "activated.of", "activated", "funnel: step activated counts its days from activated"),
    (STEP + "activated.of", "trial", "funnel: step activated counts its days from trial"),
    (STEP + "activated.name", "Activated", "funnel.steps.2.name: "),
    (STEP + "activated.name", "2nd", "funnel.steps.2.name: "),
    (STEP + "activated.name", "signup", "funnel: signup is listed twice"),
    (STEP + "activated.name", "user_id", "user_id is a column name"),
    (STEP + "activated.people", "paid", "funnel: paid is listed twice"),
    (STEP + "activated.people", "cohort_month", "cohort_month is a column name"),
    (STEP + "activated.noun", "paid", "funnel: paid is listed twice"),
    (STEP + "signup.name", "joined", "funnel: step activated counts its days from signup"),
    (STEP + "signup.or_user_date", ["birthday"], "funnel.steps.1.or_user_date.0: "),
    (STEP + "paid.or_user_date", ["signup_date"], "funnel.steps.3: or_user_date needs any_of"),
    (STEP + "paid.implied_by", ["paid"], "funnel.steps.3: implied_by needs any_of"),
    (STEP + "visit.implied_by", ["joined"], "funnel step visit names joined"),
    (STEP + "paid.subscription", {}, "funnel.steps.3.subscription.mrr_above: is missing"),
    (STEP + "paid.subscription.mrr_above", -1, "funnel.steps.3.subscription.mrr_above: "),
    (STEP + "paid.subscription.mrr_above", float("nan"), "funnel.steps.3.subscription.mrr_above: "),
    (STEP + "paid.subscription.mrr_above", float("inf"), "funnel.steps.3.subscription.mrr_above: "),
    # Health
    ("health.window_days", 6, "health.window_days: "),
    ("health.window_days", 367, "health.window_days: "),
    ("health.active_days.points", 41, "health: the points add up to 101, but must add up to 100"),
    ("health.active_days.points", -40, "health.active_days.points: "),
    ("health.active_days.target", 0, "health.active_days.target: "),
    ("health.active_days.target", 29, "health: active_days.target, 29, exceeds window_days, 28"),
    ("health.features.target", 7, "health.features.target: there are only 6 features"),
    ("health.plan.share", {"Pro": 1.1}, "health.plan.share.Pro: "),
    ("health.plan.share", {"Pro": -0.1}, "health.plan.share.Pro: "),
    ("health.statuses", [], "health.statuses: "),
    ("health.statuses", [{"name": "well", "from_score": 10}], "health: the statuses must be in order of from_score"),
    ("health.statuses", SHIPPED["health"]["statuses"][::-1], "health: the statuses must be in order of from_score"),
    ("health.statuses", UNSORTED, "health: the statuses must be in order of from_score"),
    # Who may leave, who may want more
    ("at_risk.below_score", 101, "at_risk.below_score: "),
    ("at_risk.after_signup_days", -1, "at_risk.after_signup_days: "),
    ("active.week_days", 29, "active: a week of 29 days is longer than a month of 28 days"),
    ("active.month_days", 0, "active.month_days: input should be greater than or equal to 1"),
    ("upsell_ready.active_days", 29, "upsell_ready.active_days: 29 days are more than health.window_days, 28 days"),
    ("upsell_ready.features", 7, "upsell_ready.features: there are only 6 features"),
    ("upsell_ready.features", 0, "upsell_ready.features: "),
    ("upsell_ready.weeks", 5, "upsell_ready.weeks: 5 weeks are longer than"),
    ("upsell_ready.active_days_each_week", 8, "upsell_ready.active_days_each_week: "),
    # What a row must be
    ("quality.earliest_date", "2000-13-01", "quality.earliest_date: "),
    ("quality.event_days_ahead", -1, "quality.event_days_ahead: "),
    ("quality.event_days_ahead", 0.5, "quality.event_days_ahead: "),
    ("quality.subscription_days_ahead", 10_001, "quality.subscription_days_ahead: "),
    ("quality.max_rejected_rate", 5, "quality.max_rejected_rate: "),
    ("quality.min_rejected_rows", -1, "quality.min_rejected_rows: "),
]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [pytest.param(*m, id=f"{m[0]} {m[1] if m[1] is not ... else 'missing'}") for m in MISTAKES],
)
def test_a_mistake_gives_one_sentence(key: str, value: Any, says: str, sentence_about: Callable[..., str]) -> None:
    sentence = sentence_about(yaml.safe_dump(changed((key, value))))
    assert sentence.startswith("FILE: ")
    assert says in sentence
    assert "Value error" not in sentence
    assert sentence.endswith("; correct it and run again.")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"active_days": {"days": 8, "window_days": 7}}, "active_days: days, 8, exceeds window_days, 7"),
        ({"active_days": {"days": 0, "window_days": 7}}, "funnel.steps.2.active_days.days: "),
        ({"active_days": {"days": 3}}, "funnel.steps.2.active_days.window_days: is missing"),
        ({"all_of": ["activated", "created"]}, "funnel step activated names created"),
        ({"all_of": []}, "funnel.steps.2.all_of: "),
    ],
)
def test_a_mistake_in_another_rule(rule: dict[str, Any], says: str, sentence_about: Callable[..., str]) -> None:
    changes = [(STEP + "activated.any_of", ...), *((STEP + f"activated.{name}", value) for name, value in rule.items())]
    assert says in sentence_about(yaml.safe_dump(changed(*changes)))


def test_several_mistakes_give_the_first_and_how_many_there_are(sentence_about: Callable[..., str]) -> None:
    content = changed(("health.window_days", 6), ("at_risk.below_score", 101), ("quality.max_rejected_rate", 5))
    sentence = sentence_about(yaml.safe_dump(content))
    assert re.search(r"FILE: health\.window_days: .*\(and 2 more\); correct it", sentence)


# --- A small world in which every word of the dictionary matters ---

FIRST, LAST = date(2026, 1, 1), date(2026, 4, 30)
PLANS, FEATURES = SHIPPED["subscriptions"]["plans"], SHIPPED["features"]["names"]


def world() -> Rows:
    """What has arrived by the last day: users one after the other, each a little different from the one before."""
    users, events, subscriptions = [], [], []

    def happen(user: str | None, event: str, day: date, hour: int = 12, **more: str) -> None:
        moment = f"{day}T{hour:02}:00:00"
        events.append(
            {"event_id": f"{user} {event} {moment} {len(events)}", "user_id": user, "event_type": event} | more
        )
        events[-1]["event_timestamp"] = moment

    for n in range(48):
        user, day = f"user {n:02}", FIRST + timedelta(days=2 * n)
        users.append({"user_id": user, "signup_date": f"{day}T10:00:00"})
        users[-1]["first_visit_date"] = (day - timedelta(days=4)).isoformat()
        happen(user, "visit", day - timedelta(days=n % 3), 9, utm_source=["google", "bing"][n % 2])
        happen(user, "activated", day + timedelta(days=n % 10))
        happen(user, "paid", day + timedelta(days=n % 4))
        if n % 3 == 0:
            row = {"subscription_id": user, "user_id": user, "plan_name": PLANS[n % 2], "mrr": str(29 + n)}
            row |= {
                "start_date": (day + timedelta(days=2 * n)).isoformat(),
                "status": "trial" if n % 9 == 0 else "active",
            }
            subscriptions.append(row)
        for active in (day + timedelta(days=k * (1 + n % 4)) for k in range(60)):
            if active <= LAST:
                happen(user, "daily_active", active)
        for feature in FEATURES[: n % 7]:
            happen(user, "feature_used", min(LAST, day + timedelta(days=100)), feature_name=feature)
    happen("visitor", "visit", LAST + timedelta(days=1))
    happen("without a row", "signup", LAST)

    # Some who are ready for more, or nearly so, and one who pays for nothing.
    lately = {
        "starter": (date(2026, 4, 3), 4, 2, "Starter"),
        "pro": (date(2026, 4, 3), 5, 2, "Pro"),
        "for two weeks": (date(2026, 4, 17), 6, 1, "Pro"),
        "away": (date(2026, 4, 3), 0, 100, "Pro"),
    }
    for user, (since, features, every, plan) in lately.items():
        users.append({"user_id": user, "signup_date": "2026-02-20"})
        row = {"subscription_id": user, "user_id": user, "plan_name": plan, "mrr": "99", "start_date": "2026-02-21"}
        subscriptions.append(row | {"status": "active"})
        for number in range((LAST - since).days // every + 1):
            happen(user, "daily_active", since + timedelta(days=every * number))
        for feature in FEATURES[:features]:
            happen(user, "feature_used", LAST, feature_name=feature)

    other = {"user_id": "user 46", "plan_name": "Pro", "mrr": "500", "start_date": "2026-04-20"}
    subscriptions += [
        other | {"subscription_id": "cancelled", "status": "cancelled"},
        other | {"subscription_id": "paused", "status": "paused", "user_id": "user 44"},
        other | {"subscription_id": "other", "status": "active", "plan_name": "Other", "user_id": "user 43"},
        other | {"subscription_id": "late", "status": "past_due", "user_id": "user 39"},
        other | {"subscription_id": "unpaid", "status": "unpaid", "user_id": "user 38"},
        other | {"subscription_id": "open", "status": "incomplete", "user_id": "user 37"},
        other | {"subscription_id": "ahead", "status": "active", "start_date": "2026-08-01", "user_id": "user 41"},
    ]

    # A device that two were seen on, and what was done on it by nobody who is named.
    seen = {"user 40": LAST - timedelta(days=9), "user 41": LAST - timedelta(days=5)}
    links = [{"user_id": user, "anonymous_id": "x", "linked_at": str(day)} for user, day in seen.items()]
    for ago in range(3, 9):
        happen(None, "daily_active", LAST - timedelta(days=ago), anonymous_id="x")
    return {"raw_users": users, "raw_events": events, "raw_subscriptions": subscriptions, "raw_links": links}


WORLD = Batches({LAST: world()})
NEXT = LAST + timedelta(days=1)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The world by the shipped dictionary."""
    warehouse = Warehouse(tmp_path_factory.mktemp("definitions") / "published.db", WORLD)
    warehouse.run(FIRST, LAST)
    yield warehouse
    warehouse.connection.close()


@pytest.fixture
def copy(published: Warehouse, tmp_path: Path) -> Iterator[Callable[[Sql], Warehouse]]:
    """Makes copies of the published warehouse, with statements of one's own."""
    made: list[Warehouse] = []

    def make(sql: Sql) -> Warehouse:
        path = tmp_path / f"copy {len(made)}.db"
        published.connection.execute("vacuum into ?", (str(path),))
        made.append(Warehouse(path, WORLD, sql))
        return made[-1]

    yield make
    for warehouse in made:
        warehouse.connection.close()


def contents(warehouse: Warehouse, layer: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table of a layer."""
    tables = [(m.name, ", ".join(m.grain)) for m in warehouse.sql.tables.values() if m.layer == layer]
    return {table: warehouse.rows(f"select * from {table} order by {grain}") for table, grain in tables}


@pytest.fixture(scope="module")
def next_day(published: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the tables hold after the next day by the shipped dictionary."""
    path = tmp_path_factory.mktemp("definitions") / "next day.db"
    published.connection.execute("vacuum into ?", (str(path),))
    warehouse = Warehouse(path, WORLD)
    warehouse.run(NEXT)
    found = {layer: contents(warehouse, layer) for layer in ("staging", "marts")}
    warehouse.connection.close()
    return found


# --- A change of a number ---

# Every word that has a say in what people read, with another value.
CHANGES: list[tuple[str, Any]] = [
    ("events.types", [t for t in SHIPPED["events"]["types"] if t != "paid"]),
    ("features.names", [f for f in FEATURES if f != "dashboard"]),
    ("subscriptions.plans", ["Starter", "Pro", "Enterprise", "Team"]),
    ("subscriptions.statuses.active", "suspended"),
    ("subscriptions.statuses.trial", "paying"),
    ("subscriptions.statuses.past_due", "never"),
    ("subscriptions.statuses.unpaid", "paying"),
    ("subscriptions.statuses.paused", "trial"),
    ("subscriptions.statuses.cancelled", "paying"),
    ("subscriptions.statuses.incomplete", "paying"),
    ("identity.anonymous_rows", "components"),
    ("identity.max_users", 1),
    ("identity.no_ids", ["x"]),
    ("subscriptions.default_currency", "EUR"),
    ("active.meaningful_events", ["feature_used"]),
    ("active.week_days", 5),
    ("active.month_days", 30),
    ("funnel.cohort_by", "signup"),
    (STEP + "visit.any_of", ["activated"]),
    (STEP + "visit.implied_by", []),
    (STEP + "visit.or_user_date", ["signup_date"]),
    (STEP + "signup.any_of", ["signup", "visit"]),
    (STEP + "signup.or_user_date", []),
    (STEP + "activated.any_of", ["activated", "paid"]),
    (STEP + "activated.within_days", 3),
    (STEP + "activated.of", "visit"),
    (STEP + "paid.subscription.mrr_above", 40),
    (STEP + "paid.within_days", 30),
    (STEP + "paid.of", "activated"),
    ("health.window_days", 35),
    ("health.active_days.target", 12),
    ("health.features.target", 2),
    ("health.plan.share", {"Starter": 0.1, "Pro": 0.7, "Enterprise": 1.0, "Other": 0.4}),
    ("health.statuses", [{"name": "well", "from_score": 60}, {"name": "ill", "from_score": 0}]),
    ("at_risk.below_score", 60),
    ("at_risk.after_signup_days", 100),
    ("upsell_ready.plans", ["Starter"]),
    ("upsell_ready.active_days", 16),
    ("upsell_ready.features", 6),
    ("upsell_ready.weeks", 1),
    ("upsell_ready.active_days_each_week", 5),
    ("quality.earliest_date", "2026-01-01"),
    ("quality.event_days_ahead", 0),
    ("quality.subscription_days_ahead", 50),
]

# What has to change with a word.
GOES_ALONG = {
    "subscriptions.plans": [("health.plan.share", {"Starter": 0.4, "Pro": 0.7, "Enterprise": 1.0, "Team": 1.0})]
}

# Words of which the marts show nothing in this world; staging does.
IN_STAGING = ("events.types", "subscriptions.default_currency", "quality.subscription_days_ahead")
IN_STAGING += ("subscriptions.statuses.paused",)

# What only the checks ask, and what gives columns and people their names.
NO_NUMBERS = ("quality.max_rejected_rate", "quality.min_rejected_rows")
# A lower one rejects more rows of this world than a run goes on with: tests/cases/rejects.yaml has it.
TOO_STRICT = ("quality.longest_user_id",)
NAMES = re.compile(r"^funnel\.steps\.\w+\.(name|people|noun)$")
POINTS = re.compile(r"^health\.\w+\.points$")


def keys_of(value: Any, path: str = "") -> Iterator[str]:
    """All keys of the dictionary that hold a value or a list."""
    if isinstance(value, list) and path == "funnel.steps":
        value = {step["name"]: step for step in value}
    if isinstance(value, dict) and path != "health.plan.share":
        for key, inner in value.items():
            yield from keys_of(inner, f"{path}.{key}".lstrip("."))
    else:
        yield path


def test_every_word_is_changed_somewhere_below() -> None:
    changes = {key for key, _ in CHANGES}
    others = {k for k in keys_of(SHIPPED) if k.endswith(".sentence") or NAMES.match(k) or POINTS.match(k)}
    # The formula of a word explains numbers that other keys choose.
    others |= {k for k in keys_of(SHIPPED) if k.startswith("words.")}
    assert changes | others | {*NO_NUMBERS, *TOO_STRICT} == set(keys_of(SHIPPED))


@pytest.mark.parametrize(("key", "value"), [pytest.param(*change, id=change[0]) for change in CHANGES])
def test_a_change_is_in_the_marts_after_the_next_run(
    key: str, value: Any, copy: Callable[[Sql], Warehouse], next_day: dict[str, Any]
) -> None:
    warehouse = copy(sql_of(changed((key, value), *GOES_ALONG.get(key, []))))
    warehouse.run(NEXT)

    assert warehouse.differences_from_rebuild() == []
    layer = "staging" if key in IN_STAGING else "marts"
    assert contents(warehouse, layer) != next_day[layer]


@pytest.mark.parametrize("more", ["active_days", "features", "recency", "plan"])
def test_other_points_give_other_scores(more: str, copy: Callable[[Sql], Warehouse], next_day: dict[str, Any]) -> None:
    less = "recency" if more != "recency" else "plan"
    points = {part: SHIPPED["health"][part]["points"] for part in (more, less)}
    warehouse = copy(
        sql_of(changed((f"health.{more}.points", points[more] + 5), (f"health.{less}.points", points[less] - 5)))
    )
    warehouse.run(NEXT)

    assert warehouse.differences_from_rebuild() == []
    assert contents(warehouse, "marts")["dim_user_health"] != next_day["marts"]["dim_user_health"]


def test_going_back_gives_the_old_numbers_back(copy: Callable[[Sql], Warehouse], next_day: dict[str, Any]) -> None:
    warehouse = copy(sql_of(changed((STEP + "activated.within_days", 3))))
    warehouse.run(NEXT)
    assert contents(warehouse, "marts") != next_day["marts"]

    warehouse.sql = default_sql()
    warehouse.run(NEXT)
    assert contents(warehouse, "marts") == next_day["marts"]


# --- A change of a sentence ---

SENTENCES = [key for key in keys_of(SHIPPED) if key.endswith("sentence")]


@pytest.mark.parametrize(
    ("key", "value"), [*((key, "Said in other words.") for key in SENTENCES), *((key, 1) for key in NO_NUMBERS)]
)
def test_what_no_number_depends_on_changes_no_fingerprint(key: str, value: Any) -> None:
    assert changed_tables(sql_of(changed((key, value)))) == set()


def changed_tables(sql: Sql) -> set[str]:
    """The tables whose fingerprint is not that of the shipped dictionary."""
    return {name for name in sql.tables if sql.fingerprint(name) != default_sql().fingerprint(name)}


@pytest.mark.parametrize(
    ("key", "value", "tables"),
    [
        ("at_risk.below_score", 41, {"dim_user_health"}),
        ("active.week_days", 6, {"fct_active_users"}),
        ("active.month_days", 30, {"int_user_engagement", "fct_active_users"}),
        (
            STEP + "paid.within_days",
            91,
            {"int_funnel_steps", "fct_acquisition_funnel", "fct_acquisition_funnel_by_channel"},
        ),
        ("identity.max_users", 6, {"int_identities"}),
    ],
)
def test_a_value_changes_the_fingerprints_of_the_tables_that_read_it(key: str, value: Any, tables: set[str]) -> None:
    assert changed_tables(sql_of(changed((key, value)))) == tables


def test_a_value_behind_two_hyphens_is_part_of_a_fingerprint() -> None:
    """They begin a comment, but not within quotes."""
    types = ["a--b", *SHIPPED["events"]["types"]]
    before, after = (sql_of(changed(("events.types", [*types, last]))) for last in ("x", "y"))
    assert before.fingerprint("stg_events") != after.fingerprint("stg_events")


def whole_before_publish(warehouse: Warehouse) -> set[str]:
    """The tables of which the run of the next day computes all rows."""
    seen: list[set[str]] = []

    def look(task: str) -> None:
        if task == "publish":
            seen.append(set(whole_tables(warehouse.connection)))

    warehouse.run(NEXT, before_task=look)
    return seen[0]


def below(names: set[str]) -> set[str]:
    """Some tables and all that read one of them."""
    found = set(names)
    for name in default_sql().tables:
        if reads(name) & found:
            found.add(name)
    return found


def test_another_sentence_recomputes_nothing(copy: Callable[[Sql], Warehouse], next_day: dict[str, Any]) -> None:
    warehouse = copy(sql_of(changed(*((key, "Said in other words.") for key in SENTENCES))))
    assert whole_before_publish(warehouse) == set()
    assert contents(warehouse, "marts") == next_day["marts"]


@pytest.mark.parametrize(
    ("key", "value"), [("at_risk.below_score", 60), ("active.month_days", 30), ("quality.event_days_ahead", 0)]
)
def test_a_change_recomputes_the_tables_that_read_it_and_those_below(
    key: str, value: Any, copy: Callable[[Sql], Warehouse]
) -> None:
    warehouse = copy(sql_of(changed((key, value))))
    assert whole_before_publish(warehouse) == below(changed_tables(warehouse.sql))
    assert warehouse.differences_from_rebuild() == []


WORDS = ["a--b", "x -- y", "it: 1", "visit", "signup", "activated", "paid", "daily_active"]
ANY_CHANGE = st.one_of(
    st.tuples(st.just("events.types"), st.lists(st.sampled_from(WORDS), min_size=1, unique=True)),
    st.tuples(st.just("identity.no_ids"), st.lists(st.sampled_from(["user 3", "user 40", "--", "x"]), unique=True)),
    st.tuples(
        st.just("subscriptions.statuses.active"), st.sampled_from(["paying", "trial", "suspended", "ended", "never"])
    ),
    st.sampled_from(CHANGES),
)


@pytest.mark.prove
@settings(max_examples=int(os.environ.get("WORLDS", 60)), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    first=ANY_CHANGE, second=ANY_CHANGE, killed_at=st.sampled_from([None, "stg_users", "int_funnel_steps", "publish"])
)
def test_whatever_changes_what_is_recomputed_equals_a_rebuild(
    published: Warehouse, tmp_path_factory: pytest.TempPathFactory, first: Any, second: Any, killed_at: str | None
) -> None:
    """Two changes, one after the other; the run with the first one may be killed on its way."""
    folder = tmp_path_factory.mktemp("changes")
    path = folder / "copy.db"
    published.connection.execute("vacuum into ?", (str(path),))
    warehouse = Warehouse(path, WORLD)
    for number, changes in enumerate(([first], [first, second], [second])):
        try:
            warehouse.sql = sql_of(
                changed(*changes, *(extra for key, _ in changes for extra in GOES_ALONG.get(key, [])))
            )
        except ValueError:
            continue
        try:
            warehouse.run(NEXT + timedelta(days=number), before_task=stop_at(killed_at if number == 0 else None))
        except (Stopped, ChecksFailed):
            warehouse.query("delete from work_lease")
            continue
        assert warehouse.differences_from_rebuild() == []
    warehouse.close()
    shutil.rmtree(folder)


class Stopped(Exception):
    """A run is left where it is."""


def stop_at(name: str | None) -> Callable[[str], None]:
    def stop(task: str) -> None:
        if task == name:
            raise Stopped

    return stop


# --- A change of the steps ---


def with_trial() -> Sql:
    """The shipped steps, and one between the signup and the activation."""
    trial = {"name": "trial", "sentence": "", "people": "trials", "noun": "trial", "any_of": ["activated", "paid"]}
    steps = SHIPPED["funnel"]["steps"]
    return sql_of(changed(("funnel.steps", [*steps[:2], trial, *steps[2:]])))


GAINED = {"trials", "signup_to_trial_rate", "trial_to_activation_rate"}
LOST = {"signup_to_activation_rate"}


def columns(warehouse: Warehouse, table: str) -> set[str]:
    return {row[1] for row in warehouse.query(f"pragma table_info({table})")}


@pytest.mark.parametrize("table", FUNNELS)
def test_a_further_step_adds_its_columns_and_loses_no_row(table: str, copy: Callable[[Sql], Warehouse]) -> None:
    warehouse = copy(with_trial())
    before = columns(warehouse, table)
    kept = ", ".join(sorted(before))
    rows = warehouse.rows(f"select {kept} from {table}")
    assert rows

    prepare(warehouse.connection, warehouse.sql)
    assert warehouse.rows(f"select {kept} from {table}") == rows
    assert warehouse.query(f"select trials from {table} where trials is not null") == []

    warehouse.run(NEXT)
    assert columns(warehouse, table) == (before | GAINED) - LOST
    assert warehouse.query(f"select trials from {table} where trials is null") == []
    assert sum(n for (n,) in warehouse.query(f"select trials from {table}")) > 10
    assert len(warehouse.rows(f"select * from {table}")) >= len(rows)
    assert warehouse.differences_from_rebuild() == []


@pytest.mark.parametrize("table", FUNNELS)
def test_a_step_that_is_removed_takes_its_columns_with_it_when_people_read_tables_without_it(
    table: str, copy: Callable[[Sql], Warehouse], next_day: dict[str, Any]
) -> None:
    warehouse = copy(with_trial())
    warehouse.run(LAST)
    assert columns(warehouse, table) >= GAINED
    rows = warehouse.query(f"select cohort_month, visitors, trials, paid from {table} order by 1, 2, 3, 4")

    # A run that ends before it has published, as one does whose checks are red.
    class Red(Exception):
        pass

    def red(task: str) -> None:
        if task == "publish":
            raise Red

    warehouse.sql = default_sql()
    with pytest.raises(Red):
        warehouse.run(NEXT, before_task=red)
    assert columns(warehouse, table) >= GAINED
    assert warehouse.query(f"select cohort_month, visitors, trials, paid from {table} order by 1, 2, 3, 4") == rows

    warehouse.query("delete from work_lease")
    warehouse.connection.commit()
    warehouse.run(NEXT)
    assert not GAINED & columns(warehouse, table)
    assert contents(warehouse, "marts")[table] == next_day["marts"][table]
    assert warehouse.differences_from_rebuild() == []


@pytest.mark.parametrize("steps", ["one more", "another noun"])
def test_steps_that_are_taken_back_before_they_were_published_leave_nothing_behind(
    steps: str, copy: Callable[[Sql], Warehouse], next_day: dict[str, Any]
) -> None:
    """As when a run with the new dictionary fails at its source, and somebody restores the old one."""
    warehouse = copy(with_trial() if steps == "one more" else sql_of(changed((STEP + "activated.noun", "start"))))
    prepare(warehouse.connection, warehouse.sql)

    warehouse.sql = default_sql()
    warehouse.run(NEXT)
    assert warehouse.differences_from_rebuild() == []
    assert contents(warehouse, "marts") == next_day["marts"]


def test_a_run_with_a_new_dictionary_that_is_killed_at_any_task_is_finished_by_the_next(
    copy: Callable[[Sql], Warehouse], next_day: dict[str, Any]
) -> None:
    class Killed(Exception):
        pass

    def kill(task: str) -> None:
        if task == killed_at:
            raise Killed

    for killed_at in ("stg_users", "int_funnel_steps", "fct_acquisition_funnel", "publish"):
        warehouse = copy(with_trial())
        with pytest.raises(Killed):
            warehouse.run(NEXT, before_task=kill)
        warehouse.query("delete from work_lease")
        warehouse.connection.commit()
        warehouse.sql = default_sql()
        warehouse.run(NEXT)
        assert contents(warehouse, "marts") == next_day["marts"], killed_at


@pytest.mark.parametrize(
    ("key", "word"),
    [
        *(("name", word) for word in ("order", "t", "nothing", "at", "moment", "latest")),
        *(("people", word) for word in ("order", "everybody", "nothing", "current_date", "begin", "add")),
    ],
)
def test_a_step_has_any_name_that_is_not_refused(key: str, word: str, warehouse: Callable[..., Warehouse]) -> None:
    """Words of SQL are words of business, too: an order, a group. And no name is one that a query uses for itself."""
    name = word if key == "name" else "activated"
    content = changed((STEP + "paid.of", name), (STEP + "paid.within_days", 5), (STEP + f"activated.{key}", word))
    try:
        sql = sql_of(content)
    except ValueError:
        return
    day = "2026-01-31"
    row = {"event_type": "activated", "event_date": day}
    plan = {"plan_name": "Pro", "mrr": "79", "status": "active"}
    batch = {
        "raw_users": [{"user_id": user, "signup_date": day} for user in ("a", "b", "c")],
        "raw_events": [
            row | {"event_id": "x", "user_id": "a"},
            row | {"event_id": "y", "user_id": "b"},
            # Of a month that no batch has covered.
            {"event_id": "z", "user_id": "d", "event_type": "visit", "event_date": "2026-02-01"},
        ],
        "raw_subscriptions": [
            plan | {"subscription_id": "s", "user_id": "a", "start_date": "2026-02-05"},
            plan | {"subscription_id": "t", "user_id": "b", "start_date": "2026-02-06"},
        ],
    }
    filled = warehouse(Batches({date.fromisoformat(day): batch}), sql)
    filled.run(date.fromisoformat(day))

    columns = ", ".join(f'"{step["people"]}"' for step in content["funnel"]["steps"])
    assert filled.query(f"select cohort_month, {columns} from fct_acquisition_funnel order by 1") == [
        ("2026-01-01", 3, 3, 2, 1),
        ("2026-02-01", 1, 0, 0, 0),
    ]
    assert filled.query(f"select user_id, {name}_at, paid_at from int_funnel_steps where paid_at is not null") == [
        ("a", "2026-01-31 00:00:00", "2026-02-05 00:00:00")
    ]


@pytest.mark.every_engine
def test_a_dictionary_may_be_as_long_as_the_product_is_wide(warehouse: Callable[..., Warehouse]) -> None:
    features = [f"feature {n}" for n in range(1500)]
    types = [*SHIPPED["events"]["types"], *(f"event {n}" for n in range(1500))]
    words = changed(("features.names", features), ("events.types", types))
    used = {"user_id": "a", "event_type": "feature_used"}
    days = (date(2026, 1, 5), date(2026, 1, 6))
    batches = {
        day: {
            "raw_users": [{"user_id": "a", "signup_date": "2026-01-05"}],
            "raw_events": [
                used | {"event_id": f"last {day}", "feature_name": features[-1], "event_date": str(day)},
                used | {"event_id": f"none {day}", "feature_name": "feature 1500", "event_date": str(day)},
                {"event_id": f"type {day}", "user_id": "a", "event_type": types[-1], "event_date": str(day)},
            ],
        }
        for day in days
    }
    filled = warehouse(Batches(batches), sql_of(words))
    for day in days:
        filled.run(day)
    assert filled.query("select feature_name, uses from int_feature_usage") == [(features[-1], 1)] * 2
    assert filled.query("select event_type from stg_events where is_meaningful = 0") == [(types[-1],)] * 2
    assert filled.query("select reject_reason from rejects") == [("unknown feature",)] * 2
