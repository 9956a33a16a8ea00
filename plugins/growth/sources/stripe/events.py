"""From events of Stripe to the states of a subscription before and after each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from growth.sources.stripe.objects import about, id_of, moment, record
from growth.sources.stripe.settings import Settings
from growth.sources.stripe.subscriptions import state_of
from growth.sources.subscription_rows import Since, State

CREATED = "customer.subscription.created"
UPDATED = "customer.subscription.updated"
DELETED = "customer.subscription.deleted"
EVENT_TYPES = (CREATED, UPDATED, DELETED)


def undone(subscription: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, Any]:
    """An object before an event: with previous_attributes put back, nested objects key by key, lists as a whole."""
    before = dict(subscription)
    for key, value in previous.items():
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            before[key] = undone(before[key], value)
        else:
            before[key] = value
    if "discount" in previous and "discounts" not in previous:
        # The event has an earlier version of the API than the object.
        before.pop("discounts", None)
    return before


def object_before(
    subscription: Mapping[str, Any], event: Mapping[str, Any], status: str | None = None
) -> dict[str, Any] | None:
    """An object before an event that changed or ended it; None if the event created it.

    An end does not tell the status that it ended. It is `status`, what the event before left, or else depends on
    whether the trial had ended.
    """
    previous = dict(record(record(event.get("data")).get("previous_attributes")))
    if event.get("type") == CREATED:
        return None
    if event.get("type") == DELETED:
        in_trial = (moment(subscription.get("trial_end")) or 0) > (moment(event.get("created")) or 0)
        previous = {"status": status or ("trialing" if in_trial else "active"), "ended_at": None} | previous
    return undone(subscription, previous)


class Change(NamedTuple):
    """An event: the state after it, the state before it (None if unknown), and remarks on what is not counted."""

    event_id: str
    kind: str
    created: int
    after: State
    before: State | None
    object_before: Mapping[str, Any] | None
    remarks: tuple[str, ...]


def change_of(event: Mapping[str, Any], settings: Settings) -> Change | None:
    """The change that an event reports; None if it lacks its id, its moment or its subscription."""
    after, created, event_id = about(event), moment(event.get("created")), id_of(event)
    if not after or created is None or event_id is None:
        return None
    state, remarks = state_of(after, created, settings)
    previous, before = object_before(after, event), None
    if previous is not None and event.get("type") == UPDATED:
        before, doubts = state_of(previous, created - 1, settings)
        if any("is not expanded" in doubt for doubt in doubts):
            before = None  # without the discount that it had, the price would be wrong
    return Change(event_id, str(event.get("type")), created, state, before, previous, remarks)


_ORDER = {CREATED: 0, UPDATED: 1, DELETED: 2}


def in_order(changes: Iterable[Change]) -> list[Change]:
    """The changes of one subscription as they happened, each event once.

    Moments are whole seconds. Events of one second are ordered so that each follows the one whose result it changed.
    """
    distinct = {change.event_id: change for change in reversed(list(changes))}
    left = sorted(distinct.values(), key=lambda c: (c.created, _ORDER.get(c.kind, 1), c.event_id))
    ordered: list[Change] = []
    while left:
        same = [c for c in left if (c.created, c.kind) == (left[0].created, left[0].kind)]
        latest = ordered[-1].after if ordered else None
        follows = (c for c in same if c.before is not None and c.before == latest)
        begins = (c for c in same if not any(o is not c and o.after == c.before for o in same))
        chosen = next(follows, None) or next(begins, None) or same[0]
        ordered.append(chosen)
        left.remove(chosen)
    return ordered


def states_of_changes(changes: list[Change]) -> Iterator[tuple[Change, Since]]:
    """The states that ordered changes report, each with its change.

    The state before a change is reported too, to the millisecond before it, unless the change before reported it.
    """
    latest = None
    number = 0
    for index, change in enumerate(changes):
        number = number + 1 if index and changes[index - 1].created == change.created else 0
        starts_ms = change.created * 1000 + number
        if change.before is not None and change.before not in (change.after, latest):
            yield change, Since(change.before, starts_ms - 1)
        yield change, Since(change.after, starts_ms)
        latest = change.after
