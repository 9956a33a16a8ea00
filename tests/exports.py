"""The samples of exports beside the project, laid out in folders as their mappings expect them."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import yaml
from worlds import Warehouse

from growth.days import Days
from growth.sources.mapped.files import Files
from growth.warehouse import landing as warehouse
from growth.warehouse.schema import prepare

MAPPINGS = Path(__file__).parents[1] / "include" / "sources"

Call = dict[str, Any]


def lines_of(path: Path) -> list[Call]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def json_lines(calls: Iterable[Call]) -> bytes:
    return "".join(json.dumps(call) + "\n" for call in calls).encode()


def segment_logs(place: Path, calls: Iterable[Call], rng: Random | None = None, parts: int = 1) -> Path:
    """Calls as Segment writes them to a bucket: by the UTC day of their receipt, in any order and several files."""
    days: dict[int, list[Call]] = defaultdict(list)
    for call in calls:
        received = datetime.fromisoformat(call["receivedAt"]).astimezone(UTC)
        midnight = received.replace(hour=0, minute=0, second=0, microsecond=0)
        days[int(midnight.timestamp() * 1000)].append(call)
    for day, some in days.items():
        if rng:
            rng.shuffle(some)
        for part in range(min(parts, len(some))):
            path = place / "segment-logs" / "src_demo" / str(day) / f"{1736000000000 + part}.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(json_lines(some[part::parts])))
    return place


def changed(name: str, folder: Path, change: Callable[[Any], None]) -> Path:
    """A shipped mapping with something changed, under its own name."""
    content = yaml.load((MAPPINGS / f"{name}.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
    change(content)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def shipped(name: str, place: Path | str) -> Files:
    return Files(MAPPINGS / f"{name}.yaml", place)


def land(w: Warehouse, first: date, last: date | None = None) -> None:
    """Land the days from first to last, and nothing more."""
    prepare(w.connection, w.sql)
    warehouse.land(w.connection, w.sql, w.source, Days(first, last or first), {"dag_id": "test", "run_id": "test"})
