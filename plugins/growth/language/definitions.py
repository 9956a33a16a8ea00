"""The dictionary, include/definitions.yaml, read and validated. SQL templates see it as `definitions`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from growth.language import yaml_file

PATH = Path(__file__).parents[3] / "include" / "definitions.yaml"

# A name becomes part of column names. A value is only written between quotes, so it must not contain one.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Value = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.:/+-]{0,79}$")]
IdText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 _.:/+<>\[\]{}-]{1,80}$")]
Positive = Annotated[int, Field(ge=1, le=10_000)]
Points = Annotated[float, Field(ge=0, le=100)]


# Names that a step or its people cannot have: names that the queries use already, and SQL keywords.
_TAKEN = """
    at latest moment nothing first_visit day place
    add analyze begin commit current_date current_time current_timestamp end explain pragma replace rollback
    user_id cohort_month utm_source utm_campaign is_mature matures_on people_of_month
    all and any as asc between by case cast check collate column constraint create cross current default delete desc
    distinct do drop else end escape except exists false fetch filter for foreign from full grant group having in index
    inner insert intersect into is isnull join key lateral leading left like limit natural not notnull null of offset on
    only or order outer over partition primary references returning right row rows select set some table then to
    trailing transaction true union unique update user using values view when where window with without
"""


def _distinct(values: list[str]) -> list[str]:
    twice = sorted({v for v in values if values.count(v) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is listed twice")
    return values


Values = Annotated[list[Value], Field(min_length=1), AfterValidator(_distinct)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Word(Strict):
    sentence: str


class Events(Word):
    types: Values


class Features(Word):
    names: Values


class Subscriptions(Word):
    plans: Values
    # paying: has the plan and brings revenue; trial: has the plan without revenue; suspended: has neither for now;
    # ended: no longer a customer; never: has never been one.
    statuses: Annotated[dict[Value, Literal["paying", "trial", "suspended", "ended", "never"]], Field(min_length=1)]
    default_currency: Value

    def having(self, *rules: str) -> list[str]:
        """The statuses that follow one of the rules."""
        return [status for status, rule in self.statuses.items() if rule in rules]


class Identity(Word):
    # The person of rows that have only an anonymous id. last_user_so_far: the last user seen on it before the row, or
    # the first user if there was none yet; last_user, first_user: the last or first user ever seen on it; components:
    # all users seen on it are one person.
    anonymous_rows: Literal["last_user_so_far", "last_user", "first_user", "components"]
    max_users: Positive
    no_ids: Annotated[list[IdText], AfterValidator(_distinct)]


class Active(Word):
    meaningful_events: Values
    week_days: Annotated[int, Field(ge=1, le=366)]
    month_days: Annotated[int, Field(ge=1, le=366)]

    @model_validator(mode="after")
    def _weeks_fit_into_months(self) -> Active:
        if self.week_days > self.month_days:
            raise ValueError(f"a week of {self.week_days} days is longer than a month of {self.month_days} days")
        return self


class ActiveDays(Strict):
    days: Positive
    window_days: Positive

    @model_validator(mode="after")
    def _fits(self) -> ActiveDays:
        if self.days > self.window_days:
            raise ValueError(f"days, {self.days}, exceeds window_days, {self.window_days}")
        return self


class PaidSubscription(Strict):
    mrr_above: Annotated[float, Field(ge=0)]


class Step(Word):
    name: Name
    people: Name
    noun: Name
    any_of: Values | None = None
    all_of: Values | None = None
    active_days: ActiveDays | None = None
    subscription: PaidSubscription | None = None
    or_user_date: list[Literal["first_visit_date", "signup_date"]] = []
    implied_by: list[Value] = []
    within_days: Positive | None = None
    of: Name | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Step:
        rules = [r for r in ("any_of", "all_of", "active_days", "subscription") if getattr(self, r) is not None]
        if len(rules) != 1:
            raise ValueError("a step needs exactly one of any_of, all_of, active_days, subscription")
        for key in ("or_user_date", "implied_by"):
            if getattr(self, key) and self.any_of is None:
                raise ValueError(f"{key} needs any_of")
        if (self.within_days is None) != (self.of is None):
            raise ValueError("within_days and of need each other")
        return self

    @property
    def events(self) -> list[str]:
        """The event types that this step names."""
        return (self.any_of or []) + (self.all_of or [])


class Funnel(Word):
    cohort_by: Literal["first_visit", "signup"]
    # A chart with more steps is hard to read.
    steps: Annotated[list[Step], Field(min_length=2, max_length=12)]

    @model_validator(mode="after")
    def _ordered(self) -> Funnel:
        names = [s.name for s in self.steps]
        columns = names + [f"{n}_at" for n in names] + [s.people for s in self.steps]
        _distinct(names)
        _distinct([s.people for s in self.steps])
        _distinct([s.noun for s in self.steps])
        if taken := set(_TAKEN.split()) & set(columns):
            taken_names = ", ".join(sorted(taken))
            raise ValueError(
                f"{taken_names} is a column name or an SQL keyword, which cannot name a step or its people"
            )
        for number, step in enumerate(self.steps):
            if step.of is not None and step.of not in names[:number]:
                raise ValueError(f"step {step.name} counts its days from {step.of}, which is not an earlier step")
        if "signup" not in names:
            raise ValueError("no step has the name signup")
        if self.steps[0].any_of is None:
            raise ValueError(f"the first step, {names[0]}, must use any_of")
        return self

    @property
    def cohort_step(self) -> str:
        """The step whose month is the cohort."""
        return self.steps[0].name if self.cohort_by == "first_visit" else "signup"

    @property
    def days_to_mature(self) -> int:
        """Days after the cohort's month until all windows have closed."""
        longest: dict[str, int] = {}
        for step in self.steps:
            longest[step.name] = longest[step.of] + step.within_days if step.of and step.within_days else 0
        return max(longest.values())

    @property
    def event_types(self) -> list[str]:
        """The event types that the steps name."""
        return sorted({event for step in self.steps for event in step.events + step.implied_by})

    @property
    def every_user_signs_up(self) -> bool:
        """Whether a user row reaches the signup step without any event."""
        until_signup = self.steps[: [s.name for s in self.steps].index("signup") + 1]
        return all("signup_date" in s.or_user_date and not s.within_days for s in until_signup)

    @property
    def counts_active_days(self) -> bool:
        """Whether a step requires several active days."""
        return any(step.active_days for step in self.steps)


class HealthPart(Strict):
    points: Points
    target: Positive


class Recency(Strict):
    points: Points


class PlanPart(Strict):
    points: Points
    share: dict[Value, Annotated[float, Field(ge=0, le=1)]]


class HealthStatus(Strict):
    name: Value
    from_score: Points


class Health(Word):
    window_days: Annotated[int, Field(ge=7, le=366)]
    active_days: HealthPart
    features: HealthPart
    recency: Recency
    plan: PlanPart
    statuses: Annotated[list[HealthStatus], Field(min_length=1)]

    @model_validator(mode="after")
    def _adds_up(self) -> Health:
        total = self.active_days.points + self.features.points + self.recency.points + self.plan.points
        if abs(total - 100) > 1e-9:
            raise ValueError(f"the points add up to {total:g}, but must add up to 100")
        if self.active_days.target > self.window_days:
            raise ValueError(f"active_days.target, {self.active_days.target}, exceeds window_days, {self.window_days}")
        scores = [s.from_score for s in self.statuses]
        if scores != sorted(scores, reverse=True) or scores[-1] != 0:
            raise ValueError("the statuses must be in order of from_score, from the highest down to 0")
        return self


class AtRisk(Word):
    below_score: Points
    after_signup_days: Annotated[int, Field(ge=0, le=10_000)]


class UpsellReady(Word):
    plans: Values
    active_days: Positive
    features: Positive
    weeks: Annotated[int, Field(ge=1, le=52)]
    active_days_each_week: Annotated[int, Field(ge=1, le=7)]


class Quality(Word):
    earliest_date: date
    event_days_ahead: Annotated[int, Field(ge=0, le=366)]
    subscription_days_ahead: Annotated[int, Field(ge=0, le=10_000)]
    max_rejected_rate: Annotated[float, Field(ge=0, le=1)]
    min_rejected_rows: Annotated[int, Field(ge=0)]
    # Some indexes have two ids as columns, and an index entry of PostgreSQL has room for two ids of this length.
    longest_user_id: Annotated[int, Field(ge=1, le=300)]


class CountedWord(Word):
    """A word that has no numbers of its own."""

    formula: str
    choices: list[str] = []
    """The keys of other sections that it depends on, as `section.key`."""


class Definitions(Strict):
    events: Events
    features: Features
    subscriptions: Subscriptions
    identity: Identity
    active: Active
    funnel: Funnel
    health: Health
    at_risk: AtRisk
    upsell_ready: UpsellReady
    quality: Quality
    words: dict[Name, CountedWord] = {}

    def word(self, path: str) -> Word:
        """The word at a path: one of `words`, a section, or a step as `funnel.<step>`."""
        found = self.words.get(path) or self.value(path)
        if not isinstance(found, Word):
            raise ValueError(f"{path} is not a word of the dictionary")
        return found

    def value(self, path: str) -> object:
        """The section or value at `section`, `section.key`, `funnel.<step>` or `funnel.<step>.key`."""
        found: object = self
        for key in path.split("."):
            steps = {step.name: step for step in found.steps} if isinstance(found, Funnel) else {}
            found = steps.get(key) or getattr(found, key, None)
            if found is None:
                raise ValueError(f"{path} is not a key of the dictionary")
        return found

    @model_validator(mode="after")
    def _agree(self) -> Definitions:
        def known(where: str, used: list[str] | dict[str, float], allowed: list[str]) -> None:
            for value in used:
                if value not in allowed:
                    raise ValueError(f"{where} names {value}: use one of {', '.join(allowed)}")

        known("active.meaningful_events", self.active.meaningful_events, self.events.types)
        if "feature_used" in self.events.types and "feature_used" not in self.active.meaningful_events:
            raise ValueError("active.meaningful_events lacks feature_used, although using a feature is activity")
        for step in self.funnel.steps:
            known(f"funnel step {step.name}", step.events + step.implied_by, self.events.types)
        known("health.plan.share", self.health.plan.share, self.subscriptions.plans)
        if missing := [plan for plan in self.subscriptions.plans if plan not in self.health.plan.share]:
            raise ValueError(f"health.plan.share lacks {', '.join(missing)}: each plan needs a share from 0 to 1")
        known("upsell_ready.plans", self.upsell_ready.plans, self.subscriptions.plans)
        if self.upsell_ready.weeks * 7 > self.health.window_days:
            raise ValueError(
                f"upsell_ready.weeks: {self.upsell_ready.weeks} weeks are longer than"
                f" health.window_days, {self.health.window_days} days"
            )
        if self.upsell_ready.active_days > self.health.window_days:
            raise ValueError(
                f"upsell_ready.active_days: {self.upsell_ready.active_days} days are more than"
                f" health.window_days, {self.health.window_days} days"
            )
        if self.upsell_ready.features > len(self.features.names):
            raise ValueError(f"upsell_ready.features: there are only {len(self.features.names)} features")
        if self.health.features.target > len(self.features.names):
            raise ValueError(f"health.features.target: there are only {len(self.features.names)} features")
        for word in self.words.values():
            for choice in word.choices:
                self.value(choice)
        return self

    def lists(self) -> dict[str, tuple[str, ...]]:
        """The lists of values that a mapping may refer to, such as features.names."""
        values = {
            f"{name}.{key}": value for name, section in self if isinstance(section, Word) for key, value in section
        }
        return {
            name: tuple(value)
            for name, value in values.items()
            if isinstance(value, list | dict) and all(isinstance(v, str) for v in value)
        }


def load(path: Path = PATH) -> Definitions:
    """Read the dictionary. Raises UserError if the file is missing or a key is misspelt, missing or out of range."""
    return yaml_file.load(path, "dictionary", Definitions)
