"""Sources that speak as Stripe does: its API, exports of it, and tables that Fivetran made of it."""
