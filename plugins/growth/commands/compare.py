"""make compare: the numbers of another dashboard beside ours, and for each that misses the table to look at next."""

from __future__ import annotations

import csv
import re
import textwrap
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from growth.commands.summary import STAR, WIDTH, table
from growth.engines import Connection, Place
from growth.errors import UserError
from growth.language.definitions import Definitions
from growth.language.sql import Sql
from growth.warehouse.scripts import plain_errors
from growth.warehouse.state import definitions_have_changed

COLUMNS = ("month", "metric", "value")
WITHIN = 5.0
SHOWN = 3  # reasons and names of each kind

EVENTS = ("raw_events", "raw_users")
COHORT = "cohort_month = :month"
IN_MONTH = "{0} >= :month and {0} < :month_after"
NOT_OVER = "(select last_day > published_day from calendar_months cross join run_state where month = :month)"

_MONTH = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))(?:-01)?")
_RETENTION = re.compile(r"retention_month_(\d{1,3})")
_NUMBER = re.compile(r"(\d{1,15}|[1-9]\d{0,2}(?:,\d{3}){1,4})?(\.\d{1,15})?")


class Metric(NamedTuple):
    """A number of a month that dashboards show, too."""

    name: str
    query: str  # gives the number, and whether it can still change
    table: str  # where to look when nothing in the warehouse says more
    why: str  # why numbers of this kind usually differ
    feeds: tuple[str, ...]  # the raw tables that it is counted from
    step: int | None = None  # of the funnel, for its counts and rates
    is_rate: bool = False
    is_as_of: bool = False  # known for the as-of day only
    months_later: int = 0  # when the month lies that is counted in


class Known(NamedTuple):
    """A line of the CSV: what the other dashboard says."""

    where: str  # the file and the line
    month: str
    metric: Metric
    value: float


class Compared(NamedTuple):
    """What it says beside what we say; ours is None for a rate of nobody."""

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
    """All that have a name of their own, by name; the months of retention have names without end."""
    funnel, active = definitions.funnel, ", ".join(definitions.active.meaningful_events)
    came = {"first_visit": "first visit", "signup": "signup"}[funnel.cohort_by]
    whys = {
        "active": f"Here only signed-up users with one of {active} on a day (in UTC) are active; dashboards often count"
        " anonymous visitors, any event, or days of another time zone.",
        "signups": "Here a person with several ids signs up once, in a month of UTC; dashboards often count accounts,"
        " test accounts and deleted ones with them, in a time zone of their own.",
        "first": f"Here somebody counts once, in the month of their {came}, whatever ids they had; dashboards count"
        " devices, cookies or visits, and again in every month.",
        "step": f"Here somebody counts in the month of their {came}, and only if they took the step in its order and"
        " its window; dashboards usually count the month in which it happens.",
        "rate": "Here both counts are of the same people, those of the cohort; dashboards often divide what happened"
        " in a month by what else happened in it.",
        "as_of": "Here this is what the as-of day ends with, by the rules of include/definitions.yaml for statuses and"
        " prices; dashboards show the moment, and often count trials or past_due otherwise.",
    }
    of_month = f"{NOT_OVER} from fct_engagement_cohorts where activity_month = :month"
    of_day = f"{NOT_OVER} from dim_user_health"
    days_of_all = "nullif(max(days_observed) * sum(active_users), 0)"
    users, engagement = ("raw_users",), "int_user_engagement"
    plans = (*EVENTS, "raw_subscriptions")
    found = [
        Metric("active_users", f"select sum(active_users), {of_month}", engagement, whys["active"], EVENTS),
        Metric("avg_dau", f"select sum(avg_dau), {of_month}", engagement, whys["active"], EVENTS),
        Metric(
            "stickiness",
            f"select 1.0 * sum(active_user_days) / {days_of_all}, {of_month}",
            engagement,
            whys["active"],
            EVENTS,
            is_rate=True,
        ),
        Metric(
            "new_signups",
            f"select sum(cohort_size), {of_month} and cohort_month = :month",
            "stg_users",
            whys["signups"],
            users,
        ),
        Metric("users", f"select count(*), {of_day}", "stg_users", whys["as_of"], users, is_as_of=True),
        *(
            Metric(name, f"select sum({flag}), {of_day}", look, whys["as_of"], plans, is_as_of=True)
            for name, flag, look in (
                ("paying_users", "is_paying", "stg_subscriptions"),
                ("at_risk_users", "is_at_risk", "dim_user_health"),
                ("upsell_ready_users", "is_upsell_ready", "dim_user_health"),
            )
        ),
    ]
    feeds = EVENTS
    for number, step in enumerate(funnel.steps):
        if step.subscription:
            feeds = plans
        # How many came is final with the month; what they do next, when the cohort is mature.
        kind, can_change = ("step", "1 - is_mature") if number else ("first", NOT_OVER)
        cohort = f"{can_change} from fct_acquisition_funnel where {COHORT}"
        look = "stg_subscriptions" if step.subscription else "int_funnel_steps"
        found.append(Metric(step.people, f"select {step.people}, {cohort}", look, whys[kind], feeds, number))
        if number:
            rate = f"{funnel.steps[number - 1].noun}_to_{step.noun}_rate"
            found.append(
                Metric(rate, f"select {rate}, {cohort}", "int_funnel_steps", whys["rate"], feeds, number, is_rate=True)
            )
    return {metric.name: metric for metric in found}


def _retention(name: str, months: int) -> Metric:
    return Metric(
        name,
        "select retention_rate, 1 - is_complete from fct_engagement_cohorts"
        f" where cohort_month = :month and months_since_signup = {months}",
        "fct_engagement_cohorts",
        "Here month N is the Nth calendar month after that of the signup, and all who signed up are in the whole;"
        " dashboards often count windows of 30 days from each signup, or only users who were active first.",
        EVENTS,
        is_rate=True,
        months_later=months,
    )


# --- What the other dashboard says


def read_known(path: Path, names: Mapping[str, Metric]) -> list[Known]:
    """The lines of the CSV. Raises UserError, one sentence with the line, for the first that cannot be compared."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            if sorted(header) != sorted(COLUMNS):
                raise UserError(
                    f"The file {path} begins with {','.join(header)[:60]!r}: let its first line be {','.join(COLUMNS)}."
                )
            known = []
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    known.append(_line(path, reader.line_num, header, cells, names))
    except OSError as error:
        raise UserError(f"The file {path} cannot be read ({error.strerror}): name another with KNOWN=.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"The file {path} is no CSV in UTF-8 ({error}): export it as one.") from None
    if not known:
        raise UserError(f"The file {path} has no line below its header: add one for each number to compare.")
    return known


def _line(path: Path, line: int, header: list[str], cells: list[str], names: Mapping[str, Metric]) -> Known:
    where = f"{path} line {line}"
    if len(cells) != len(header):
        raise UserError(
            f"{where} has {len(cells)} fields in place of {len(header)}: put quotes around a value with a comma in it."
        )
    month, name, value = (cells[header.index(column)].strip() for column in COLUMNS)
    if not (found := _MONTH.fullmatch(month)):
        raise UserError(f"{where}: the month is {month!r}: write it as 2026-10 or 2026-10-01.")
    retention = _RETENTION.fullmatch(name)
    metric = names.get(name) or (_retention(name, int(retention[1])) if retention else None)
    if not metric:
        known = ", ".join([*names, "retention_month_1 (2, 3, ...)"])
        raise UserError(f"{where}: the metric is {name!r}: write one of {known}.")
    return Known(where, f"{found[1]}-01", metric, _value(where, metric, value))


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
    """Print the comparison; gives 0 where all is within, else 1. Only reads. Raises UserError."""
    from growth.language import definitions

    words = definitions.load()
    lines = read_known(known_file, metrics(words))
    if not place.engine.exists(place):
        raise UserError(f"There is no warehouse {place}: make run builds it.")
    with plain_errors(place), closing(place.engine.read(place)) as connection:
        as_of = _as_of(connection, place, Sql(words, place.kind))
        results = [_compared(connection, known, as_of, within) for known in lines]
        print(*_report(connection, words, results, as_of, within), sep="\n")
    return 0 if all(result.is_within for result in results) else 1


def _as_of(connection: Connection, place: Place, sql: Sql) -> str:
    if "run_state" not in place.engine.tables(connection):
        raise UserError(f"The warehouse {place} is none yet: make run builds it.")
    (as_of,) = connection.execute("select published_date from run_state").fetchone()
    if not as_of:
        raise UserError(f"No run has published in the warehouse {place}: run again, and compare then.")
    if definitions_have_changed(connection, sql):
        raise UserError("The definitions have changed since the last run: run again, and compare then.")
    return as_of


def _compared(connection: Connection, known: Known, as_of: str, within: float) -> Compared:
    _refuse_month_without_data(connection, known, as_of)
    metric, theirs = known.metric, known.value
    ours, can_change = connection.execute(metric.query, _bound(known.month)).fetchone() or (None, False)
    if ours is None and not metric.is_rate:
        ours = 0
    # A dashboard says 0 % of nobody. What lies on the edge is within, however its fraction is rounded.
    return Compared(known, ours, bool(can_change), _is_within(theirs, ours or 0, within))


def _bound(month: str) -> dict[str, str]:
    """What the queries bind: a month, and the one after it."""
    year, number = int(month[:4]), int(month[5:7])
    return {"month": month, "month_after": f"{year + number // 12}-{number % 12 + 1:02}-01"}


def _is_within(theirs: float, ours: float, within: float) -> bool:
    return abs(ours - theirs) <= within / 100 * theirs * (1 + 1e-9)


def _refuse_month_without_data(connection: Connection, known: Known, as_of: str) -> None:
    (first,) = connection.execute(
        "select min(cohort_month) from (select cohort_month from fct_acquisition_funnel"
        " union all select cohort_month from fct_engagement_cohorts) as months"
    ).fetchone()
    first, last, month, metric = (first or as_of)[:7], as_of[:7], known.month[:7], known.metric
    if metric.is_as_of and month != last:
        raise UserError(
            f"{known.where}: {metric.name} is known for the as-of day {as_of} only, not for {month}:"
            f" compare that of {last}, or leave the line out."
        )
    counted_in = int(month[:4]) * 12 + int(month[5:]) + metric.months_later
    if month < first or counted_in > int(last[:4]) * 12 + int(last[5:]):
        raise UserError(
            f"{known.where}: there is no {metric.name} of {month}, the warehouse has data of {first} to {last}:"
            " leave the line out, or run the days that are missing."
        )


# --- What is printed


def _report(
    connection: Connection, definitions: Definitions, results: list[Compared], as_of: str, within: float
) -> list[str]:
    rows = [
        [
            f"{r.known.month[:7]}   {r.known.metric.name}",
            _shown(r.known.metric, r.known.value),
            _shown(r.known.metric, r.ours) + (STAR if r.can_change else ""),
            "-" if r.difference is None else f"{r.difference:+z,.2f} %",
            "ok" if r.is_within else "MISS",
        ]
        for r in results
    ]
    note = "* can still change: the month is not over, or the cohort is not mature"
    lines = [f"Their numbers and ours as of {as_of}", ""]
    lines += table(["month     metric", "theirs", "ours", "difference", "verdict"], rows, note)
    misses = [result for result in results if not result.is_within]
    for miss in misses:
        look, clues = _clues(connection, definitions, miss, within)
        lines += ["", f"{miss.known.month[:7]} {miss.known.metric.name}: look at {look} next"]
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


def _clues(connection: Connection, definitions: Definitions, miss: Compared, within: float) -> tuple[str, list[str]]:
    """The table to look at next, and what the warehouse says about the month.

    The table is the one that explains the miss: for a count that is too low here, one that holds as many rows as are
    lacking; where there is none, that which the metric is counted from.
    """
    known, metric = miss.known, miss.known.metric
    clues: list[str] = []
    held: dict[str, int] = {}

    def ask(query: str) -> tuple[Any, ...]:
        return connection.execute(query, _bound(known.month)).fetchone()

    days, so_far = ask(
        "select m.last_day - m.first_day + 1, r.as_of_day - m.first_day + 1"
        " from calendar_months as m cross join run_state as r where m.month = :month"
    )
    (landed,) = ask(f"select count(distinct batch_date) from raw_batches where {IN_MONTH.format('batch_date')}")
    lacking = min(days, so_far) - landed
    if lacking:
        return "raw_batches", [f"Of its {days} days {lacking} have not been landed: run them with FROM=."]
    if metric.step:
        before, step = definitions.funnel.steps[metric.step - 1 : metric.step + 1]
        took, could = (
            ask(f"select count(*) from int_funnel_steps where {IN_MONTH.format(f'{s.name}_at')}")[0]
            for s in (step, before)
        )
        if metric.is_rate:
            part, whole = ask(f"select {step.people}, {before.people} from fct_acquisition_funnel where {COHORT}")
            clues.append(f"Here {part:,} {step.people} of {whole:,} {before.people}.")
        by_event = took / (could or 1) if metric.is_rate else took
        agrees = _is_within(known.value, by_event, within)
        clues.append(
            f"By the month in which it happened ours is {_shown(metric, by_event)}, which"
            f" {'agrees with' if agrees else 'is not'} theirs{'' if agrees else ' either'}."
        )
        if agrees:
            return "int_funnel_steps", clues
    elif metric.step == 0:
        (held["int_identities"],) = ask(
            "select count(distinct i.id) from int_funnel_steps as p"
            f" inner join int_identities as i on p.user_id = i.person_id where p.{COHORT}"
        )
        clues.append(f"These people have {held['int_identities']:,} more ids, which are not counted.")
    if miss.can_change and metric.step:
        (matures_on,) = ask(f"select matures_on from fct_acquisition_funnel where {COHORT}")
        clues.append(f"The cohort can grow until it is mature, on {matures_on}.")
    elif miss.can_change:
        clues.append("The month is not over.")
    held["rejects"], most = _kept_out(connection, "rejects", metric.feeds, known.month)
    kept_out = f"{held['rejects']:,} rows were rejected{most}"
    if "raw_events" in metric.feeds:
        held["unmapped_events"], most = _kept_out(connection, "unmapped_events", metric.feeds, known.month)
        kept_out += f" and {held['unmapped_events']:,} had no rule in the mapping{most}"
    clues.append(f"Of the batches of that month {kept_out}.")
    look = max(held, key=held.__getitem__)
    gap = known.value - (miss.ours or 0)
    return look if not metric.is_rate and 0 < gap <= held[look] else metric.table, clues


def _kept_out(connection: Connection, name: str, feeds: tuple[str, ...], month: str) -> tuple[int, str]:
    """How many rows of the month's batches a table keeps, and the most frequent reasons or names in brackets."""
    tables = ", ".join(f"'{table}'" for table in feeds)
    counted = {
        "rejects": f"select reject_reason, count(*) from rejects where table_name in ({tables}) and",
        "unmapped_events": "select event_name, sum(rows_seen) from unmapped_events where",
    }[name]
    groups = connection.execute(
        f"{counted} {IN_MONTH.format('batch_date')} group by 1 order by 2 desc, 1",
        _bound(month),
    ).fetchall()
    # Names are the source's own: whatever they hold, the terminal gets ASCII.
    most = ", ".join(f"{ascii(text[:40])[1:-1]} {rows:,}" for text, rows in groups[:SHOWN])
    return sum(rows for _, rows in groups), f" ({most}{', ...' * (len(groups) > SHOWN)})" if groups else ""
