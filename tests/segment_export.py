"""An export as Segment writes it to a bucket: any number of calls in gz JSON lines. `make bench` lands 5 million.

python tests/segment_export.py 5000000 /folder writes one; the same number of calls gives the same files.
"""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

FIRST_DAY = date(2025, 1, 1)
CALLS = 5_000_000
AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537"
)
# Kind, name, share of the calls.
KINDS = [
    ("page", "Home", 30),
    ("page", "Pricing", 10),
    ("track", "Report Viewed", 20),
    ("track", "Dashboard Viewed", 15),
    ("track", "Button Clicked", 10),  # no rule maps it
    ("track", "Signed In", 6),
    ("track", "Project Created", 2),
    ("track", "Signed Up", 1),
    ("identify", "", 4),
    ("group", "", 2),
]


def calls(number: int, days: int = 1) -> Iterator[tuple[date, str]]:
    """Lines with the day on which they were received. About a quarter of the people never say who they are."""
    rng = Random(number)
    kinds = rng.choices(KINDS, [share for *_, share in KINDS], k=9_973)
    people = max(number // 50, 1)
    step = timedelta(days=days) / number
    start = datetime.combine(FIRST_DAY, datetime.min.time(), UTC)
    for n in range(number):
        kind, name, _ = kinds[n % len(kinds)]
        person = rng.randrange(people)
        received = start + n * step
        at = received.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        original = (received - timedelta(seconds=n % 7)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        user = f'"user-{person}"' if person % 4 else "null"
        body = {
            "page": f'"name":"{name}","properties":{{"path":"/{name.lower()}","title":"{name}","n":{n}}}',
            "track": f'"event":"{name}","properties":{{"item":{n % 977},"label":"item {n % 977}","price":29.90}}',
            "identify": f'"traits":{{"email":"{person}@example.com","createdAt":"{original}","name":"P {person}"}}',
            "group": f'"groupId":"g-{person % 997}","traits":{{"plan":"basic","employees":"{person % 90}"}}',
        }[kind]
        yield (
            received.date(),
            f'{{"type":"{kind}","messageId":"ajs-next-{n:032x}","originalTimestamp":"{original}","sentAt":"{original}",'
            f'"receivedAt":"{at}","timestamp":"{at}","channel":"client","context":{{"library":{{"name":"analytics.js",'
            f'"version":"next-1.70.0"}},"ip":"203.0.113.{n % 250}","locale":"en-US","userAgent":"{AGENT}.{n % 40}",'
            f'"campaign":{{"source":"google","medium":"cpc","name":"spring-{n % 12}"}},"page":{{"path":"/","url":'
            f'"https://example.com/?n={n}","referrer":"https://www.google.com/","title":"Home"}}}},"integrations":{{}},'
            f'"version":2,"projectId":"src_demo","anonymousId":"{person:08x}-aaaa-4bbb-8ccc-{person:012x}",'
            f'"userId":{user},{body}}}\n',
        )


def write(number: int, place: Path, days: int = 1) -> int:
    """Write the calls below a place, one file for each day; gives the bytes of what they are unpacked."""
    size = 0
    open_day, file, lines = None, None, []
    for day, line in calls(number, days):
        if day != open_day or len(lines) == 20_000:
            if file:
                file.write("".join(lines).encode())
            lines = []
            if day != open_day:
                if file:
                    file.close()
                open_day = day
                midnight = int(datetime.combine(day, datetime.min.time(), UTC).timestamp() * 1000)
                folder = place / "segment-logs" / "src_demo" / str(midnight)
                folder.mkdir(parents=True, exist_ok=True)
                file = gzip.GzipFile(folder / "1.gz", "wb", compresslevel=1, mtime=0)
        lines.append(line)
        size += len(line)
    file.write("".join(lines).encode())
    file.close()
    return size


def land(place: Path, database: Path) -> None:
    """Land the export; prints what it took as JSON. In a process of its own, whose peak of memory is then this."""
    from worlds import Warehouse

    from growth.days import Days
    from growth.sources.mapped.files import Files
    from growth.warehouse.landing import land
    from growth.warehouse.schema import prepare

    source = Files(Path(__file__).parents[1] / "include/sources/segment.yaml", place)
    w = Warehouse(database, source)
    prepare(w.connection, w.sql)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    days = Days(source.first_day, source.last_day)
    started, started_cpu = time.perf_counter(), time.process_time()
    landed = land(w.connection, w.sql, source, days, {"dag_id": "bench", "run_id": "bench"})
    (unmapped,) = w.query("select coalesce(sum(rows_seen), 0) from unmapped_events")[0]
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - started,
                "cpu": time.process_time() - started_cpu,
                "database seconds": landed.sql_seconds,
                "rows": landed.rows,
                "unmapped": unmapped,
                "before": base,
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            }
        )
    )


def bench(sizes: tuple[int, ...] = (CALLS // 10, CALLS)) -> None:
    """Land exports of several sizes and print what it took: seconds are of one machine in one run."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "calls", "gz, MB", "unpacked, MB", "rows", "seconds", "calls a second", "CPU seconds", "in SQLite", "peak, MB"
    )
    for number in sizes:
        with TemporaryDirectory() as folder:
            place = Path(folder)
            unpacked = write(number, place)
            packed = sum(path.stat().st_size for path in place.rglob("*.gz"))
            command = [sys.executable, __file__, "land", str(place), str(place / "warehouse.db")]
            said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            table.add_row(
                f"{number:,}",
                f"{packed / 1e6:,.0f}",
                f"{unpacked / 1e6:,.0f}",
                f"{sum(said['rows'].values()):,}",
                f"{said['seconds']:.1f}",
                f"{number / said['seconds']:,.0f}",
                f"{said['cpu']:.1f}",
                f"{100 * said['database seconds'] / said['seconds']:.0f} %",
                f"{said['peak'] / 1024:,.0f}",
            )
    table.caption = (
        "one core reads, maps and inserts; the index of each raw table and its key are what SQLite spends on"
    )
    Console(width=110, highlight=False).print(table)


if __name__ == "__main__":
    if sys.argv[1] == "land":
        land(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1] == "bench":
        bench(tuple(map(int, sys.argv[2:])) or (CALLS // 10, CALLS))
    else:
        write(int(sys.argv[1]), Path(sys.argv[2]))
