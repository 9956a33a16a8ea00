"""make compare: the numbers of another dashboard beside ours, and for each that misses the table to look at next."""

from __future__ import annotations

import csv
import re
import textwrap
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from growth.commands.text import STAR, WIDTH, plain, table
from growth.engines import Connection, Place
from growth.errors import UserError
from growth.language import definitions
from growth.language.definitions import Definitions
from growth.language.queries import Reader, Row
from growth.language.sql import Sql
from growth.warehouse.scripts import plain_errors
from growth.warehouse.state import definitions_have_changed

COLUMNS = ("month", "metric", "value")
WITHIN = 5.0
SHOWN = 3  # reasons and names of each kind

EVENTS = ("raw_events", "raw_users")

_MONTH = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))(?:-01)?")
_RETENTION = re.compile(r"retention_month_(\d{1,3})")
_NUMBER = re.compile(r"(\d{1,15}|[1-9]\d{0,2}(?:,\d{3}){1,4})?(\.\d{1,15})?")


class Month(NamedTuple):
    """A calendar month, as the parameters of queries."""

    first_day: date

    @property
    def last_day(self) -> date:
        return self.first_day.replace(day=monthrange(*self.first_day.timetuple()[:2])[1])

    @property
    def parameters(self) -> dict[str, str]:
        first = self.first_day.isoformat()
        following = (self.last_day + timedelta(days=1)).isoformat()
        ends = {"first_date": first, "last_date": self.last_day.isoformat(), "next_month": following}
        return ends | {"since": first, "until": first}

    def after(self, months: int) -> Month:
        number = self.first_day.year * 12 + self.first_day.month - 1 + months
        return Month(date(number // 12, number % 12 + 1, 1))

    def __str__(self) -> str:
        return self.first_day.isoformat()[:7]


class Metric(NamedTuple):
    """A number of a month that dashboards show as well."""

    name: str
    query: str
    number: Callable[[list[Row]], float | None]
    """Finds it in the rows that the query gives for the month."""
    table: str
    """Where to look when nothing in the warehouse explains a difference."""
    why: str
    """Why numbers of this kind usually differ."""
    raw_tables: tuple[str, ...]
    """What it is counted from."""
    step: int | None = None
    """The step of the funnel, for its counts and rates."""
    is_rate: bool = False
    is_as_of: bool = False
    """Whether it is known for the as-of day only."""
    months_later: int = 0
    """How many months after the month it is counted."""


class Known(NamedTuple):
    """A line of the CSV: a number of the other dashboard."""

    where: str
    """The file and the line."""
    month: Month
    metric: Metric
    value: float


class Compared(NamedTuple):
    """A number of the other dashboard beside ours, which is None for a rate of nobody."""

    known: Known
    ours: float | None
    can_change: bool
    is_within: bool

    @property
    def difference(self) -> float | None:
        """In percent of theirs."""
        theirs = self.known.value
        return None if self.ours is None or (theirs == 0 and self.ours) else 100 * (self.ours - theirs) / (theirs or 1)


# --- What can be compared


def metrics(definitions: Definitions) -> dict[str, Metric]:
    """All metrics by name, apart from those of retention, of which there is one for each month."""
    funnel, active = definitions.funnel, ", ".join(definitions.active.meaningful_events)
    came = {"first_visit": "first visit", "signup": "signup"}[funnel.cohort_by]
    whys = {
        "active": f"Here only signed-up users with one of {active} on a day (in UTC) are active; dashboards often count"
        " anonymous visitors, any event, or days of another time zone.",
        "signups": "Here a person with several ids signs up once, in a month of UTC; dashboards often count accounts,"
        " including test accounts and deleted ones, in another time zone.",
        "first": f"Here a person counts once, in the month of their {came}, whatever ids they had; dashboards count"
        " devices, cookies or visits, and count them again in every month.",
        "step": f"Here a person counts in the month of their {came}, and only if they took the step in its order and"
        " within its window; dashboards usually count the month in which it happens.",
        "rate": "Here both counts are of the same people, those of the cohort; dashboards often divide what happened"
        " in a month by what else happened in it.",
        "as_of": "Here this is the state at the end of the as-of day, by the rules of include/definitions.yaml for"
        " statuses and prices; dashboards show the current moment, and often count trials or past_due differently.",
    }
    plans = (*EVENTS, "raw_subscriptions")
    months = "page/active_months"
    found = [
        *(
            Metric(name, months, _only(name), "int_user_engagement", whys["active"], EVENTS, is_rate=is_rate)
            for name, is_rate in (("active_users", False), ("avg_dau", False), ("stickiness", True))
        ),
        Metric("new_signups", months, _only("signups"), "stg_users", whys["signups"], ("raw_users",)),
        *(
            Metric(name, "page/health", _users(flag), look, whys["as_of"], raw_tables, is_as_of=True)
            for name, flag, look, raw_tables in (
                ("users", None, "stg_users", ("raw_users",)),
                ("paying_users", "is_paying", "stg_subscriptions", plans),
                ("at_risk_users", "is_at_risk", "dim_user_health", plans),
                ("upsell_ready_users", "is_upsell_ready", "dim_user_health", plans),
            )
        ),
    ]
    raw_tables = EVENTS
    cohorts = "page/funnel_cohorts"
    for number, step in enumerate(funnel.steps):
        if step.subscription:
            raw_tables = plans
        why = whys["step" if number else "first"]
        look = "stg_subscriptions" if step.subscription else "int_funnel_steps"
        found.append(Metric(step.people, cohorts, _only(step.people), look, why, raw_tables, number))
        if number:
            rate = f"{funnel.steps[number - 1].noun}_to_{step.noun}_rate"
            found.append(
                Metric(rate, cohorts, _only(rate), "int_funnel_steps", whys["rate"], raw_tables, number, is_rate=True)
            )
    return {metric.name: metric for metric in found}


def _only(column: str) -> Callable[[list[Row]], float | None]:
    return lambda rows: rows[0][column] if rows else None


def _users(flag: str | None) -> Callable[[list[Row]], float | None]:
    return lambda rows: sum(row["users"] for row in rows if flag is None or row[flag])


def _retention(name: str, months: int) -> Metric:
    def rate(cells: list[Row]) -> float | None:
        return next((cell["retention_rate"] for cell in cells if cell["months_since_signup"] == months), None)

    return Metric(
        name,
        "page/cohorts",
        rate,
        "fct_engagement_cohorts",
        "Here month N is the Nth calendar month after that of the signup, as a share of all who signed up;"
        " dashboards often count windows of 30 days from each signup, or only users who were active first.",
        EVENTS,
        is_rate=True,
        months_later=months,
    )


# --- What the other dashboard says


def read_known(path: Path, names: Mapping[str, Metric]) -> list[Known]:
    """The lines of the CSV. Raises UserError with the line for the first that cannot be compared."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            if sorted(header) != sorted(COLUMNS):
                raise UserError(
                    f"The file {path} begins with {','.join(header)[:60]!r}: make {','.join(COLUMNS)} its first line."
                )
            known = []
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    known.append(_line(path, reader.line_num, header, cells, names))
    except OSError as error:
        raise UserError(f"The file {path} cannot be read ({error.strerror}): name another with KNOWN=.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"The file {path} is not a CSV in UTF-8 ({error}): export it as one.") from None
    if not known:
        raise UserError(f"The file {path} has no line below its header: add one for each number to compare.")
    return known


def _line(path: Path, line: int, header: list[str], cells: list[str], names: Mapping[str, Metric]) -> Known:
    where = f"{path} line {line}"
    if len(cells) != len(header):
        raise UserError(
            f"{where} has {len(cells)} fields instead of {len(header)}: put quotes around a value with a comma in it."
        )
    month, name, value = (cells[header.index(column)].strip() for column in COLUMNS)
    if not (found := _MONTH.fullmatch(month)):
        raise UserError(f"{where}: the month is {month!r}: write it as 2026-10 or 2026-10-01.")
    retention = _RETENTION.fullmatch(name)
    metric = names.get(name) or (_retention(name, int(retention[1])) if retention else None)
    if not metric:
        known = ", ".join([*names, "retention_month_1 (2, 3, ...)"])
        raise UserError(f"{where}: the metric is {name!r}: write one of {known}.")
    return Known(where, Month(date.fromisoformat(f"{found[1]}-01")), metric, _value(where, metric, value))


def _value(where: str, metric: Metric, text: str) -> float:
    number = text.removesuffix("%").rstrip()
    is_percent = number != text
    if not number or not _NUMBER.fullmatch(number) or (metric.is_rate and "," in number):
        raise UserError(f"{where}: the value is {text!r}: write a number such as 1188{' or 12.5 %' * metric.is_rate}.")
    value = float(number.replace(",", ""))
    if is_percent and not metric.is_rate:
        raise UserError(f"{where}: {metric.name} is a count and {text!r} a percentage: write the number.")
    if metric.is_rate and not is_percent and value > 1:
        raise UserError(f"{where}: {metric.name} is a fraction and {text} more than 1: write {text} % if it is one.")
    return value / 100 if is_percent else value


# --- Beside ours


def compare(place: Place, known_file: Path, within: float = WITHIN) -> int:
    """Print the comparison; gives 0 where no number differs by more than `within` percent, else 1. Raises UserError."""
    words = definitions.load()
    lines = read_known(known_file, metrics(words))
    if not place.engine.exists(place):
        raise UserError(f"There is no warehouse {place}: make run builds it.")
    with plain_errors(place), closing(place.engine.read(place)) as connection:
        reader = Reader(Sql(words, place.kind), connection)
        published = _published_day(connection, reader, place)
        results = [beside_ours(reader, known, published, within) for known in lines]
        print(*_report(reader, results, published, within), sep="\n")
    return 0 if all(result.is_within for result in results) else 1


def _published_day(connection: Connection, reader: Reader, place: Place) -> date:
    if "run_state" not in reader.tables:
        raise UserError(f"The database {place} has no tables of a run yet: make run builds them.")
    published = reader.row("page/state")["published_date"]
    if not published:
        raise UserError(f"No run has published in the warehouse {place}: run again, then compare.")
    if definitions_have_changed(connection, reader.sql):
        raise UserError("The definitions have changed since the last run: run again, then compare.")
    return date.fromisoformat(published)


def beside_ours(reader: Reader, known: Known, published: date, within: float) -> Compared:
    """A known number beside ours. Raises UserError where the warehouse cannot have it."""
    _refuse_month_without_data(reader, known, published)
    metric, theirs = known.metric, known.value
    rows = reader.rows(metric.query, known.month.parameters)
    ours = metric.number(rows)
    if ours is None and not metric.is_rate:
        ours = 0
    # Later steps can be reached until the cohort is mature; other numbers are final when their month is over.
    is_final = not rows or (rows[0]["is_mature"] if metric.step else _is_over(known, published))
    # Dashboards show a rate of nobody as 0 %.
    return Compared(known, ours, not is_final, _is_within(theirs, ours or 0, within))


def _is_over(known: Known, published: date) -> bool:
    return known.month.after(known.metric.months_later).last_day <= published


def _is_within(theirs: float, ours: float, within: float) -> bool:
    # The last factor keeps rounding from excluding a number that lies exactly on the edge.
    return abs(ours - theirs) <= within / 100 * theirs * (1 + 1e-9)


def _refuse_month_without_data(reader: Reader, known: Known, published: date) -> None:
    months = reader.rows("page/months")
    first, last = (months[0]["month"] if months else published.isoformat())[:7], published.isoformat()[:7]
    month, metric = str(known.month), known.metric
    if metric.is_as_of and month != last:
        raise UserError(
            f"{known.where}: {metric.name} is known for the as-of day {published} only, not for {month}:"
            f" compare that of {last}, or leave the line out."
        )
    if month < first or str(known.month.after(metric.months_later)) > last:
        raise UserError(
            f"{known.where}: there is no {metric.name} of {month}, the warehouse has data of {first} to {last}:"
            " leave the line out, or run the missing days."
        )


# --- What is printed


def _report(reader: Reader, results: list[Compared], published: date, within: float) -> list[str]:
    rows = [
        [
            f"{r.known.month}   {r.known.metric.name}",
            _shown(r.known.metric, r.known.value),
            _shown(r.known.metric, r.ours) + (STAR if r.can_change else ""),
            "-" if r.difference is None else f"{r.difference:+z,.2f} %",
            "ok" if r.is_within else "MISS",
        ]
        for r in results
    ]
    note = "* can still change: the month is not over, or the cohort is not mature"
    lines = [f"Their numbers and ours as of {published}", ""]
    lines += table(["month     metric", "theirs", "ours", "difference", "verdict"], rows, note)
    misses = [result for result in results if not result.is_within]
    for miss in misses:
        look, clues = _clues(reader, miss, within)
        lines += ["", f"{miss.known.month} {miss.known.metric.name}: look at {look} next"]
        lines += textwrap.wrap(
            " ".join([miss.known.metric.why, *clues]), WIDTH, initial_indent="  ", subsequent_indent="  "
        )
    verdict = f"{len(misses)} of {len(results)} miss" if misses else f"All {len(results)} are within"
    return [*lines, "", f"{verdict}{' by more than' * bool(misses)} {within:g} % of theirs."]


def _shown(metric: Metric, value: float | None) -> str:
    if value is None:
        return "-"
    if metric.is_rate:
        return f"{100 * value:.2f} %"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _clues(reader: Reader, miss: Compared, within: float) -> tuple[str, list[str]]:
    """The table to look at next, and what the warehouse knows about the month.

    The first that explains the miss: days without batches, the month of the event instead of the cohort's, then a table
    that holds back as many rows as the count lacks; otherwise the table that the metric is counted from.
    """
    month, metric = miss.known.month, miss.known.metric
    if missing := _days_not_landed(reader, month):
        days = month.last_day.day
        return "raw_batches", [f"Of its {days} days {missing} have not been landed: run them with FROM=."]
    clues: list[str] = []
    held_back: Counter[str] = Counter()
    if metric.step:
        agrees, clues = _by_month_of_event(reader, miss, within)
        if agrees:
            return "int_funnel_steps", clues
    elif metric.step == 0:
        held_back["int_identities"] = reader.row("terminal/other_ids", month.parameters)["ids"]
        clues.append(f"These people have {held_back['int_identities']:,} more ids, which are not counted.")
    if miss.can_change and metric.step:
        cohort = reader.row("page/funnel_cohorts", month.parameters)
        clues.append(f"The cohort can grow until it is mature, on {cohort['matures_on']}.")
    elif miss.can_change:
        clues.append("The month is not over.")
    reasons: Counter[str] = Counter()
    for group in reader.rows("page/rejects", month.parameters, in_period=True):
        if group["table_name"] in metric.raw_tables:
            reasons[group["reject_reason"]] += group["rows_rejected"]
    held_back["rejects"] = reasons.total()
    sentence = f"{reasons.total():,} rows were rejected{_most_frequent(reasons)}"
    if "raw_events" in metric.raw_tables:
        events = reader.rows("terminal/unmapped_events", month.parameters)
        names = Counter({event["event_name"]: event["rows_seen"] for event in events})
        held_back["unmapped_events"] = names.total()
        sentence += f" and {names.total():,} had no rule in the mapping{_most_frequent(names)}"
    clues.append(f"Of the batches of that month {sentence}.")
    ((look, rows),) = held_back.most_common(1)
    gap = miss.known.value - (miss.ours or 0)
    return look if not metric.is_rate and 0 < gap <= rows else metric.table, clues


def _days_not_landed(reader: Reader, month: Month) -> int:
    """How many days of the month have no batch, up to the last day that has one."""
    as_of = date.fromisoformat(reader.row("page/state")["as_of_date"])
    days = (min(month.last_day, as_of) - month.first_day).days + 1
    return days - reader.row("terminal/landed_days", month.parameters)["days"]


def _by_month_of_event(reader: Reader, miss: Compared, within: float) -> tuple[bool, list[str]]:
    """Whether theirs is our number by the month in which the step was taken, and what to say about it."""
    month, metric = miss.known.month, miss.known.metric
    before, step = reader.definitions.funnel.steps[metric.step - 1 : metric.step + 1]
    taken = reader.row("terminal/steps_taken", month.parameters)
    by_event = taken[step.people] or 0
    clues = []
    if metric.is_rate:
        by_event /= taken[before.people] or 1
        cohort = reader.row("page/funnel_cohorts", month.parameters)
        clues.append(f"Here {cohort[step.people]:,} {step.people} of {cohort[before.people]:,} {before.people}.")
    agrees = _is_within(miss.known.value, by_event, within)
    verdict = "agrees with theirs" if agrees else "does not agree with theirs either"
    clues.append(f"By the month in which it happened ours is {_shown(metric, by_event)}, which {verdict}.")
    return agrees, clues


def _most_frequent(counts: Counter[str]) -> str:
    """The most frequent of some texts in brackets, in ASCII whatever the source has named them."""
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]
    shown = ", ".join(f"{plain(text, 40)} {rows:,}" for text, rows in largest)
    return f" ({shown}{', ...' * (len(counts) > SHOWN)})" if counts else ""
