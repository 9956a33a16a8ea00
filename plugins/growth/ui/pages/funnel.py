"""How far people get through the funnel: in total, by cohort month, by channel."""

from __future__ import annotations

from itertools import pairwise

from growth.language.definitions import Step
from growth.language.queries import Reader, Row
from growth.ui import figures
from growth.ui.filters import Filters
from growth.ui.intervals import rate
from growth.ui.parts import Chart, Content, Note, Table, count, interval, percent, words
from growth.ui.terms import Term, term

PATH = "funnel"
TITLE = "Funnel"
TABLES = ("fct_acquisition_funnel", "fct_acquisition_funnel_by_channel")
FILTERS = ("period", "source", "campaign")

CHANNELS = 20
_YOUNG = "can still change"


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    cohorts = reader.rows("page/funnel_cohorts", filters.parameters, **filters.by_channel)
    content = Content()
    if not cohorts:
        content.add(Note("Nobody came in this period by this channel: choose another."))
        return content
    # Cohorts whose people can still convert would lower the rates: they count only where there are no others.
    final = [row for row in cohorts if row["is_mature"]]
    content.add(_all_steps(reader, final or cohorts, bool(final), len(cohorts) - len(final)))
    content.add(_rates(reader, cohorts))
    content.add(_people(reader, cohorts))
    channels = reader.rows("page/funnel_channels", filters.parameters, **filters.by_channel)
    content.add(_by_channel(reader, channels, bool(final), filters.source is not None))
    return content


def _which(is_final: bool, young: int) -> str:
    if not is_final:
        return "No cohort of the period is final: people can still convert, and the rates will rise."
    if young:
        cohorts = "cohort that can still change is" if young == 1 else "cohorts that can still change are"
        return f"{young} {cohorts} left out."
    return "All cohorts of the period are final."


def _names(steps: list[Step]) -> list[str]:
    return [f"{words(a.noun)} to {words(b.noun)}" for a, b in pairwise(steps)]


def _people_terms(reader: Reader) -> list[Term]:
    steps = reader.definitions.funnel.steps
    return [term(reader, words(step.people), "fct_acquisition_funnel", step.people) for step in steps]


def _rate_terms(reader: Reader) -> list[Term]:
    return [
        term(
            reader,
            f"{words(a.noun)} to {words(b.noun)} (95 % interval)",
            "fct_acquisition_funnel",
            f"{a.noun}_to_{b.noun}_rate",
        )
        for a, b in pairwise(reader.definitions.funnel.steps)
    ]


def _all_steps(reader: Reader, cohorts: list[Row], is_final: bool, young: int) -> Chart:
    steps = reader.definitions.funnel.steps
    people = [sum(row[step.people] or 0 for row in cohorts) for step in steps]
    of_first = [rate(n, people[0]) for n in people]
    of_before = [None, *(rate(b, a) for a, b in pairwise(people))]
    return Chart(
        "funnel",
        "From the first step to the last",
        f"How many people of the cohorts {cohorts[0]['cohort_month'][:7]} to {cohorts[-1]['cohort_month'][:7]} reached"
        f" each step. {_which(is_final, young)}",
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


def _rates(reader: Reader, cohorts: list[Row]) -> Chart:
    steps = reader.definitions.funnel.steps
    months = [row["cohort_month"][:7] for row in cohorts]
    young = [not row["is_mature"] for row in cohorts]
    series = {
        name: [rate(row[b.people], row[a.people]) for row in cohorts]
        for name, (a, b) in zip(_names(steps), pairwise(steps), strict=True)
    }
    return Chart(
        "rates",
        "Rates by cohort month",
        "The share of the people of each step who reached the next one, with its 95 % interval."
        + (" Hollow points can still change." if any(young) else ""),
        figures.rates_by_month(months, series, young),
        Table(
            ["cohort", term(reader, "final on", "fct_acquisition_funnel", "matures_on"), *_rate_terms(reader)],
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


def _people(reader: Reader, cohorts: list[Row]) -> Chart:
    steps = reader.definitions.funnel.steps
    months = [row["cohort_month"][:7] for row in cohorts]
    young = [not row["is_mature"] for row in cohorts]
    return Chart(
        "people",
        "People by cohort month",
        "How many people of each cohort reached each step."
        + (" Pale, striped bars can still grow." if any(young) else ""),
        figures.bars(months, {words(s.people): [row[s.people] for row in cohorts] for s in steps}, young),
        Table(
            ["cohort", *_people_terms(reader)],
            [
                [month + (f" ({_YOUNG})" if y else ""), *(count(row[s.people]) for s in steps)]
                for month, y, row in zip(months, young, cohorts, strict=True)
            ],
        ),
    )


def _by_channel(reader: Reader, rows: list[Row], is_final: bool, by_campaign: bool) -> Chart:
    steps = reader.definitions.funnel.steps
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
    which = "Final cohorts only." if is_final else _which(is_final, 0)
    return Chart(
        "channels",
        f"Rates by {kind}",
        f"The share of the people of each step who reached the next one, with its 95 % interval, by the {kind} of their"
        f" first visit; the {kind} with the most people comes first. {which}{more}",
        figures.rates_by_channel(shown, rates),
        Table(
            [kind, *_people_terms(reader), *_rate_terms(reader)],
            [
                [channel, *(count(n) for n in people[channel]), *(interval(r[i]) for r in rates.values())]
                for i, channel in enumerate(shown)
            ],
        ),
    )
