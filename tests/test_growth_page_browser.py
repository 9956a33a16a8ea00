"""The growth page in a real Chromium, inside a running Airflow that has a sub-path: what a person sees and does."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from page_world import Server, chromium, two_years
from playwright.sync_api import Browser, FrameLocator, Page, expect

pytestmark = [pytest.mark.slow, pytest.mark.needs("browser")]

PAGES = {
    "Overview": ["months"],
    "Funnel": ["funnel", "rates", "people", "channels"],
    "Retention": ["triangle", "curves"],
    "Active users": ["daily", "lifecycle", "stickiness", "monthly"],
    "Health": ["scores", "statuses"],
    "Data quality": ["rejects", "causes"],
}

# What the page says of Airflow's frame, whatever is in it.
OF_AIRFLOW = "An iframe which has both allow-scripts and allow-same-origin"

TRACES = "chart => chart.data.map(trace => ({x: trace.x, y: trace.y, z: trace.z, name: trace.name}))"
# What bars, points and heat maps are made of.
SHAPES = (".barlayer path", ".scatterlayer path", ".heatmaplayer image")

BACKGROUND = "body => getComputedStyle(body).backgroundColor"
BACKGROUND_OF_AIRFLOW = """body => {
    const painted = body.appendChild(document.createElement("div"));
    painted.style.background = "var(--chakra-colors-bg)";
    const colour = getComputedStyle(painted).backgroundColor;
    painted.remove();
    return colour;
}"""
WIDER_THAN_ITSELF = "html => html.scrollWidth > html.clientWidth"
# Labels of a figure that lie outside of it, or upon each other on one axis.
CLIPPED = """chart => {
    const frame = chart.getBoundingClientRect();
    const found = [];
    for (const axis of ["xtick", "ytick"]) {
        let before = null;
        for (const label of chart.querySelectorAll(`.${axis} text`)) {
            const box = label.getBoundingClientRect();
            if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
                || box.bottom > frame.bottom + 1) found.push(`${label.textContent} is cut`);
            const isTurned = (label.getAttribute("transform") || "").match(/rotate\\(-?[1-9]/);
            if (before && !isTurned && box.left < before.right - 1 && before.left < box.right - 1
                && box.top < before.bottom - 1 && before.top < box.bottom - 1)
                found.push(`${label.textContent} overlaps`);
            before = box;
        }
    }
    return found;
}"""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page world") / "warehouse.db"
    two_years(path, 0.3).connection.close()
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, warehouse: Path) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("airflow"), warehouse, "/airflow")
    with server.running():
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Visit:
    """Somebody who has logged in, and all that the browser had to complain of."""

    def __init__(self, browser: Browser, server: Server, user: str) -> None:
        self.context = browser.new_context(viewport={"width": 1440, "height": 1000})
        self.server = server
        self.page: Page = self.context.new_page()
        server.log_in(self.page, user)
        self.complaints: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message: object) -> None:
        if message.type in ("error", "warning") and OF_AIRFLOW not in message.text:
            self.complaints.append(message.text)

    def _asked(self, request: object) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https") and address.netloc != urlsplit(self.server.url).netloc:
            self.complaints.append(f"asked {request.url}")

    @property
    def growth(self) -> FrameLocator:
        return self.page.frame_locator("iframe")

    def open(self, title: str) -> None:
        self.growth.locator("html").evaluate("html => html.setAttribute('data-left', '')")
        self.growth.get_by_role("link", name=title, exact=True).click()
        self.growth.locator("html:not([data-left])").wait_for(state="attached")
        expect(self.growth.get_by_role("heading", level=1, name=title)).to_be_visible()
        self.wait_for_charts()

    def wait_for_charts(self) -> None:
        charts = self.growth.locator(".chart")
        for n in range(charts.count()):
            charts.nth(n).locator(".main-svg").first.wait_for(state="attached")

    def traces(self, name: str) -> list[dict]:
        return self.growth.locator(f"#{name}").evaluate(TRACES)


@pytest.fixture(scope="module")
def admin(browser: Browser, server: Server) -> Iterator[Visit]:
    visit = Visit(browser, server, "admin")
    visit.page.get_by_role("link", name="Growth").click()
    expect(visit.growth.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    yield visit
    visit.context.close()


@pytest.fixture
def visit(admin: Visit) -> Iterator[Visit]:
    admin.complaints.clear()
    yield admin
    assert admin.complaints == []


def ask(path: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_each_entry_opens_its_page_with_every_chart_drawn(visit: Visit) -> None:
    for title, charts in PAGES.items():
        visit.open(title)
        drawn = visit.growth.locator(".chart").evaluate_all("charts => charts.map(chart => chart.id)")
        assert drawn == charts
        for chart in charts:
            drawn_as = ", ".join(f"#{chart} {shape}" for shape in SHAPES)
            expect(visit.growth.locator(drawn_as).first).to_be_attached()


def test_what_is_drawn_is_what_the_marts_say(visit: Visit, warehouse: Path) -> None:
    visit.open("Funnel")
    cohorts = ask(
        warehouse,
        "select substr(cohort_month, 1, 7), visitors, signups, activated, paid from fct_acquisition_funnel"
        " order by 1 desc limit 12",
    )[::-1]
    traces = visit.traces("people")
    assert traces[0]["x"] == [cohort[0] for cohort in cohorts]
    assert [trace["y"] for trace in traces] == [list(numbers) for numbers in list(zip(*cohorts, strict=True))[1:]]
    visit.open("Retention")
    cells = ask(
        warehouse,
        "select retention_rate from fct_engagement_cohorts where cohort_month >= '2025-11-01'"
        " order by cohort_month, months_since_signup",
    )
    drawn = [rate for row in visit.traces("triangle")[0]["z"] for rate in row if rate is not None]
    assert drawn == [rate for (rate,) in cells]


def test_the_form_filters_and_its_address_can_be_shared(visit: Visit, warehouse: Path) -> None:
    visit.open("Funnel")
    visit.growth.get_by_role("combobox", name="From", exact=True).select_option("2025-01")
    visit.growth.get_by_role("combobox", name="To", exact=True).select_option("2025-06")
    visit.growth.get_by_role("combobox", name="Source", exact=True).select_option("google")
    visit.growth.get_by_role("button", name="Show").click()
    expect(visit.growth.get_by_role("heading", name="Rates by campaign")).to_be_visible()
    visit.wait_for_charts()
    expected = ask(
        warehouse,
        "select sum(visitors) from fct_acquisition_funnel_by_channel where utm_source = 'google'"
        " and cohort_month between '2025-01-01' and '2025-06-01' group by cohort_month order by cohort_month",
    )
    assert visit.traces("people")[0]["y"] == [visitors for (visitors,) in expected]
    # The address of the whole window shows the same to whoever gets it.
    visit.page.wait_for_url("**/plugin/growth/airflow/growth/funnel?from=2025-01&to=2025-06&source=google**")
    visit.page.reload()
    expect(visit.growth.get_by_role("combobox", name="Source", exact=True)).to_have_value("google")
    visit.wait_for_charts()
    assert visit.traces("people")[0]["y"] == [visitors for (visitors,) in expected]
    # The period goes along to another page.
    visit.open("Active users")
    assert visit.traces("monthly")[0]["x"] == [f"2025-0{month}" for month in range(1, 7)]
    visit.growth.get_by_role("link", name="Reset").click()
    expect(visit.growth.get_by_role("combobox", name="To", exact=True)).to_have_value("2026-10")


def test_a_list_is_sorted_searched_paged_and_downloaded(visit: Visit, warehouse: Path, tmp_path: Path) -> None:
    visit.open("Health")
    users = [
        u for (u,) in ask(warehouse, "select user_id from dim_user_health where is_at_risk = 1 order by user_id desc")
    ]
    visit.growth.get_by_role("link", name="User", exact=True).click()
    visit.growth.locator("th[aria-sort=ascending]", has_text="User").wait_for()
    visit.growth.get_by_role("link", name="User", exact=True).click()
    visit.growth.locator("th[aria-sort=descending]", has_text="User").wait_for()
    cells = visit.growth.locator("#list tbody tr td:first-child")
    assert cells.all_inner_texts() == users[:25]
    visit.growth.get_by_role("link", name="Next").click()
    expect(visit.growth.get_by_text(f"26 to {min(50, len(users))} of {len(users)}")).to_be_visible()
    assert cells.all_inner_texts() == users[25:50]

    visit.growth.get_by_label("Search").fill(users[3])
    visit.growth.get_by_label("Search").press("Enter")
    expect(cells).to_have_text([users[3]])
    with visit.page.expect_download() as download:
        visit.growth.get_by_role("link", name="Download as CSV").click()
    download.value.save_as(tmp_path / "list.csv")
    rows = list(csv.DictReader((tmp_path / "list.csv").open()))
    assert [row["user_id"] for row in rows] == [users[3]]
    assert download.value.suggested_filename == "at-risk.csv"


def test_it_follows_airflows_theme_while_it_is_open(visit: Visit) -> None:
    visit.open("Funnel")
    body, text = visit.growth.locator("body"), visit.growth.locator("#people .xtick text").first
    colour = "text => getComputedStyle(text).fill"

    seen = {}
    for theme in ("Dark", "Light"):
        visit.page.get_by_role("button", name="User").click()
        visit.page.get_by_role("menuitem", name="Appearance").hover()
        visit.page.get_by_role("menuitem", name=f"{theme} mode").or_(
            visit.page.get_by_role("menuitemradio", name=f"{theme} mode")
        ).first.click()
        visit.growth.locator(f"html.{theme.lower()}").wait_for()
        expect(body).to_have_css("background-color", visit.page.locator("body").evaluate(BACKGROUND_OF_AIRFLOW))
        seen[theme] = (body.evaluate(BACKGROUND), text.evaluate(colour))
    assert seen["Dark"][0] != seen["Light"][0]
    assert seen["Dark"][1] != seen["Light"][1]


def test_keys_alone_reach_the_table_behind_a_chart(visit: Visit) -> None:
    visit.open("Overview")
    summary = visit.growth.locator("summary").first
    summary.focus()
    summary.press("Enter")
    expect(visit.growth.locator("details table").first).to_be_visible()


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_nothing_is_cut_or_lies_upon_another_at_any_width(visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 1000})
    for title in PAGES:
        visit.open(title)
        visit.page.wait_for_timeout(300)  # a figure takes its size when it is seen
        assert not visit.growth.locator("html").evaluate(WIDER_THAN_ITSELF), title
        for chart in visit.growth.locator(".chart").all():
            assert chart.evaluate(CLIPPED) == [], (title, chart.get_attribute("id"))
    visit.page.set_viewport_size({"width": 1440, "height": 1000})


def test_the_sentences_of_checks_leave_room_for_their_numbers(visit: Visit) -> None:
    visit.open("Data quality")
    visit.growth.locator("details").evaluate_all("all => all.forEach(details => details.open = true)")
    for table in visit.growth.locator("[role=region].scroll").all():
        assert not table.evaluate(WIDER_THAN_ITSELF), table.get_attribute("aria-label")


def test_who_may_only_read_sees_no_address(browser: Browser, server: Server) -> None:
    visit = Visit(browser, server, "viewer")
    visit.page.goto(f"{server.url}/plugin/growth/airflow/growth/health")
    expect(visit.growth.get_by_text("***@***").first).to_be_visible()
    assert "@example.com" not in visit.growth.locator("body").inner_text()
    assert visit.complaints == []
    visit.context.close()


def test_a_session_that_is_over_is_said_so(browser: Browser, server: Server) -> None:
    visit = Visit(browser, server, "viewer")
    visit.page.goto(f"{server.url}/plugin/growth/airflow/growth/")
    expect(visit.growth.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    visit.context.clear_cookies()
    visit.growth.get_by_role("link", name="Funnel").click()
    expect(visit.growth.get_by_role("alert")).to_contain_text("your session is over: reload the whole page")
    visit.context.close()
