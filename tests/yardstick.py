"""The yardstick of `make bench`: the three core marts by a plain script on SQLite, as one writes it in a day.

It stages a day's rows and recomputes whatever months they touch, with good indexes. It reads the same raw tables and
the same dictionary and gives the same numbers (tests/test_yardstick.py), where it may trust its source: every batch
lands once and in order, an id is a person, a subscription keeps its price. It checks nothing and publishes nothing.
"""

from __future__ import annotations

import sqlite3
import time
from datetime import date
from pathlib import Path

from growth.engines.sqlite import CACHE_KB
from growth.language import definitions

WORDS = definitions.load()
MS = 86_400_000


def _list(values: list[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _day(text: str) -> str:
    return f"cast(floor(julianday({text}) - 2440587.5) as integer)"


def _within(step: str) -> int:
    (days,) = (s.within_days for s in WORDS.funnel.steps if s.name == step)
    return int(days or 0)


TABLES = """
create table events (event_id text primary key, user_id text, event_type text, feature_name text,
    day integer, ms integer) without rowid;
create index events_of_user on events (user_id, event_type, ms);
create index events_of_day on events (day, event_type, user_id, feature_name);
create table users (user_id text primary key, signup_day integer, signup_month text, first_visit_day integer)
    without rowid;
create index users_of_month on users (signup_month);
create table subscriptions (subscription_id text primary key, user_id text, plan_name text, status text,
    start_day integer, end_day integer, mrr real) without rowid;
create index subscriptions_of_user on subscriptions (user_id);
create table user_days (day integer, user_id text, cohort_month text, primary key (day, user_id)) without rowid;
create table user_features (day integer, user_id text, feature_name text, cohort_month text,
    primary key (day, user_id, feature_name)) without rowid;
create table people (user_id text primary key, cohort_month text, visit_ms integer, signup_ms integer,
    signup_latest_ms integer, activated_ms integer, paid_ms integer) without rowid;
create index people_of_month on people (cohort_month);
create table funnel (cohort_month text primary key, visitors integer, signups integer, activated integer, paid integer)
    without rowid;
create table engagement (cohort_month text, activity_month text, cohort_size integer, active_users integer,
    active_user_days integer, features_used integer, primary key (cohort_month, activity_month)) without rowid;
create table health (user_id text primary key, plan_name text, active_days integer, features_used integer, score real,
    is_at_risk integer, is_upsell_ready integer) without rowid;
"""

GOOD_EVENT = f"""event_id <> '' and user_id <> '' and event_type in ({_list(WORDS.events.types)})
    and julianday(event_timestamp) is not null and event_date <= date(batch_date, '+1 day')"""
GOOD_USER = "user_id <> '' and julianday(signup_date) is not null and signup_date <= date(batch_date, '+1 day')"
ARRIVED = "batch_date between :first and :last"

STAGE = f"""
insert or ignore into events
select event_id, user_id, event_type, feature_name, {_day("event_timestamp")},
    cast(round((julianday(event_timestamp) - 2440587.5) * {MS}) as integer)
from raw.raw_events where {ARRIVED} and {GOOD_EVENT}
order by batch_date, source_row;
insert or replace into users
select user_id, {_day("signup_date")}, substr(signup_date, 1, 7) || '-01', {_day("first_visit_date")}
from raw.raw_users where {ARRIVED} and {GOOD_USER}
order by batch_date, source_row;
insert or replace into subscriptions
select subscription_id, user_id, plan_name, status, {_day("start_date")}, {_day("end_date")}, cast(mrr as real)
from raw.raw_subscriptions
where {ARRIVED} and user_id <> '' and plan_name in ({_list(WORDS.subscriptions.plans)})
    and julianday(start_date) is not null and start_date <= date(batch_date, '+366 days')
    and coalesce(end_date, start_date) >= start_date and json_valid(mrr) and cast(mrr as real) >= 0
order by batch_date, source_row;
"""

ACTIVITY_MONTHS = f"""
select substr(event_date, 1, 7) || '-01' from raw.raw_events
where {ARRIVED} and event_type in ({_list(WORDS.active.meaningful_events)}) and {GOOD_EVENT}
union select substr(signup_date, 1, 7) || '-01' from raw.raw_users where {ARRIVED} and {GOOD_USER}
union select substr(:last, 1, 7) || '-01'
"""

# Once for each month that is touched, from its day :a to its day :b.
ACTIVITY = f"""
delete from user_days where day between :a and :b;
insert into user_days
select e.day, e.user_id, u.signup_month
from events as e cross join users as u on e.user_id = u.user_id
where e.day between :a and :b and e.event_type in ({_list(WORDS.active.meaningful_events)}) and e.day >= u.signup_day
group by e.day, e.user_id;
delete from user_features where day between :a and :b;
insert into user_features
select e.day, e.user_id, e.feature_name, u.signup_month
from events as e cross join users as u on e.user_id = u.user_id
where e.day between :a and :b and e.event_type = 'feature_used' and e.day >= u.signup_day
group by e.day, e.user_id, e.feature_name;
delete from engagement where activity_month = :month;
insert into engagement
select c.signup_month, :month, c.users, coalesce(a.users, 0), coalesce(a.user_days, 0), coalesce(f.features, 0)
from (select signup_month, count(*) as users from users where signup_month <= :month group by signup_month) as c
left join (
    select cohort_month, count(distinct user_id) as users, count(*) as user_days
    from user_days where day between :a and :b group by cohort_month
) as a on c.signup_month = a.cohort_month
left join (
    select cohort_month, count(*) as features
    from (select distinct cohort_month, user_id, feature_name from user_features where day between :a and :b)
    group by cohort_month
) as f on c.signup_month = f.cohort_month;
"""

PEOPLE = f"""
create temp table touched_people (user_id text primary key);
insert into touched_people
select user_id from raw.raw_events
where {ARRIVED} and event_type in ({_list(WORDS.funnel.event_types)}) and {GOOD_EVENT}
union select user_id from raw.raw_users where {ARRIVED} and {GOOD_USER}
union select user_id from raw.raw_subscriptions where {ARRIVED} and user_id <> '';
create temp table touched_cohorts (month text primary key);
insert into touched_cohorts select distinct cohort_month from people
where user_id in (select user_id from touched_people) and cohort_month is not null;
insert or replace into people (user_id, visit_ms, cohort_month)
select user_id, ms, strftime('%Y-%m-01', ms / 1000, 'unixepoch')
from (
    select user_id,
        case when seen_ms <= coalesce(told_day * {MS} + {MS - 1}, seen_ms) then seen_ms else told_day * {MS} end as ms
    from (
        select t.user_id, coalesce(u.first_visit_day, u.signup_day) as told_day,
            (select min(e.ms) from events as e
                where e.user_id = t.user_id and e.event_type in ('visit', 'signup')) as seen_ms
        from touched_people as t left join users as u on t.user_id = u.user_id
    )
)
where ms is not null;
insert or ignore into touched_cohorts
select distinct cohort_month from people where user_id in (select user_id from touched_people);
"""

FUNNEL = f"""
update people set (signup_ms, signup_latest_ms) = (
    select case when seen_ms is null or told_ms < seen_ms then max(told_ms - {MS - 1}, visit_ms) else seen_ms end,
        case when seen_ms is null or told_ms < seen_ms then told_ms else seen_ms end
    from (
        select (select min(e.ms) from events as e
                where e.user_id = people.user_id and e.event_type = 'signup' and e.ms >= people.visit_ms) as seen_ms,
            (select u.signup_day * {MS} + {MS - 1} from users as u
                where u.user_id = people.user_id and u.signup_day * {MS} + {MS - 1} >= people.visit_ms) as told_ms
    )
) where cohort_month = :month;
update people set activated_ms = (
    select min(e.ms) from events as e
    where e.user_id = people.user_id and e.event_type = 'activated' and e.ms >= people.signup_ms
        and e.ms <= people.signup_latest_ms + {_within("activated") * MS}
) where cohort_month = :month;
update people set paid_ms = (
    select max(min(c.start_day) * {MS}, people.activated_ms) from subscriptions as c
    where c.user_id = people.user_id and c.status <> 'trial' and c.mrr > 0
        and c.start_day * {MS} + {MS - 1} >= people.activated_ms
        and c.start_day * {MS} <= people.signup_latest_ms + {_within("paid") * MS}
) where cohort_month = :month;
insert or replace into funnel
select cohort_month, count(visit_ms), count(signup_ms), count(activated_ms), count(paid_ms)
from people where cohort_month = :month group by cohort_month;
"""

_H, _UP = WORDS.health, WORDS.upsell_ready
HEALTH = f"""
delete from health;
insert into health
with facts as (
    select u.user_id, p.plan_name, coalesce(p.is_paying, 0) as is_paying, coalesce(a.days, 0) as days,
        coalesce(f.features, 0) as features, :asof - u.signup_day as age,
        coalesce({_H.window_days} - (:asof - a.last_day), 0) as recency, coalesce(w.weeks, 0) as weeks
    from users as u
    left join (
        select user_id, count(*) as days, max(day) as last_day
        from user_days where day between :asof - {_H.window_days - 1} and :asof group by user_id
    ) as a on u.user_id = a.user_id
    left join (
        select user_id, count(distinct feature_name) as features
        from user_features where day between :asof - {_H.window_days - 1} and :asof group by user_id
    ) as f on u.user_id = f.user_id
    left join (
        select user_id, count(*) as weeks from (
            select user_id from user_days where day between :asof - {7 * _UP.weeks - 1} and :asof
            group by user_id, (:asof - day) / 7 having count(*) >= {_UP.active_days_each_week}
        ) group by user_id
    ) as w on u.user_id = w.user_id
    left join (
        select user_id, plan_name, is_paying from (
            select user_id, plan_name, is_paying, row_number() over (
                partition by user_id order by is_paying desc, mrr desc, start_day desc, subscription_id) as place
            from (select *, status <> 'trial' and mrr > 0 as is_paying from subscriptions)
            where start_day <= :asof and (end_day > :asof or (end_day is null
                and status not in ({_list(WORDS.subscriptions.having("ended"))})))
        ) where place = 1
    ) as p on u.user_id = p.user_id
), scored as (
    select *, {_H.active_days.points} * min(days, {_H.active_days.target}) / {_H.active_days.target}
        + {_H.features.points} * min(features, {_H.features.target}) / {_H.features.target}
        + {_H.recency.points} * recency / {_H.window_days}
        + {_H.plan.points} * case when is_paying = 0 then 0.0
            {" ".join(f"when plan_name = '{plan}' then {share}" for plan, share in _H.plan.share.items())}
            else 0.0 end as score
    from facts
)
select user_id, plan_name, days, features, score,
    is_paying and score < {WORDS.at_risk.below_score} and age >= {WORDS.at_risk.after_signup_days},
    is_paying and plan_name in ({_list(_UP.plans)}) and days >= {_UP.active_days} and features >= {_UP.features}
        and weeks >= {_UP.weeks}
from scored;
drop table touched_people;
drop table touched_cohorts;
"""


class Yardstick:
    """The marts of the script, in a file of their own beside a warehouse whose raw tables it reads."""

    def __init__(self, path: Path, warehouse: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("pragma synchronous = off")
        self.connection.execute("pragma journal_mode = wal")
        self.connection.execute(f"pragma cache_size = -{CACHE_KB}")
        self.connection.execute("attach ? as raw", (str(warehouse),))
        self._do(TABLES)

    def run(self, first: date, last: date | None = None) -> float:
        """Take the batches from first to last, which the warehouse has landed; gives the seconds of SQL."""
        last = last or first
        batches = {"first": f"{first}", "last": f"{last}"}
        started = time.perf_counter()
        self.connection.execute("begin")
        self._do(STAGE, batches)
        for (month,) in self.connection.execute(ACTIVITY_MONTHS, batches).fetchall():
            if month <= f"{last}":
                a, b = self.connection.execute(
                    "select julianday(?1) - 2440587.5, julianday(?1, '+1 month') - 2440588.5", (month,)
                ).fetchone()
                self._do(ACTIVITY, {"month": month, "a": int(a), "b": int(min(b, (last - date(1970, 1, 1)).days))})
        self._do(PEOPLE, batches)
        for (month,) in self.connection.execute("select month from touched_cohorts").fetchall():
            self._do(FUNNEL, {"month": month})
        self._do(HEALTH, {"asof": (last - date(1970, 1, 1)).days})
        self.connection.execute("commit")
        return time.perf_counter() - started

    def _do(self, script: str, parameters: dict[str, object] | None = None) -> None:
        for statement in filter(str.strip, script.split(";")):
            self.connection.execute(statement, parameters or {})
