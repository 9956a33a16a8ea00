"""Reading days and moments in the formats that files write them in. The results are in UTC, without a zone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

Moment = date | datetime
Read = Callable[[str], Moment | None]

_EPOCH = datetime(1970, 1, 1)

# An epoch above this is in milliseconds: as seconds it would lie beyond the year 2286.
_LARGEST_SECONDS = 10**10


def _in_utc(moment: datetime, zone: ZoneInfo | None) -> datetime:
    """A moment without a zone is UTC, or wall time of `zone`."""
    if moment.tzinfo is UTC:
        return moment.replace(tzinfo=None)
    if moment.tzinfo is None:
        if zone is None:
            return moment
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(UTC).replace(tzinfo=None)


def _iso(text: str) -> Moment:
    if len(text) <= 10:  # every form of a day is that short
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    return datetime.fromisoformat(text)


def _iso_utc(text: str) -> Moment:
    """The usual case, a moment in UTC, in half the time."""
    if text[-1:] != "Z" or len(text) <= 10:
        return _iso(text)
    moment = datetime.fromisoformat(text[:-1])
    if moment.tzinfo is not None:
        raise ValueError(text)
    return moment


def _epoch(text: str, unit: int | None) -> datetime:
    """The moment of an epoch in units of that many microseconds; None tells seconds and milliseconds apart by size."""
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        raise ValueError(text)
    number = Decimal(text)
    if unit is None:
        unit = 1_000 if abs(number) > _LARGEST_SECONDS else 1_000_000
    return _EPOCH + timedelta(microseconds=int(number * unit))


def _iso_or_epoch(text: str) -> Moment:
    # A number of eight digits is a day such as 20250131; as an epoch it would lie in 1970.
    if re.fullmatch(r"-?[0-9]{9,}(\.[0-9]+)?", text):
        return _epoch(text, None)
    return _iso(text)


NAMED_FORMATS: dict[str, Callable[[str], Moment]] = {
    "iso": _iso,
    "epoch_seconds": lambda text: _epoch(text, 1_000_000),
    "epoch_ms": lambda text: _epoch(text, 1_000),
    "epoch": lambda text: _epoch(text, None),
    "iso_or_epoch": _iso_or_epoch,
}

# A moment whose parts all differ shows which of them a format carries. Its zone has a name that no machine knows, so
# that `%Z` is refused: it reads the names of the machine's own zone, and a file would read differently elsewhere.
_PROBE = datetime(2001, 2, 3, 16, 5, 6, tzinfo=timezone(timedelta(0), "?"))


def _probed(date_format: str) -> datetime:
    return datetime.strptime(_PROBE.strftime(date_format), date_format)


def is_format(text: str) -> bool:
    """Whether it is a named format, or one of strptime that reads a whole date."""
    if text in NAMED_FORMATS:
        return True
    try:
        return _probed(text).date() == _PROBE.date()
    except (ValueError, re.error):  # re.error: a directive that stands twice
        return False


def moment_reader(date_format: str, zone: str | None = None) -> Read:
    """A function from text to its moment (UTC, without zone), to its day if the format has no time of day, or to None.

    None means that the text does not read as the format. A moment without a zone (an epoch too) is UTC, or wall time of
    `zone`.
    """
    parse = NAMED_FORMATS.get(date_format)
    has_time = True
    if parse is None:
        has_time = _probed(date_format).time() != time()

        def parse(text: str) -> Moment:
            return datetime.strptime(text, date_format)

    elif parse is _iso and not zone:
        parse = _iso_utc
    wall_time = ZoneInfo(zone) if zone else None

    def read(text: str) -> Moment | None:
        try:
            moment = parse(text)
            if not isinstance(moment, datetime):
                return moment
            moment = _in_utc(moment, wall_time)
            return moment if has_time else moment.date()
        except (ValueError, OverflowError, ArithmeticError):
            return None

    return read


def corrected(
    original: Moment | None, sent: Moment | None, received: Moment | None, from_seconds: float
) -> Moment | None:
    """A moment of a device's clock, corrected by the error of that clock when it sent: original + (received - sent).

    Unchanged if one of the others is missing, or if the error is less than from_seconds.
    """
    if not (isinstance(original, datetime) and isinstance(sent, datetime) and isinstance(received, datetime)):
        return original
    error = received - sent
    if abs(error).total_seconds() < from_seconds:
        return original
    try:
        return original + error
    except OverflowError:
        return original


def day_of(moment: Moment) -> str:
    """Its day as ISO text."""
    return moment.isoformat()[:10]
