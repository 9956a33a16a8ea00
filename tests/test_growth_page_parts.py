"""What the growth page is made of, without Airflow: intervals, filters, figures, the SQL."""

from __future__ import annotations

import re
from math import sqrt
from pathlib import Path

import jinja2
import plotly.graph_objects as go
import pytest

from growth.commands.render import render
from growth.language import definitions
from growth.language.queries import allowed, query_names, query_text, shapes
from growth.language.sql import Sql
from growth.language.tables import SQL_FOLDER
from growth.ui import figures, filters
from growth.ui.filters import BadRequest, Filters
from growth.ui.intervals import Z, rate
from growth.ui.pages import PAGES, health, retention
from growth.ui.parts import Table
from growth.ui.terms import Term

SQL = Sql(definitions.load())


# --- Intervals


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [
        (8, 10, 0.4901625, 0.9433178),
        (50, 100, 0.4038315, 0.5961685),
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (1, 1000, 0.0001765, 0.0056426),
    ],
)
def test_the_interval_is_wilsons(part: int, whole: int, low: float, high: float) -> None:
    found = rate(part, whole)
    assert found.value == part / whole
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    # What the interval is defined by: seen from a limit, the counted share lies z standard deviations away.
    for limit in (found.low, found.high):
        if min(limit, 1 - limit) < 1e-9:
            continue
        assert abs(found.value - limit) == pytest.approx(Z * sqrt(limit * (1 - limit) / whole))


@pytest.mark.parametrize(("part", "whole"), [(0, 0), (None, 5), (3, None)])
def test_a_share_of_nobody_is_no_rate(part: int | None, whole: int | None) -> None:
    assert rate(part, whole)[2:] == (None, None, None)


# --- Filters


def test_without_a_period_the_last_twelve_months_are_meant() -> None:
    months = [f"{year}-{month:02}-01" for year in (2025, 2026) for month in range(1, 13)]
    assert Filters().within(months) == Filters(since="2026-01-01", until="2026-12-01")
    assert Filters(until="2025-06-01").within(months).since == "2025-01-01"
    assert Filters().within([]).parameters["since"] == "0000-00-00"


def test_a_link_keeps_what_was_asked_for_and_escapes_it() -> None:
    asked = filters.read({"from": "2026-01", "source": "a&b=c", "q": "x y", "page": "3", "unknown": "1"})
    assert asked.address(page=None, q=None) == "?from=2026-01&source=a%26b%3Dc"
    assert asked.elsewhere() == "?from=2026-01&source=a%26b%3Dc"
    assert filters.read({}).elsewhere() == ""


@pytest.mark.parametrize(
    "query",
    [{"from": "2026-1"}, {"to": "2026-00"}, {"from": "2026-02", "to": "2026-01"}, {"page": "-1"}, {"page": "1e3"}]
    + [{name: "x" * 201} for name in ("source", "campaign", "q", "sort", "list")]
    + [{"source": "a\0b"}],
)
def test_what_is_no_filter_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        filters.read(query)


def test_a_pattern_means_its_signs() -> None:
    assert Filters(q="50%_A!").pattern == "%50!%!_a!!%"


# --- SQL


@pytest.mark.parametrize("name", query_names())
def test_a_query_has_a_sentence_and_binds_what_a_request_says(name: str) -> None:
    text = (SQL_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    assert re.match(r"-- [A-Z].*[.:,]\n", text)
    # A template writes words of the dictionary, macros, variables with allowed values, and texts of its own.
    own = ["db", "definitions", "raw_tables", *re.findall(r"\{% (?:set|for) (\w+)", text), *allowed(name)]
    for written in re.findall(r"\{\{(.*?)\}\}", text):
        assert re.match(rf" ({'|'.join(own)})\b| [',]", written), written
    for shape in shapes(name):
        assert not re.search(r"\{|\}", query_text(SQL, name, **shape))


def test_a_query_refuses_values_that_its_file_does_not_allow() -> None:
    for variables in ({"flag": "user_id"}, {"sort": "1; drop table run_state"}, {"colour": "red"}, {"counted": "yes"}):
        with pytest.raises(ValueError, match="the query page/user_list has no"):
            query_text(SQL, "page/user_list", **variables)


def test_the_shapes_of_a_query_have_every_value_of_every_variable() -> None:
    for name in query_names():
        for variable, values in allowed(name).items():
            assert {shape[variable] for shape in shapes(name)} == set(values), (name, variable)


def test_no_query_is_left_that_nothing_asks() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (SQL_FOLDER.parents[1] / "plugins").rglob("*.py"))
    assert [name for name in query_names() if f'"{name}"' not in code] == []


def test_no_python_of_pages_and_commands_holds_sql() -> None:
    plugins = SQL_FOLDER.parents[1] / "plugins"
    held = {
        path.name: found
        for folder in ("growth/ui", "growth/commands")
        for path in (plugins / folder).rglob("*.py")
        if path.name != "run.py"
        if (found := re.findall(r"\"(?:select|insert|delete|update) [^\"']*", path.read_text(encoding="utf-8")))
    }
    assert held == {}


def test_pages_read_marts_and_what_belongs_to_a_run_but_no_events() -> None:
    can_be_read = {
        "fct_acquisition_funnel", "fct_acquisition_funnel_by_channel", "fct_engagement_cohorts", "fct_active_users",
        "dim_user_health", "stg_users", "rejects", "raw_batches", "restatements", "check_results", "run_state",
        "work_lease", "work_scope_batches", "listed",
    }  # fmt: skip
    for name in query_names():
        for shape in shapes(name) if name.startswith("page/") else []:
            assert set(re.findall(r"\b(?:from|join) (\w+)", query_text(SQL, name, **shape))) <= can_be_read, name
    assert {table for page in PAGES for table in page.TABLES} <= can_be_read


def test_the_linter_gets_every_query_and_each_form_of_it_once(tmp_path: Path) -> None:
    render(tmp_path, ["sqlite", "postgres"])
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "sqlite").iterdir()}
    assert {name.replace("/", "__") for name in query_names()} <= {name.rpartition("_")[0] for name in written}
    others = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "postgres").iterdir()}
    assert "page__active_months_0.sql" in others
    assert [name for name, text in others.items() if written.get(name) == text] == []


# --- Explanations


def test_a_header_shows_its_sentence_to_a_mouse_and_to_a_keyboard_as_text() -> None:
    folder = SQL_FOLDER.parents[1] / "plugins/growth/ui/templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["figure"] = str
    draw = environment.get_template("parts.html.jinja").module.rows_of
    headers = ["month", Term("rate"), Term("size", 'Users who "signed up" in <month>.')]
    drawn = draw(Table(headers, [["2026-01", "1", "2"]]), "Caption")
    assert '<abbr tabindex="0" title="Users who &#34;signed up&#34; in &lt;month&gt;.">size</abbr>' in drawn
    assert drawn.count("<abbr") == 1


# --- Figures


def test_text_from_the_data_is_no_markup_in_a_figure() -> None:
    evil = "<b>bold</b> & <script>"
    said = "&lt;b&gt;bold&lt;/b&gt; &amp; &lt;script&gt;"
    one = rate(1, 2)
    assert figures.rates_by_channel([evil], {evil: [one]}).data[0].y == (said,)
    assert figures.rates_by_channel([evil], {evil: [one]}).data[0].name == said
    assert figures.stacked_lying_bars([evil], {evil: [1]}).data[0].y == (said,)
    assert figures.lying_bars([evil], [1], [evil]).data[0].text == (said,)


def test_months_are_names_with_the_last_one_said() -> None:
    months = [f"2025-{month:02}" for month in range(1, 13)] + ["2026-01"]
    axis = figures.bars(months, {"people": [1] * 13}).layout.xaxis
    assert axis.type == "category"
    assert axis.tickvals[-1] == "2026-01"
    assert axis.ticktext[-1] == "Jan<br>2026"
    assert len(axis.tickvals) <= figures.MOST_MONTHS


def test_the_themes_differ_in_every_colour() -> None:
    light, dark = (go.layout.Template(figures.template(theme)).layout for theme in figures.THEMES)
    assert not set(light.colorway) & set(dark.colorway)
    assert light.font.color != dark.font.color
    assert light.xaxis.gridcolor != dark.xaxis.gridcolor
    assert light.colorscale.sequential != dark.colorscale.sequential


def test_the_mean_curve_weighs_cohorts_by_their_size_and_waits_for_the_month_to_end() -> None:
    def cell(age: int, size: int, active: int, is_complete: int) -> dict[str, int]:
        return {"months_since_signup": age, "cohort_size": size, "active_users": active, "is_complete": is_complete}

    cohorts = {"2026-01": [cell(0, 10, 5, 1), cell(1, 10, 4, 1)], "2026-02": [cell(0, 30, 30, 1), cell(1, 30, 0, 0)]}
    assert retention.pooled(cohorts, [0, 1, 2]) == [35 / 40, 4 / 10]


@pytest.mark.parametrize(
    ("address", "left"), [("jane@example.com", "j***@***"), (None, "-"), ("", "-"), ("x", "x***@***")]
)
def test_of_an_address_the_first_letter_is_left(address: str | None, left: str) -> None:
    assert health.masked(address) == left
