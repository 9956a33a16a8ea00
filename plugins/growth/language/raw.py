"""The raw tables: what sources fill and staging reads."""

from __future__ import annotations

RAW_COLUMNS: dict[str, tuple[str, ...]] = {
    "raw_users": ("user_id", "signup_date", "email", "utm_source", "utm_campaign", "first_visit_date"),
    "raw_events": (
        "event_id",
        "user_id",
        "event_type",
        "event_date",
        "event_timestamp",
        "feature_name",
        "utm_source",
        "utm_campaign",
        "anonymous_id",
    ),
    "raw_subscriptions": (
        "subscription_id",
        "user_id",
        "plan_name",
        "start_date",
        "end_date",
        "mrr",
        "status",
        "currency",
        "changed_at",
    ),
    "raw_links": ("link_id", "linked_at", "user_id", "anonymous_id", "other_user_id", "other_anonymous_id"),
}
"""The columns of the raw tables, text all of them. The README's page on your own data says what each means."""

# Which batch a row belongs to, and its place in its source. Together they name one raw row of a table.
ARRIVAL_COLUMNS = ("batch_date", "source_file", "source_row")

# Events that a mapping has no rule for are no raw rows: they are counted, by the name that they have at their source.
UNMAPPED = "unmapped_events"
UNMAPPED_COLUMNS = ("batch_date", "source_file", "event_name", "rows_seen")
