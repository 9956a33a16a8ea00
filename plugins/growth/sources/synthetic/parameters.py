"""The parameters of the synthetic company. Marts that are built on its rows must reproduce them.

Shares and rates are fractions from 0 to 1. Durations are whole days, unless they are means.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Channel:
    """An acquisition source and the behaviour of its visitors."""

    name: str
    share: float
    """Share of first visits."""
    campaigns: tuple[str, ...]
    """The first campaign is the largest; empty if the channel has none."""
    signup_rate: float
    """Share of visitors who sign up at most 30 days after the first visit."""
    activation_rate: float
    """Share of signups who activate 0 to 6 days after the signup."""
    paid_rate: float
    """Share of users activated within 6 days who first pay within 90 days of the signup."""
    life_days: float
    """Mean days from the activation until a user who does not pay becomes inactive."""
    tenure_days: float
    """Mean days from the first payment to the cancellation."""


CHANNELS = (
    Channel("organic", 0.33, (), 0.45, 0.74, 0.12, 28, 300),
    Channel("google", 0.24, ("brand", "generic", "competitors", "remarketing"), 0.38, 0.68, 0.11, 22, 240),
    Channel("facebook", 0.17, ("lookalike", "video", "carousel"), 0.25, 0.55, 0.05, 10, 130),
    Channel("linkedin", 0.08, ("decision_makers", "webinar"), 0.32, 0.64, 0.20, 25, 420),
    Channel("referral", 0.10, ("invite_link", "partner"), 0.59, 0.82, 0.16, 40, 500),
    Channel("newsletter", 0.08, ("monthly_digest", "product_news"), 0.52, 0.77, 0.09, 32, 200),
)


@dataclass(frozen=True)
class Parameters:
    """The behaviour that all channels share."""

    visitors_a_day: float = 25.2
    """New visitors on the first day at scale 1, before the factor of the weekday."""
    monthly_growth: float = 0.025
    """Monthly growth of the number of new visitors, compounded daily."""
    growth_months: float = 36
    """The number of new visitors grows for this many months of 30.4375 days, then stays constant."""
    visits_by_weekday: tuple[float, ...] = (1.15, 1.15, 1.12, 1.10, 1.00, 0.72, 0.76)
    """Monday first; the mean is 1."""
    activity_by_weekday: tuple[float, ...] = (1.14, 1.16, 1.15, 1.12, 1.05, 0.68, 0.70)

    same_day_signup: float = 0.75
    """Share of signups on the day of the first visit; the others come 1 to signup_delay_max days later."""
    signup_delay_max: int = 30
    revisit_rate: float = 0.14
    """Share of visitors who come a second time within revisit_max days; a third of them come a third time."""
    revisit_max: int = 45
    revisit_same_channel: float = 0.6
    """Share of repeated visits that come through the channel and campaign of the first visit."""

    activation_by_day: tuple[float, ...] = (0.58, 0.17, 0.09, 0.06, 0.04, 0.03, 0.03)
    """Share of the activations within 6 days, by days since the signup."""
    late_activation_rate: float = 0.05
    """Share of signups who activate late_activation_days after the signup, outside the window."""
    late_activation_days: tuple[int, int] = (8, 45)

    payment_spread: int = 60
    """A first payment comes 1 to this many days after the activation, plus 14 days if there is a trial."""
    late_paid_rate: float = 0.03
    """Share of activated users who first pay late_paid_days after the signup, outside the window."""
    late_paid_days: tuple[int, int] = (95, 240)
    via_trial: float = 0.40
    """Share of first payments that come at the end of a trial."""
    trial_only_rate: float = 0.05
    """Share of activated users without a payment who have a trial of trial_days."""
    trial_days: int = 14

    plans: tuple[tuple[str, str, float], ...] = (
        ("Starter", "29.00", 0.60),
        ("Pro", "99.00", 0.32),
        ("Enterprise", "299.00", 0.08),
    )
    """Name, monthly price in USD and share of first plans, from the smallest to the largest plan."""
    plan_change_rate: float = 0.25
    """Share of payers who change the plan 20 to 200 days after the first payment, unless they cancel earlier."""
    pro_upgrade_share: float = 0.6
    """Share of changes from the middle plan that go to the larger one."""
    win_back_rate: float = 0.18
    """Share of cancelled payers who start a new subscription win_back_days later."""
    win_back_days: tuple[int, int] = (45, 200)

    unactivated_life: float = 6
    """Mean days until a user who did not activate becomes inactive."""
    intensity: tuple[float, float] = (0.02, 0.11)
    """Probability of activity on an ordinary day, for the least and the most active user; most are near the least."""
    paying_boost: float = 1.3
    """Factor on the intensity while a subscription is paid."""
    fading_days: int = 14
    fading_factor: float = 0.4
    """Factor on the intensity in the last fading_days before a user becomes inactive."""
    return_rate: float = 0.08
    """Share of inactive users without a payment who return after return_days, for return_life days on average."""
    return_days: tuple[int, int] = (30, 150)
    return_life: float = 25

    power_share: float = 0.065
    """Share of payers (about 0.7 % of signups) who use the product almost daily and rarely cancel."""
    power_activity: tuple[float, float] = (0.82, 0.64)
    """Their probability of activity on a weekday and on a day of the weekend."""
    power_tenure: float = 6
    """Factor on the tenure of the channel."""
    power_breadth: float = 1.5
    """Factor on the probability of each feature on an active day."""
    features: tuple[tuple[str, float], ...] = (
        ("dashboard", 0.11),
        ("reports", 0.08),
        ("integrations", 0.05),
        ("api", 0.035),
        ("mobile_app", 0.045),
        ("export", 0.04),
    )
    """Name and probability of use on an active day."""


PARAMETERS = Parameters()


@dataclass(frozen=True)
class Dirt:
    """Faults between the product and the warehouse. No data is lost: the good rows arrive, too."""

    late_events: float = 0.015
    """Share of events that arrive late_event_days after they happened."""
    late_event_days: tuple[int, int] = (1, 40)
    repeated_events: float = 0.005
    """Share of events that are sent again in the same batch or up to repeat_days_max days later."""
    repeat_days_max: int = 3
    late_users: float = 0.01
    """Share of user rows that arrive late_user_days after the signup."""
    late_user_days: tuple[int, int] = (1, 5)
    malformed: float = 0.002
    """Share of the rows of each table that also have a broken copy, with an id of its own that ends in -x."""


DIRT = Dirt()
NO_DIRT = Dirt(late_events=0, repeated_events=0, late_users=0, malformed=0)
