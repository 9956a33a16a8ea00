"""How far people get: in all, by cohort month, by channel."""

from __future__ import annotations

from itertools import pairwise

from growth.language.definitions import Step
from growth.ui import figures
from growth.ui.filters import Filters
from growth.ui.intervals import rate
from growth.ui.parts import Chart, Content, Note, Table, count, interval, percent, words
from growth.ui.reader import Reader, Row

PATH = "funnel"
TITLE = "Funnel"
TABLES = ("fct_acquisition_funnel", "fct_acquisition_funnel_by_channel")
FILTERS = ("period", "source", "campaign")

CHANNELS = 20
_YOUNG = "can still change"


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    steps = reader.words.funnel.steps
    cohorts = reader.rows("funnel_cohorts", filters.bound, **filters.shape)
    content = Content()
    if not cohorts:
        content.add(Note("Nobody came in this period by this channel: choose another."))
        return content
    # A cohort whose people can still convert would pull the rates down; where there is no other, it is shown as it is.
    final = [row for row in cohorts if row["is_mature"]]
    content.add(_all_steps(steps, final or cohorts, bool(final), len(cohorts) - len(final)))
    content.add(_rates(steps, cohorts))
    content.add(_people(steps, cohorts))
    channels = reader.rows("funnel_channels", filters.bound, **filters.shape)
    content.add(_by_channel(steps, channels, bool(final), filters.source is not None))
    return content


def _said(is_final: bool, young: int) -> str:
    if not is_final:
        return "No cohort of the period is final: people can still convert, and the rates will rise."
    if young:
        cohorts = "cohort that can still change is" if young == 1 else "cohorts that can still change are"
        return f"{young} {cohorts} left out."
    return "All cohorts of the period are final."


def _names(steps: list[Step]) -> list[str]:
    return [f"{words(a.noun)} to {words(b.noun)}" for a, b in pairwise(steps)]


def _all_steps(steps: list[Step], cohorts: list[Row], is_final: bool, young: int) -> Chart:
    people = [sum(row[step.people] or 0 for row in cohorts) for step in steps]
    of_first = [rate(n, people[0]) for n in people]
    of_before = [None, *(rate(b, a) for a, b in pairwise(people))]
    return Chart(
        "funnel",
        "From the first step to the last",
        f"How many of the people of {cohorts[0]['cohort_month'][:7]} to {cohorts[-1]['cohort_month'][:7]} reached each"
        f" step. {_said(is_final, young)}",
        figures.lying_bars(
            [words(step.people) for step in steps],
            people,
            [
                f"{n:,} ({percent(r.value)})" if i else f"{n:,}"
                for i, (n, r) in enumerate(zip(people, of_first, strict=True))
            ],
        ),
        Table(
            ["step", "people", f"of all {words(steps[0].people)}", "of the step before (95 % interval)"],
            [
                [words(step.people), count(n), percent(first.value), interval(before) if before else ""]
                for step, n, first, before in zip(steps, people, of_first, of_before, strict=True)
            ],
        ),
        is_wide=False,
    )


def _rates(steps: list[Step], cohorts: list[Row]) -> Chart:
    months = [row["cohort_month"][:7] for row in cohorts]
    young = [not row["is_mature"] for row in cohorts]
    series = {
        name: [rate(row[b.people], row[a.people]) for row in cohorts]
        for name, (a, b) in zip(_names(steps), pairwise(steps), strict=True)
    }
    return Chart(
        "rates",
        "Rates by cohort month",
        "The share of each step's people who reached the next, with its 95 % interval."
        + (" Hollow points can still change." if any(young) else ""),
        figures.rates_by_month(months, series, young),
        Table(
            ["cohort", "final on", *(f"{name} (95 % interval)" for name in series)],
            [
                [
                    month + (f" ({_YOUNG})" if y else ""),
                    row["matures_on"] or "",
                    *(interval(rates[n]) for rates in series.values()),
                ]
                for n, (month, y, row) in enumerate(zip(months, young, cohorts, strict=True))
            ],
            word_columns=2,
        ),
        is_wide=False,
    )


def _people(steps: list[Step], cohorts: list[Row]) -> Chart:
    months = [row["cohort_month"][:7] for row in cohorts]
    young = [not row["is_mature"] for row in cohorts]
    return Chart(
        "people",
        "People by cohort month",
        "How many of those who belong to a month reached each step."
        + (" Pale, striped bars can still grow." if any(young) else ""),
        figures.bars(months, {words(s.people): [row[s.people] for row in cohorts] for s in steps}, young),
        Table(
            ["cohort", *(words(s.people) for s in steps)],
            [
                [month + (f" ({_YOUNG})" if y else ""), *(count(row[s.people]) for s in steps)]
                for month, y, row in zip(months, young, cohorts, strict=True)
            ],
        ),
    )


def _by_channel(steps: list[Step], rows: list[Row], is_final: bool, by_campaign: bool) -> Chart:
    people: dict[str, list[int]] = {}
    for row in rows:
        if row["is_mature"] or not is_final:
            before = people.setdefault(row["channel"], [0] * len(steps))
            people[row["channel"]] = [n + (row[s.people] or 0) for n, s in zip(before, steps, strict=True)]
    largest = sorted(people, key=lambda channel: (-people[channel][0], channel))
    shown = largest[:CHANNELS]
    rates = {name: [rate(people[c][n + 1], people[c][n]) for c in shown] for n, name in enumerate(_names(steps))}
    kind = "campaign" if by_campaign else "source"
    more = f" The largest {CHANNELS} of {len(largest)}." if len(largest) > CHANNELS else ""
    which = "Final cohorts only." if is_final else _said(is_final, 0)
    return Chart(
        "channels",
        f"Rates by {kind}",
        f"The share of each step's people who reached the next, with its 95 % interval, by the {kind} that first"
        f" brought them here; the one of most people comes first. {which}{more}",
        figures.rates_by_channel(shown, rates),
        Table(
            [kind, *(words(s.people) for s in steps), *(f"{name} (95 % interval)" for name in rates)],
            [
                [channel, *(count(n) for n in people[channel]), *(interval(r[i]) for r in rates.values())]
                for i, channel in enumerate(shown)
            ],
        ),
    )
