"""include/stripe.yaml: how Stripe's objects are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from growth.errors import UserError
from growth.language import definitions, yaml_file

PATH = Path(__file__).parents[4] / "include" / "stripe.yaml"


class Settings(definitions.Strict):
    """The content of the file, which explains each key."""

    user_id: Annotated[str, Field(min_length=1)]
    plans: dict[str, str]
    other_plan: str
    mode: Literal["live", "test"]
    coupons: Literal["forever", "all"]
    pause_collection: Literal["by_behavior", "suspended", "paying"]
    statuses: dict[str, str]


def load_settings(path: Path = PATH) -> Settings:
    """The settings in the file; their plans and statuses must be in the dictionary. Raises UserError."""
    settings = yaml_file.load(path, "settings file", Settings)
    words = definitions.load().subscriptions
    for key, used, known in (
        ("plans", {*settings.plans.values(), settings.other_plan}, set(words.plans)),
        ("statuses", set(settings.statuses.values()), set(words.statuses)),
    ):
        if unknown := sorted(used - known):
            raise UserError(
                f"{path}: {key}: the dictionary has no {unknown[0]!r}: use one of {', '.join(sorted(known))}, or"
                " add it to include/definitions.yaml."
            )
    return settings
