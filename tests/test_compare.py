"""`make compare`: which numbers it sets beside theirs, its verdicts, and where it says to look next."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from worlds import Batches, Warehouse, changed_definitions, default_sql, sqlite_place

from growth.commands.compare import Known, Month, beside_ours, compare, metrics
from growth.errors import UserError
from growth.language.queries import Reader
from growth.language.sql import Sql
from growth.warehouse.schema import prepare

HOME = Path(__file__).parents[1]


def event(number: str, user: str, kind: str, day: str, device: str | None = None) -> dict[str, str | None]:
    return {"event_id": number, "user_id": user, "event_type": kind, "event_date": day, "anonymous_id": device}


def subscription(user: str) -> dict[str, str]:
    return {
        "subscription_id": user,
        "user_id": user,
        "plan_name": "Pro",
        "start_date": "2025-02-03",
        "mrr": "29",
        "status": "active",
    }


WORLD = {
    # 20 people come in January, 10 of them sign up, 4 are activated, 5 active; 6 rows are rejected.
    date(2025, 1, 21): {
        "raw_users": [{"user_id": f"u{n}", "signup_date": "2025-01-10"} for n in range(10)],
        "raw_events": [
            *(event(f"visit {n}", f"u{n}", "visit", "2025-01-05") for n in range(20)),
            *(event(f"activated {n}", f"u{n}", "activated", "2025-01-11") for n in range(4)),
            *(event(f"active {n}", f"u{n}", "daily_active", "2025-01-20") for n in range(5)),
            *(event(f"bad {n}", f"u{n}", "page_ping", "2025-01-20") for n in range(6)),
        ],
    },
    # In February 4 of these pay and 2 are active; 4 other people come, one of them on 3 devices.
    date(2025, 2, 11): {
        "raw_subscriptions": [subscription(f"u{n}") for n in range(4)],
        "raw_events": [
            *(event(f"again {n}", f"u{n}", "daily_active", "2025-02-10") for n in range(2)),
            *(event(f"new {n}", f"w{n}", "visit", "2025-02-05") for n in range(4)),
            *(event(f"device {n}", "w0", "visit", "2025-02-06", f"device {n}") for n in range(3)),
        ],
    },
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    made = Warehouse(tmp_path_factory.mktemp("compare") / "w.db", Batches(WORLD))
    made.run(date(2025, 1, 1), date(2025, 3, 10))
    yield made
    made.connection.close()


@pytest.fixture(autouse=True)
def rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The statements of the shipped definitions, which take half a second each time."""
    monkeypatch.setattr("growth.commands.compare.Sql", lambda words, engine: default_sql(engine))


Compare = Callable[..., tuple[int, str]]


@pytest.fixture
def compared(world: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Compare:
    """Compares lines of a CSV with a warehouse: the exit status, and what is printed."""

    def act(*lines: str, warehouse: Path = world.path, within: float = 5.0) -> tuple[int, str]:
        (tmp_path / "known.csv").write_text("\n".join(["month,metric,value", *lines]), encoding="utf-8")
        status = compare(sqlite_place(warehouse), tmp_path / "known.csv", within)
        return status, capsys.readouterr().out

    return act


def said_of_miss(out: str) -> str:
    """What is said about the one miss, on one line."""
    (section,) = [part for part in out.split("\n\n") if "look at" in part]
    return " ".join(section.split())


# --- Theirs beside ours


def test_each_line_shows_theirs_ours_the_difference_and_a_verdict(compared):
    _, out = compared(
        "2025-01,visitors,20", "2025-01-01,paid,5", "2025-01,visit_to_signup_rate,49 %", "2025-03,users,8"
    )

    assert out.split("\n\n")[:2] == [
        "Their numbers and ours as of 2025-03-10",
        "month     metric                  theirs      ours     difference   verdict\n"
        "---------------------------------------------------------------------------\n"
        "2025-01   visitors                    20        20        +0.00 %        ok\n"
        "2025-01   paid                         5         4 *     -20.00 %      MISS\n"
        "2025-01   visit_to_signup_rate   49.00 %   50.00 % *      +2.04 %        ok\n"
        "2025-03   users                        8        10 *     +25.00 %      MISS\n"
        "* can still change: the month is not over, or the cohort is not mature",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "2025-01,visitors,20",
        "2025-01,signups,10",
        "2025-01,signup_to_activation_rate,40 %",
        "2025-01,paid,4",
        "2025-02,visitors,4",
        "2025-01,new_signups,10",
        "2025-02,new_signups,0",
        "2025-01,active_users,5",
        "2025-02,active_users,2",
        "2025-01,avg_dau,0.16129032",  # 5 on one of 31 days
        "2025-01,stickiness,3.2258065 %",
        "2025-01,retention_month_0,50 %",
        "2025-01,retention_month_1,0.2",
        "2025-03,users,10",
        "2025-03,paying_users,4",
        "2025-03,at_risk_users,4",
        "2025-03,upsell_ready_users,0",
    ],
)
def test_ours_is_what_the_tables_hold(compared, line):
    assert compared(line, within=0.0001)[0] == 0, line


def test_every_count_and_rate_of_any_funnel_can_be_compared(warehouse):
    funnel = changed_definitions().funnel.model_dump()
    step = {"name": "second", "sentence": "One more.", "people": "e", "noun": "s", "any_of": ["activated"]}
    words = changed_definitions(funnel=funnel | {"steps": [*funnel["steps"], step]})
    other = warehouse(Batches(WORLD), Sql(words))
    other.run(date(2025, 1, 1), date(2025, 1, 31))
    (mart,) = [m for m in other.sql.marts if m.name == "fct_acquisition_funnel"]
    expected = set(mart.columns) - {"cohort_month", "is_mature", "matures_on"}

    found = metrics(words)

    assert {"e", "paid_to_s_rate"} <= expected <= set(found)
    reader = Reader(other.sql, other.connection)
    for name in expected:
        known = Known("known.csv line 2", Month(date(2025, 1, 1)), found[name], 0)
        ours = beside_ours(reader, known, date(2025, 1, 31), 5).ours
        assert (ours,) == other.connection.execute(f"select {name} from fct_acquisition_funnel").fetchone()


def test_the_status_is_0_only_if_all_are_within(compared):
    status, out = compared("2025-01,visitors,20", "2025-01,signups,10")
    assert (status, out.splitlines()[-1]) == (0, "All 2 are within 5 % of theirs.")

    status, out = compared("2025-01,visitors,20", "2025-01,signups,11")
    assert (status, out.splitlines()[-1]) == (1, "1 of 2 miss by more than 5 % of theirs.")


def test_what_lies_on_the_edge_is_within(compared):
    assert compared("2025-01,visitors,25", within=20)[0] == 0
    assert compared("2025-01,visitors,25", within=19.9)[0] == 1
    assert compared("2025-01,visitors,16", within=25)[0] == 0
    assert compared("2025-01,visit_to_signup_rate,62.5 %", within=20)[0] == 0


def test_zeros_have_a_verdict(compared):
    status, out = compared("2025-02,activated,0", "2025-02,retention_month_1,0 %")
    assert status == 0  # nobody, and a rate of nobody
    assert compared("2025-02,new_signups,0")[1].splitlines()[4].split()[2:] == ["0", "0", "+0.00", "%", "ok"]
    status, out = compared("2025-01,visitors,0", "2025-02,retention_month_1,5 %")
    assert status == 1
    assert [line.split()[2:] for line in out.splitlines() if line.endswith("MISS")] == [
        ["0", "20", "-", "MISS"],
        ["5.00", "%", "-", "-", "MISS"],
    ]


def test_a_number_may_have_commas_and_a_rate_a_percent_sign(compared):
    _, out = compared('2025-01,visitors,"1,020.5"', "2025-01,visit_to_signup_rate,12.5 %")
    assert "1,020.50" in out
    assert "12.50 %" in out


# --- Where to look next


def test_a_number_of_the_month_of_the_event_is_recognised(compared):
    said = said_of_miss(compared("2025-02,paid,4")[1])
    assert said.startswith(
        "2025-02 paid: look at int_funnel_steps next Here a person counts in the month of their first"
    )
    assert said.endswith("By the month in which it happened ours is 4, which agrees with theirs.")


def test_rejected_rows_are_counted_by_reason_and_looked_at_where_they_are_enough(compared):
    said = said_of_miss(compared("2025-01,visitors,26")[1])
    assert "2025-01 visitors: look at rejects next" in said
    assert "6 rows were rejected (unknown event type 6)" in said
    assert "visitors: look at int_funnel_steps next" in said_of_miss(compared("2025-01,visitors,27")[1])
    assert "visitors: look at int_funnel_steps next" in said_of_miss(compared("2025-01,visitors,15")[1])
    # The subscriptions and users of that month were all good.
    assert "0 rows were rejected." in said_of_miss(compared("2025-01,new_signups,12")[1])


def test_events_without_a_rule_are_counted_by_name_and_looked_at_where_they_are_enough(compared, warehouse):
    other = warehouse(Batches(WORLD))
    other.run(date(2025, 1, 1), date(2025, 2, 28))
    with other.connection as connection:
        connection.executemany(
            "insert into unmapped_events values (?, 'f', ?, ?)",
            [("2025-01-03", "Café \x1b[1m", 40), ("2025-01-04", "Page", 9), ("2025-02-01", "Later", 7)],
        )

    said = said_of_miss(compared("2025-01,active_users,50", warehouse=other.path)[1])

    assert "2025-01 active_users: look at unmapped_events next" in said
    assert "49 had no rule in the mapping (Caf\\xe9 \\x1b[1m 40, Page 9)" in said


def test_ids_of_one_person_are_counted_and_looked_at_where_they_are_enough(compared):
    said = said_of_miss(compared("2025-02,visitors,7")[1])
    assert "2025-02 visitors: look at int_identities next" in said
    assert "These people have 3 more ids, which are not counted." in said


def test_an_immature_cohort_and_a_month_that_is_not_over_are_said(compared):
    assert "mature, on 2025-05-01." in said_of_miss(compared("2025-01,paid,9")[1])
    assert "The month is not over." in said_of_miss(compared("2025-03,paying_users,9")[1])
    january = said_of_miss(compared("2025-01,visitors,50")[1])
    assert "mature" not in january
    assert "over" not in january


def test_a_rate_shows_both_its_counts(compared):
    said = said_of_miss(compared("2025-01,visit_to_signup_rate,0.9")[1])
    assert "Here 10 signups of 20 visitors. By the month in which it happened ours is 50.00 %, which does not" in said


def test_days_that_have_not_been_landed_are_looked_at_first(compared, warehouse):
    late = warehouse(Batches(WORLD))
    late.run(date(2025, 1, 15), date(2025, 2, 20))

    said = said_of_miss(compared("2025-01,visitors,26", warehouse=late.path)[1])
    assert "2025-01 visitors: look at raw_batches next" in said
    assert said.endswith("Of its 31 days 14 have not been landed: run them with FROM=.")
    assert "raw_batches" not in compared("2025-02,visitors,26", warehouse=late.path)[1]  # nor are days to come


def test_each_miss_has_a_table_that_exists_and_the_page_is_ascii_of_100_columns(compared, world):
    names = list(metrics(changed_definitions()))
    as_of = [name for name in names if name.endswith("users") and name != "active_users"]
    lines = [f"{'2025-03' if name in as_of else '2025-01'},{name},0.77" for name in [*names, "retention_month_1"]]

    _, out = compared(*lines)

    looked = [line.split("look at ")[1].split()[0] for line in out.splitlines() if "look at" in line]
    assert len(looked) == len(lines)
    assert set(looked) <= {name for (name,) in world.query("select name from sqlite_master")}
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= 100


# --- What cannot be compared


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("2025-01,visits,5", "the metric is 'visits': write one of active_users, avg_dau,"),
        ("2025-13,visitors,5", "the month is '2025-13': write it as 2026-10 or 2026-10-01."),
        ("2025-01-15,visitors,5", "the month is '2025-01-15': write it as"),
        ("2025-01,visitors,", "the value is '': write a number such as 1188."),
        ("2025-01,visitors,-5", "the value is '-5': write a number such as 1188."),
        ("2025-01,visitors,nan", "the value is 'nan': write a number"),
        ("2025-01,visitors,%", "the value is '%': write a number"),
        ('2025-01,visit_to_signup_rate,"1,125 %"', "the value is '1,125 %': write a number such as 1188 or 12.5 %."),
        ("2025-01,visitors,5 %", "visitors is a count and '5 %' a percentage: write the number."),
        ("2025-01,visit_to_signup_rate,50", "is a fraction and 50 more than 1: write 50 % if it is one."),
        ("2025-01,visitors,1,188", "has 4 fields instead of 3: put quotes around a value with a comma in it."),
        ("2024-12,visitors,5", "there is no visitors of 2024-12, the warehouse has data of 2025-01 to 2025-03:"),
        ("2025-04,active_users,5", "there is no active_users of 2025-04, the warehouse has data of"),
        ("2025-01,retention_month_3,5 %", "there is no retention_month_3 of 2025-01, the warehouse"),
        ("2025-02,paying_users,5", "paying_users is known for the as-of day 2025-03-10 only, not for 2025-02:"),
    ],
)
def test_a_line_that_cannot_be_compared_is_one_sentence_with_its_number(compared, tmp_path, line, sentence):
    with pytest.raises(UserError) as error:
        compared("2025-01,visitors,20", "", line)
    assert str(error.value).startswith(f"{tmp_path / 'known.csv'} line 4")
    assert sentence in str(error.value)


def test_an_unknown_metric_lists_all_that_are_known(compared):
    with pytest.raises(UserError) as error:
        compared("2025-01,x,1")
    assert all(name in str(error.value) for name in [*metrics(changed_definitions()), "retention_month_1"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"known\.csv cannot be read \(No such file or directory\): name another with KNOWN=\.$"),
        (b"", r"begins with '': make month,metric,value its first line\.$"),
        (b"2025-01,visitors,20\n", r"begins with '2025-01,visitors,20': make month,metric,value its first line"),
        (b"month;metric;value\n", r"make month,metric,value its first line\.$"),
        (b"month,metric,value\n\n", r"has no line below its header: add one for each number to compare\.$"),
        (b"month,metric,value\n2025-01,visitors,\xff\n", r"is not a CSV in UTF-8 \(.*\): export it as one\.$"),
        (b'month,metric,value\n2025-01,visitors,"5\n', r"is not a CSV in UTF-8 \(.*\): export it as one\.$"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, world, content, sentence):
    if content is not None:
        (tmp_path / "known.csv").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        compare(sqlite_place(world.path), tmp_path / "known.csv")


def test_columns_in_another_order_and_a_byte_order_mark_are_read(tmp_path, world):
    (tmp_path / "known.csv").write_bytes(b"\xef\xbb\xbfValue,Month,Metric\r\n20,2025-01,visitors\r\n")
    assert compare(sqlite_place(world.path), tmp_path / "known.csv") == 0


def test_a_warehouse_that_has_nothing_to_compare_is_one_sentence(compared, warehouse, tmp_path):
    line = "2025-01,visitors,20"
    with pytest.raises(UserError, match=r"^There is no warehouse .*none\.db: make run builds it\.$"):
        compared(line, warehouse=tmp_path / "none.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(UserError, match=r"^There is no warehouse .*empty\.db: make run builds it\.$"):
        compared(line, warehouse=tmp_path / "empty.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("create table something (else_there text)")
    with pytest.raises(
        UserError, match=r"^The database .*other\.db has no tables of a run yet: make run builds them\.$"
    ):
        compared(line, warehouse=tmp_path / "other.db")
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at" * 50)
    with pytest.raises(UserError, match=r"text\.db is not a SQLite database: name another file"):
        compared(line, warehouse=tmp_path / "text.db")
    prepared = warehouse()
    prepare(prepared.connection, default_sql())
    with pytest.raises(UserError, match=r"^No run has published in the warehouse .*: run again, then compare\.$"):
        compared(line, warehouse=prepared.path)
    active = changed_definitions().active.model_dump() | {"meaningful_events": ["feature_used"]}
    other = warehouse(Batches(WORLD), Sql(changed_definitions(active=active)))
    other.run(date(2025, 1, 21))
    with pytest.raises(UserError, match=r"^The definitions have changed since the last run: run again"):
        compared(line, warehouse=other.path)


def test_the_command_gives_the_comparison_its_status_or_one_sentence(world, tmp_path):
    def command(known: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "growth", "compare"],
            cwd=HOME,
            env={**os.environ, "PYTHONPATH": "plugins", "WAREHOUSE": str(world.path), "KNOWN": known},
            capture_output=True,
            text=True,
            timeout=60,
        )

    (tmp_path / "known.csv").write_text("month,metric,value\n2025-01,visitors,99\n")
    done = command(str(tmp_path / "known.csv"))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith("\n1 of 1 miss by more than 5 % of theirs.\n")

    done = command("")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--known (KNOWN) is missing: A CSV with the columns month,metric,value.\n"
