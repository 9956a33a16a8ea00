"""Subscriptions from Stripe: its API, exports of it, and the tables that Fivetran makes of it."""
