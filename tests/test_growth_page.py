"""The growth page in Airflow's real app: who gets what, what it says, and what it says where there is nothing."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from airflow_home import ROOT
from page_probe import Probe
from page_world import two_years

from growth.language import definitions
from growth.language.tables import load_tables
from growth.local_airflow.environment import airflow_environment, prepare_airflow

pytestmark = pytest.mark.slow

PAGES = ["/", "/funnel", "/retention", "/active-users", "/health", "/data-quality"]
DOWNLOADS = ["/at-risk.csv", "/upsell-ready.csv", "/restatements.csv"]
EVIL = "<script>alert(1)</script> & <b>"


def connection_to(path: Path) -> str:
    return json.dumps({"conn_type": "sqlite", "host": str(path)})


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SAAS_GROWTH"))}
    env = airflow_environment(ROOT, base | {"AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow"))})
    prepare_airflow(ROOT, env)
    return env


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of the invented company, with a campaign and a plan's user that mean no good."""
    path = tmp_path_factory.mktemp("page world") / "warehouse.db"
    warehouse = two_years(path, 0.2)
    warehouse.connection.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        (campaign,) = connection.execute(
            "select utm_campaign from fct_acquisition_funnel_by_channel where utm_source = 'google' limit 1"
        ).fetchone()
        connection.execute(
            "update fct_acquisition_funnel_by_channel set utm_campaign = ? where utm_campaign = ?", (EVIL, campaign)
        )
        (user,) = connection.execute("select min(user_id) from dim_user_health where is_at_risk = 1").fetchone()
        connection.execute("update stg_users set email = '=cmd@evil.example' where user_id = ?", (user,))
    return path


@pytest.fixture(scope="module")
def app(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    probe = Probe(env, tmp_path_factory.mktemp("probe"))
    yield probe
    probe.close()


@pytest.fixture
def page(app: Probe, small: Path) -> Probe:
    app.connect(connection_to(small))
    return app


def ask(path: Path, query: str, *parameters: object) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, parameters).fetchall()


def figure(text: str, name: str) -> dict:
    """The figure of a name, as the browser gets it."""
    (found,) = re.findall(rf'<script type="application/json" id="figure-{name}">(.*?)</script>', text, flags=re.DOTALL)
    return json.loads(found)


def words_of(text: str) -> str:
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", text).split()))


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


# --- Who may see it


def concrete(path: str) -> str:
    """A path with something where the route takes a variable."""
    return re.sub(r"\{[^}]*\}", "something", path)


def test_every_route_is_closed_to_who_is_not_logged_in_or_may_not_read_the_dag(page: Probe) -> None:
    routes = page.routes()
    assert {path for path, _ in routes} >= {*PAGES, *DOWNLOADS}
    for path, methods in routes:
        # A mount would bring routes of its own that stand behind nothing.
        assert methods != ["MOUNT"], path
        for method in methods:
            assert page.get(concrete(path), user=None, method=method).status == 401, (method, path)
            assert page.get(concrete(path), user="nobody", method=method).status == 403, (method, path)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc", "/nothing", "/funnel/", "/static/x/growth.css"])
def test_what_is_no_route_is_closed_as_well(page: Probe, path: str) -> None:
    assert [page.get(path, user).status for user in (None, "nobody", "viewer")] == [401, 403, 404]


@pytest.mark.parametrize("path", PAGES + DOWNLOADS)
def test_who_may_read_the_dag_sees_every_page_and_download(page: Probe, path: str) -> None:
    assert {page.get(path, user).status for user in ("viewer", "editor", "admin")} == {200}


def test_a_page_can_only_be_read(page: Probe) -> None:
    assert {page.get("/", "admin", method).status for method in ("POST", "PUT", "PATCH", "DELETE")} == {404}


def test_a_token_that_is_none_opens_nothing(page: Probe) -> None:
    assert page.get("/", user=None, token="rubbish").status == 403


def test_who_is_refused_is_told_what_to_do(page: Probe) -> None:
    assert "your session is over: reload the whole page and log in again" in page.get("/health", None).text
    assert "needs the right to read the DAG saas_growth" in page.get("/health", "nobody").text


@pytest.mark.parametrize("path", ["/", "/health", "/at-risk.csv", "/nothing"])
@pytest.mark.parametrize("user", [None, "viewer"])
def test_every_answer_has_the_strict_policy_and_is_not_kept(page: Probe, path: str, user: str | None) -> None:
    headers = page.get(path, user).headers
    policy = dict(part.split(maxsplit=1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_has_no_script_of_its_own(page: Probe, path: str) -> None:
    text = page.get(path).text
    for address in re.findall(r'(?:src|href|action)="([^"]*)"', text):
        assert not re.match(r"(https?:)?//|/", html.unescape(address)), address
    for tag in re.findall(r"<script[^>]*>", text):
        assert 'type="application/json"' in tag or re.search(r' src="static/[0-9a-f]{16}/[\w.]+"', tag), tag
    assert not re.search(r"<[^>]+\son\w+=", text)


def test_static_files_are_kept_for_ever_under_a_name_that_changes_with_them(page: Probe) -> None:
    for address in re.findall(r'(?:src|href)="(static/[^"]*)"', page.get("/").text):
        answer = page.get(f"/{address}")
        assert (answer.status, answer.headers["cache-control"]) == (200, "private, max-age=31536000, immutable")
        assert page.get(f"/{address}", None).status == 401


# --- Personal data


@pytest.mark.parametrize("path", ["/health", "/at-risk.csv"])
def test_addresses_are_masked_but_for_those_who_may_edit_the_dag(page: Probe, path: str) -> None:
    assert "@example.com" in page.get(path, "editor").text
    seen = page.get(path, "viewer").text
    assert "@example.com" not in seen
    assert "***@***" in seen


def test_a_masked_address_cannot_be_found_by_searching_or_sorting(page: Probe, small: Path) -> None:
    email, user = ask(
        small,
        "select u.email, h.user_id from dim_user_health as h join stg_users as u using (user_id)"
        " where h.is_at_risk = 1 and u.email like '%@example.com' order by 2 limit 1",
    )[0]
    assert [row[0] for row in rows_of(page.get(f"/at-risk.csv?q={email}", "admin").text)[1:]] == [user]
    assert rows_of(page.get(f"/at-risk.csv?q={email}", "viewer").text)[1:] == []
    assert page.get("/at-risk.csv?sort=email", "admin").status == 200
    assert page.get("/at-risk.csv?sort=email", "viewer").status == 400


def test_a_spreadsheet_finds_no_formula_in_a_download(page: Probe) -> None:
    cells = [cell for row in rows_of(page.get("/at-risk.csv", "admin").text) for cell in row]
    assert "'=cmd@evil.example" in cells
    assert not any(cell[:1] in "=+-@" for cell in cells if cell)


# --- What it shows


def test_the_overview_says_the_marts_numbers_with_their_denominators(page: Probe, small: Path) -> None:
    said = words_of(page.get("/").text)
    ((signups, users, active),) = ask(
        small,
        "select sum(case when months_since_signup = 0 then cohort_size end), sum(cohort_size), sum(active_users)"
        " from fct_engagement_cohorts where activity_month = '2026-10-01'",
    )
    assert f"Signups {signups:,} in 2026-10" in said
    assert f"Monthly active users {active:,} in 2026-10, of {users:,} users" in said
    ((activated, signed_up, matures_on),) = ask(
        small, "select activated, signups, matures_on from fct_acquisition_funnel where cohort_month = '2026-10-01'"
    )
    assert f"Signup to activation {100 * activated / signed_up:.1f} % {activated} of {signed_up} signups" in said
    assert f"Can still change until {matures_on}" in said
    ((at_risk, paying),) = ask(small, "select sum(is_at_risk), sum(is_paying) from dim_user_health")
    assert f"At risk {at_risk} {100 * at_risk / paying:.1f} % of {paying} paying users" in said
    assert "Data as of 2026-10-31" in said


def test_the_funnel_draws_each_cohort_and_marks_those_that_can_still_change(page: Probe, small: Path) -> None:
    text = page.get("/funnel").text
    cohorts = ask(
        small,
        "select substr(cohort_month, 1, 7), visitors, paid, is_mature, visit_to_signup_rate"
        " from fct_acquisition_funnel order by 1 desc limit 12",
    )[::-1]
    people, rates = figure(text, "people"), figure(text, "rates")
    assert people["data"][0]["x"] == [c[0] for c in cohorts]
    assert people["data"][0]["y"] == [c[1] for c in cohorts]
    assert people["data"][-1]["y"] == [c[2] for c in cohorts]
    assert [shape == "" for shape in people["data"][0]["marker"]["pattern"]["shape"]] == [bool(c[3]) for c in cohorts]
    assert rates["data"][0]["y"] == [c[4] for c in cohorts]
    assert [s == "circle" for s in rates["data"][0]["marker"]["symbol"]] == [bool(c[3]) for c in cohorts]
    # All steps together count final cohorts only.
    assert figure(text, "funnel")["data"][0]["x"][0] == sum(c[1] for c in cohorts if c[3])


def test_a_channels_numbers_are_those_of_the_channel(page: Probe, small: Path) -> None:
    text = page.get("/funnel?from=2025-01&to=2025-06&source=google").text
    ((visitors, paid),) = ask(
        small,
        "select sum(visitors), sum(paid) from fct_acquisition_funnel_by_channel"
        " where utm_source = 'google' and cohort_month between '2025-01-01' and '2025-06-01'",
    )
    drawn = figure(text, "funnel")["data"][0]["x"]
    assert (drawn[0], drawn[-1]) == (visitors, paid)
    assert len(figure(text, "people")["data"][0]["x"]) == 6
    assert '<option value="google" selected>' in text


def test_the_triangle_has_every_cell(page: Probe, small: Path) -> None:
    cells = figure(page.get("/retention?from=2025-06&to=2025-12").text, "triangle")["data"][0]
    for cohort, shares in zip(cells["y"], cells["z"], strict=True):
        expected = ask(
            small,
            "select retention_rate from fct_engagement_cohorts where cohort_month = ? order by months_since_signup",
            f"{cohort}-01",
        )
        assert [share for share in shares if share is not None] == [rate for (rate,) in expected]


def test_calendar_months_count_each_user_once(page: Probe, small: Path) -> None:
    before, new = figure(page.get("/active-users").text, "monthly")["data"]
    drawn = dict(zip(before["x"], map(sum, zip(before["y"], new["y"], strict=True)), strict=True))
    assert drawn == dict(
        ask(
            small,
            "select substr(activity_month, 1, 7), count(distinct user_id) from int_user_engagement"
            " where activity_month >= '2025-11-01' group by 1",
        )
    )


def test_active_users_by_day_are_the_marts(page: Probe, small: Path) -> None:
    text = page.get("/active-users?from=2025-03&to=2025-05").text
    days = ask(
        small,
        "select activity_date, daily_active_users, weekly_active_users, monthly_active_users, stickiness"
        " from fct_active_users where activity_date between '2025-03-01' and '2025-05-31' order by 1",
    )
    assert [trace["x"] for trace in figure(text, "daily")["data"]] == [[d[0] for d in days]] * 3
    assert [trace["y"] for trace in figure(text, "daily")["data"]] == [[d[n] for d in days] for n in (1, 2, 3)]
    assert figure(text, "stickiness")["data"][0]["y"] == [d[4] for d in days]
    ends = ask(
        small,
        "select retained_users, resurrected_users, new_users, -dormant_users from fct_active_users"
        " where activity_date in ('2025-03-31', '2025-04-30', '2025-05-31') order by activity_date",
    )
    assert [trace["y"] for trace in figure(text, "lifecycle")["data"]] == [list(n) for n in zip(*ends, strict=True)]


def test_the_distribution_counts_every_user_once(page: Probe, small: Path) -> None:
    ((users,),) = ask(small, "select count(*) from dim_user_health")
    drawn = figure(page.get("/health").text, "scores")["data"]
    assert sum(n or 0 for trace in drawn for n in trace["y"]) == users


def test_a_score_of_100_is_drawn(page: Probe, app: Probe, small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "full marks.db"
    shutil.copy(small, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("update dim_user_health set overall_health_score = 100, health_status = 'healthy'")
        ((users,),) = connection.execute("select count(*) from dim_user_health").fetchall()
    app.connect(connection_to(copy))
    assert figure(app.get("/health").text, "scores")["data"][0]["y"][-1] == users


def test_a_list_is_sorted_searched_and_paged_by_the_database(page: Probe, small: Path) -> None:
    expected = ask(
        small,
        "select user_id, at_risk_reason from dim_user_health where is_at_risk = 1 and plan_name = 'Pro'"
        " order by last_active_date is null, last_active_date desc, user_id",
    )
    found = rows_of(page.get("/at-risk.csv?q=pro&sort=last_active_date&order=desc").text)
    assert [(row[0], row[-1]) for row in found[1:]] == expected
    assert len(expected) > 25, "too few for a second page"
    shown = page.get("/health?list=at-risk&q=pro&sort=last_active_date&order=desc&page=2").text
    assert re.findall(r"<td>(u\d+)</td>", shown) == [user for user, _ in expected[25:50]]
    assert f"26 to {min(50, len(expected))} of {len(expected)}" in shown
    assert 'aria-sort="descending"' in shown


def test_a_search_takes_its_signs_for_what_they_are(page: Probe) -> None:
    for signs in ("%", "_", "!", "' or 1=1 --", "\\"):
        found = page.get("/health", "admin").text if signs == "" else page.get(f"/at-risk.csv?q={signs}", "admin").text
        assert all(signs in "".join(row) for row in rows_of(found)[1:]), signs


def test_the_download_has_all_rows_of_the_list(page: Probe, small: Path) -> None:
    for name, flag in (("at-risk", "is_at_risk"), ("upsell-ready", "is_upsell_ready")):
        ((users,),) = ask(small, f"select count(*) from dim_user_health where {flag} = 1")
        answer = page.get(f"/{name}.csv")
        assert len(rows_of(answer.text)) == users + 1
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}.csv"'


def test_data_quality_says_what_the_warehouse_says(page: Probe, small: Path) -> None:
    text = page.get("/data-quality").text
    ((checks,),) = ask(
        small, "select count(*) from check_results where run_id = (select published_run_id from run_state)"
    )
    assert f"{checks} passed, 0 warned, 0 failed" in words_of(text)
    ((rejects,),) = ask(small, "select count(*) from rejects")
    assert sum(n for trace in figure(text, "rejects")["data"] for n in trace["x"]) == rejects
    restated = ask(small, "select count(*) from restatements")[0][0]
    assert len(rows_of(page.get("/restatements.csv").text)) == restated + 1


def test_a_campaign_that_is_a_script_is_shown_as_text(page: Probe) -> None:
    text = page.get("/funnel?source=google").text
    assert EVIL not in text
    assert html.escape(EVIL, quote=False) in text
    # Plotly reads tags in text: it gets entities, within JSON that cannot end its element.
    assert html.escape(EVIL, quote=False) in figure(text, "channels")["data"][0]["y"]


def test_there_is_a_table_and_a_label_for_each_chart(page: Probe) -> None:
    for path in PAGES:
        text = page.get(path).text
        charts = re.findall(r'<div class="chart" id="([\w-]+)" role="img" aria-labelledby="([^"]+)"', text)
        assert len(charts) == text.count('class="chart"') > 0
        for name, labels in charts:
            assert all(f'id="{label}"' in text for label in labels.split())
            section = text.split(f'id="figure-{name}"')[1].split("</section>")[0]
            assert "<caption" in section
            assert section.count("<tr>") > 1


def test_words_are_explained_by_the_descriptions_of_their_columns(page: Probe) -> None:
    tables = load_tables(definitions.load())
    for path, table, column in (
        ("/", "dim_user_health", "is_at_risk"),
        ("/funnel", "fct_acquisition_funnel", "activation_to_paid_rate"),
        ("/retention", "fct_engagement_cohorts", "retention_rate"),
        ("/active-users", "fct_active_users", "stickiness"),
        ("/health?list=upsell-ready", "dim_user_health", "upsell_reason"),
        ("/health", "stg_users", "email"),
        ("/data-quality", "rejects", "reject_reason"),
    ):
        sentence = tables[table].columns[column].sentence.replace("`", "")
        assert f'title="{sentence}"' in html.unescape(page.get(path, "editor").text), (path, column)


def test_links_and_forms_keep_what_was_asked_for(page: Probe) -> None:
    text = page.get("/retention?from=2025-03&to=2025-08").text
    assert 'href="funnel?from=2025-03&amp;to=2025-08"' in text
    assert text.count("<option selected>2025-03</option>") == 1
    assert text.count("<option selected>2025-08</option>") == 1


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("/funnel?from=2025-13", "The filter from is '2025-13', which is not a month: write it like 2026-10."),
        ("/funnel?from=2026-02&to=2026-01", "swap them"),
        ("/funnel?source=" + "x" * 201, "longer than 200 characters"),
        ("/health?sort=password", "cannot be sorted by 'password'"),
        ("/health?order=up", "write asc or desc"),
        ("/health?list=all", "choose one of at-risk, upsell-ready"),
        ("/health?page=0", "pages are numbers from 1 on"),
        ("/at-risk.csv?sort=1;drop", "cannot be sorted by"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(page: Probe, query: str, sentence: str) -> None:
    answer = page.get(query)
    assert answer.status == 400
    assert sentence in html.unescape(answer.text)


@pytest.mark.parametrize(
    "query", ["/funnel?source=nowhere", "/retention?from=1999-01&to=1999-02", "/active-users?to=1999-01"]
)
def test_a_filter_that_nobody_fits_is_said_so(page: Probe, query: str) -> None:
    answer = page.get(query)
    assert answer.status == 200
    assert "choose another" in answer.text


# --- Where there is nothing, or nothing new


def test_a_missing_connection_is_said_so(app: Probe) -> None:
    app.connect(None)
    answer = app.get("/")
    assert answer.status == 503
    assert "The connection growth_warehouse is missing in the API server" in answer.text


def test_another_kind_of_database_is_said_so(app: Probe) -> None:
    app.connect("mysql://growth@db/growth")
    assert "is of type mysql: the warehouse runs on sqlite, duckdb, postgres" in app.get("/").text


@pytest.mark.parametrize("path", ["/", "/at-risk.csv"])
def test_a_missing_file_is_said_so_and_none_is_made(app: Probe, tmp_path: Path, path: str) -> None:
    app.connect(connection_to(tmp_path / "missing.db"))
    answer = app.get(path)
    assert answer.status == 503
    assert "is not there yet, or not visible to the API server" in answer.text
    assert not (tmp_path / "missing.db").exists()


def test_a_file_that_is_no_database_is_said_so(app: Probe, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database" * 100)
    app.connect(connection_to(tmp_path / "text.db"))
    assert "is not a SQLite database" in app.get("/").text


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_warehouse_is_said_so(app: Probe, tmp_path: Path, path: str) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    app.connect(connection_to(tmp_path / "empty.db"))
    answer = app.get(path)
    assert answer.status == 200
    assert "Nothing has been published yet: trigger the DAG saas_growth" in answer.text


def test_a_mart_that_is_not_there_yet_is_left_out(app: Probe, small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "without.db"
    shutil.copy(small, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("drop table fct_acquisition_funnel_by_channel")
    app.connect(connection_to(copy))
    text = app.get("/retention").text
    assert ">Retention</a>" in text
    assert ">Funnel</a>" not in text


def test_a_failed_run_is_announced_and_what_is_shown_is_older(app: Probe, small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "failed.db"
    shutil.copy(small, copy)
    app.connect(connection_to(copy))
    assert 'class="banner' not in app.get("/").text
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("insert into work_scope_batches values ('2026-11-01')")
        connection.execute("insert into work_lease (only, dag_id, run_id) values (1, 'saas_growth', 'tomorrow')")
        connection.execute("update run_state set as_of_date = '2026-11-01'")
    said = words_of(app.get("/").text)
    assert "Rows up to 2026-11-01 have arrived and are not published" in said
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute(
            "insert into check_results values"
            " ('saas_growth', 'tomorrow', 'stg_users__one_row_for_each_user', 'error', 3),"
            " ('saas_growth', 'tomorrow', 'stg_users__emails_look_like_emails', 'warn', 1)"
        )
    said = words_of(app.get("/retention").text)
    assert "The last run failed 1 of its checks and has published nothing: this page is as of 2026-10-31" in said
    assert "while rows up to 2026-11-01 have arrived" in said
    checks = words_of(app.get("/data-quality").text)
    assert "tomorrow, which has not published: 0 passed, 1 warned, 1 failed" in checks
    assert "failed stg_users A user has one row. 3" in checks


def test_no_page_can_write_and_none_sees_half_of_a_publish(small: Path) -> None:
    """The connection itself refuses, and what is read in one request is of one moment."""
    script = """
import json, sqlite3, sys
from growth.ui.warehouse import reading
with reading() as reader:
    before = reader.row("page/state")
    writer = sqlite3.connect(sys.argv[1])
    with writer:
        writer.execute("update run_state set published_date = '2030-01-01'")
    assert reader.row("page/state") == before
    for statement in ("create table t (a)", "drop table run_state", "pragma query_only = off", "drop table run_state"):
        try:
            reader._connection.execute(statement)
        except sqlite3.OperationalError:
            continue
        if "pragma" not in statement:
            print("WRITTEN", statement)
    try:
        reader._connection.execute("delete from run_state")
        print("WRITTEN")
    except sqlite3.OperationalError as error:
        print("REFUSED", error)
with writer:
    writer.execute("update run_state set published_date = '2026-10-31'")
"""
    env = os.environ | {"AIRFLOW_CONN_GROWTH_WAREHOUSE": connection_to(small), "PYTHONPATH": str(ROOT / "plugins")}
    done = subprocess.run([sys.executable, "-c", script, str(small)], env=env, capture_output=True, text=True)
    assert "REFUSED attempt to write a readonly database" in done.stdout, done.stdout + done.stderr
    assert "WRITTEN" not in done.stdout


def test_steps_of_the_dictionary_are_the_steps_of_the_page(
    app: Probe, small: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    """A dictionary that is ahead of the tables is said so; nobody sees an error of the database."""
    copy = tmp_path / "ahead.db"
    shutil.copy(small, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("alter table fct_acquisition_funnel rename column paid to customers")
    app.connect(connection_to(copy))
    answer = app.get("/funnel")
    assert answer.status == 503
    assert "lacks tables that the definitions name" in answer.text


# --- What a task pays


def test_a_task_does_not_pay_for_the_page(env: dict[str, str]) -> None:
    """As Airflow does it in each task: all plugins are loaded, and their macros are."""
    script = """
import sys, time
import airflow.sdk, airflow.plugins_manager
from airflow.sdk.plugins_manager import integrate_macros_plugins
before = set(sys.modules)
started = time.process_time()
sys.path.insert(0, sys.argv[1])
import growth_page
seconds = time.process_time() - started
integrate_macros_plugins()
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print("FOUND", seconds < 0.05, seconds, sorted(new & {"fastapi", "starlette", "plotly", "uvicorn"}))
print("LOADED", [plugin.name for plugin in airflow.plugins_manager._get_plugins()[0]], "growth.ui" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "plugins")], env=env, capture_output=True, text=True, check=False
    )
    assert re.search(r"FOUND True [\d.e-]+ \[\]\n", done.stdout), done.stdout + done.stderr
    assert re.search(r"LOADED .*'growth_page'.* False\n", done.stdout), done.stdout + done.stderr


def test_the_package_beside_the_plugin_is_not_loaded_as_plugins(env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "plugins", "-o", "json"], env=env, capture_output=True, text=True, check=False
    )
    assert "growth_page" in done.stdout, done.stdout + done.stderr
    assert "import_errors" not in done.stdout


def test_a_broken_page_does_not_stop_the_api_server() -> None:
    script = """
import sys, builtins
sys.modules["plotly"] = None  # importing it fails
sys.path.insert(0, sys.argv[1])
import growth_page
print("APPS", growth_page.GrowthPage().fastapi_apps)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "plugins")], capture_output=True, text=True, check=False
    )
    assert "APPS []" in done.stdout, done.stdout + done.stderr
    assert "The growth page cannot be loaded: install requirements.txt" in done.stdout + done.stderr
