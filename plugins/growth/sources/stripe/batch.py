"""The rows of one batch, collected from Stripe's events, lists of subscriptions, or both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

from growth.sources.stripe.events import (
    CREATED,
    EVENT_TYPES,
    Change,
    change_of,
    in_order,
    object_before,
    states_of_changes,
)
from growth.sources.stripe.objects import StripeObject, about, id_of, moment, start_of
from growth.sources.stripe.settings import Settings
from growth.sources.stripe.subscriptions import is_wanted, link_of, state_of, states_behind
from growth.sources.subscription_rows import Since, State, SubscriptionBatch


class PreviousList(NamedTuple):
    """The list before a list. If there are events since, its states may be out of date."""

    day: date
    states: Mapping[str, State]
    events_since: bool


class StripeBatch(SubscriptionBatch):
    """The rows of one batch: first add all events or objects, then write the rows that they make."""

    def __init__(self, day: date, settings: Settings) -> None:
        super().__init__(day)
        self._settings = settings
        self._changes: dict[str, list[tuple[Change, StripeObject]]] = defaultdict(list)
        self._event_ids: set[str] = set()

    def add_event(self, event: StripeObject, is_first: bool = False) -> None:
        """An event of this batch; `is_first` if it is the first of its subscription. A repeated event adds nothing."""
        content, subscription = event.content, about(event.content)
        event_id = id_of(content)
        if event_id is not None:
            if event_id in self._event_ids:
                return
            self._event_ids.add(event_id)
        if content.get("type") not in EVENT_TYPES:
            self.count(event.file, str(content.get("type")))
        elif not is_wanted({"livemode": content.get("livemode", subscription.get("livemode"))}, self._settings):
            self._count_other_mode(event)
        elif (change := change_of(content, self._settings)) is None:
            self.add_malformed(event.file, event.number)
        else:
            if not is_first:  # only the first needs its object: there may be many thousands of events
                change = change._replace(object_before=None)
            self._changes[change.after.subscription_id or ""].append((change, event._replace(content={})))
            self._link(event, subscription)
            for remark in change.remarks:
                self.count(event.file, remark)

    def write_events(self, history_known: bool = True) -> None:
        """Rows for all events that were added.

        If an earlier list has not told the history, the first event of a subscription tells what its dates say.
        """
        for changes in self._changes.values():
            events = {change.event_id: event for change, event in changes}
            ordered = in_order(change for change, _ in changes)
            for change in ordered:
                if change.object_before is not None and not history_known:
                    for since in states_behind(change.object_before, change.created - 1, self._settings):
                        self._write(events[change.event_id], since.no_later_than(change.created * 1000 - 1))
            for change, since in states_of_changes(ordered):
                self._write(events[change.event_id], since)

    def write_list(self, subscriptions: Iterable[StripeObject], before: PreviousList | None) -> None:
        """Rows for a list of subscriptions: for the first one, or for what differs from the list before."""
        start = start_of(self.day)
        known = before.states if before else {}
        missing = {name for name, state in known.items() if state.end_date is None}
        seen: set[str] = set()
        for subscription in subscriptions:
            name = id_of(subscription.content)
            if name is None:
                self.add_malformed(subscription.file, subscription.number)
                continue
            missing.discard(name)
            if name in seen:  # pages of a list overlap if subscriptions were created while it was read
                continue
            seen.add(name)
            if not self._is_wanted(subscription):
                continue
            self._link(subscription, subscription.content)
            state = self._state(subscription, subscription.content, start)
            if before is None or name not in known:
                for since in states_behind(subscription.content, start, self._settings):
                    # A state in a list of this day began by the end of the day, whatever the object's dates say.
                    self._write(subscription, since.no_later_than((start + 86_400) * 1000 - 1))
            elif state != known[name] or before.events_since:
                *_, latest = states_behind(subscription.content, start, self._settings)
                dated = latest.starts_ms if state.status != known[name].status else None
                if dated is None or dated < start_of(before.day) * 1000:
                    dated = start * 1000
                self._write(subscription, Since(state, dated))
        if missing:
            self.count("", "subscription missing from a later list: export with status=all", len(missing))

    def write_pull(self, pulled: list[StripeObject], is_first: bool, known: Collection[str]) -> None:
        """Rows for a list that the API gave, with the events before and after this day, as of the end of this day.

        Events after the day are undone; events before it date the states. `known` are the ids of the events that
        earlier batches have reported.
        """
        end = start_of(self.day) + 86_400
        events: dict[str, list[tuple[Change, StripeObject]]] = defaultdict(list)
        for each in pulled:
            if each.content.get("object") == "event" and each.content.get("type") in EVENT_TYPES:
                change = change_of(each.content, self._settings)
                if change is not None and change.event_id not in self._event_ids:
                    self._event_ids.add(change.event_id)
                    events[change.after.subscription_id or ""].append((change, each))
        for each in pulled:
            name = id_of(each.content)
            if each.content.get("object") == "subscription" and name is not None and self._is_wanted(each):
                self._write_pulled(each, events.pop(name, []), end, is_first, known)
        # Left are events of subscriptions that were created after the list was read.
        for name, changes in events.items():
            self._changes[name] = [
                (change, event)
                for change, event in changes
                if change.created < end
                and change.event_id not in known
                and self._is_wanted(event._replace(content=about(event.content)))
            ]
        self.write_events()
        self._changes.clear()

    def _write_pulled(
        self,
        subscription: StripeObject,
        changes: list[tuple[Change, StripeObject]],
        end: int,
        is_first: bool,
        known: Collection[str],
    ) -> None:
        events = {change.event_id: event for change, event in changes}
        ordered = in_order(change for change, _ in changes)
        # Undo the events from the latest to the earliest: to the object at the end of the day, and before all events.
        at_end = oldest = subscription.content
        for number in reversed(range(len(ordered))):
            event = events[ordered[number].event_id].content
            status = about(events[ordered[number - 1].event_id].content).get("status") if number else None
            oldest = object_before(oldest, event, status) or oldest
            if ordered[number].created >= end:
                at_end = object_before(at_end, event, status) or at_end
        by_end = [change for change in ordered if change.created < end]
        created_in_events = any(change.kind == CREATED for change in ordered)
        created_later = (moment(subscription.content.get("created")) or 0) >= end
        if created_later or (created_in_events and not by_end):
            return  # a later batch reports it
        self._link(subscription, at_end)
        latest: State | None = None
        if is_first and not created_in_events:
            begun = min((change.created for change in ordered), default=end)
            for since in states_behind(oldest, begun - 1, self._settings):
                self._write(subscription, since.no_later_than(begun * 1000 - 1))
                latest = since.state
        for change, since in states_of_changes(by_end):
            if change.event_id not in known:
                self._write(events[change.event_id], since)
            latest = since.state
        state = self._state(subscription, at_end, end - 1)
        if state != latest:
            # A change without an event.
            self._write(subscription, Since(state, end * 1000 - 1))

    def _write(self, origin: StripeObject, since: Since) -> None:
        self.add_state(origin.file, origin.number, since)

    def _state(self, subscription: StripeObject, content: Mapping[str, Any], at: int) -> State:
        state, remarks = state_of(content, at, self._settings)
        for remark in remarks:
            self.count(subscription.file, remark)
        return state

    def _is_wanted(self, subscription: StripeObject) -> bool:
        wanted = is_wanted(subscription.content, self._settings)
        if not wanted:
            self._count_other_mode(subscription)
        return wanted

    def _count_other_mode(self, each: StripeObject) -> None:
        self.count(each.file, f"livemode is not {'false' if self._settings.mode == 'test' else 'true'}")

    def _link(self, origin: StripeObject, subscription: Mapping[str, Any]) -> None:
        if link := link_of(subscription, self._settings):
            self.add_link(origin.file, origin.number, link)
