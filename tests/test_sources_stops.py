"""Landing that stops: with one sentence, and the raw tables as they were."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.io import attach, store
from exports import changed, land, lines_of, segment_logs, shipped
from fsspec.implementations.memory import MemoryFileSystem
from segment_export import write
from worlds import Warehouse

from growth.errors import UserError
from growth.language.raw import RAW_COLUMNS, UNMAPPED
from growth.sources.file_stores import open_store
from growth.sources.mapped import files, finding, formats
from growth.sources.mapped.files import Files
from growth.sources.mapped.finding import Finder
from growth.sources.mapped.mapping import load

FIRST, LAST = date(2025, 1, 1), date(2025, 1, 4)


@pytest.fixture
def folder(tmp_path: Path, shared_data: Path) -> Path:
    """Four days of Segment's calls."""
    return segment_logs(tmp_path / "place", lines_of(shared_data / "data/sources/segment/segment_logs_spec.jsonl"))


@pytest.fixture
def landed(folder: Path, warehouse) -> Warehouse:
    w = warehouse(shipped("segment", folder))
    land(w, FIRST, LAST)
    return w


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a row or two, so that some have been handed out before the last of a file is read."""
    monkeypatch.setattr(formats, "PIECE_ROWS", 2)
    monkeypatch.setattr(files, "PIECE_ROWS", 2)


def tables(w: Warehouse) -> dict[str, list[Any]]:
    names = (*RAW_COLUMNS, UNMAPPED, "raw_batches", "work_scope_batches", "run_state")
    return {table: w.query(f"select * from {table}") for table in names}


def stops(w: Warehouse, source: Any = None, first: date = FIRST, last: date = LAST) -> str:
    """The sentence with which a landing stops that leaves no trace."""
    before = tables(w)
    w.source = source or w.source
    with pytest.raises(UserError) as caught:
        land(w, first, last)
    assert tables(w) == before
    said = str(caught.value)
    assert said.endswith(".")
    assert len(said.splitlines()) == 1
    assert len(said) < 600
    return said


def file_of(folder: Path, day: date = date(2025, 1, 2)) -> Path:
    (found,) = (
        path for path in folder.rglob("*.gz") if path.parent.name == str((day - date(1970, 1, 1)).days * 86400000)
    )
    return found


@pytest.mark.parametrize("left", [0.3, 0.95])
def test_a_truncated_gz(landed, folder, left):
    path = file_of(folder)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])

    assert f"{path} cannot be read whole, deliver it again" in stops(landed)


def test_pieces_had_been_handed_out_before(landed, folder):
    """Else these tests would show nothing of what is undone."""
    path = file_of(folder)
    path.write_bytes(path.read_bytes()[:-8])
    given: list[int] = []

    def read() -> None:
        for piece in shipped("segment", folder).pieces(FIRST, LAST):
            given.append(len(piece["raw_events"]))

    with pytest.raises(UserError):
        read()
    assert sum(given) >= 4


def bomb(size: int = 40 << 20) -> bytes:
    line = b'{"type":"page","messageId":"m","anonymousId":"a","timestamp":"2025-01-02T00:00:00Z"}\n'
    return gzip.compress(line + b" " * size + b"\n")


def test_a_gz_that_becomes_a_thousand_times_larger(landed, folder):
    path = file_of(folder)
    path.write_bytes(bomb())
    assert path.stat().st_size * 200 < 40 << 20

    said = stops(landed)

    assert f"{path} becomes more than 200 times larger when it is unpacked" in said
    assert "max_growth" in said


def test_how_much_a_file_may_grow_is_a_setting(landed, folder, tmp_path):
    file_of(folder).write_bytes(bomb())

    mapping = changed("segment", tmp_path / "mappings", lambda content: content.update(max_growth="2000"))
    landed.source = Files(mapping, folder)
    land(landed, FIRST, LAST)

    assert landed.query("select count(*) from raw_events where batch_date = '2025-01-02'") == [(1,)]


def test_a_zip_in_which_one_file_becomes_too_large(tmp_path, warehouse):
    """Also where it is a gz in the zip, which the zip cannot make smaller."""
    for kind in ("plain", "gz"):
        folder = tmp_path / kind / "events"
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            data = bomb()
            archive.writestr("1.json.gz" if kind == "gz" else "1.json", data if kind == "gz" else gzip.decompress(data))

        said = stops(warehouse_of(warehouse, "amplitude", folder.parent), first=FIRST, last=LAST)

        assert "export.zip becomes more than 200 times larger" in said


def warehouse_of(warehouse: Callable[..., Warehouse], name: str, folder: Path) -> Warehouse:
    """A warehouse that is prepared, in which nothing has landed."""
    from growth.warehouse.schema import prepare

    w = warehouse(shipped(name, folder))
    prepare(w.connection, w.sql)
    return w


@pytest.mark.parametrize("content", [b"PK\x03\x04 and then nothing", b"", "cut"])
def test_a_damaged_zip(tmp_path, warehouse, shared_data, content):
    folder = tmp_path / "place" / "events"
    folder.mkdir(parents=True)
    archive = zipped(shared_data)
    data = archive[: len(archive) // 2] + archive[len(archive) // 2 + 40 :] if content == "cut" else content
    (folder / "export.zip").write_bytes(data)

    said = stops(warehouse_of(warehouse, "amplitude", folder.parent))

    assert "export.zip" in said
    assert "cannot be read whole, deliver it again" in said


def zipped(shared_data: Path) -> bytes:
    calls = gzip.compress((shared_data / "data/sources/amplitude/export_spec.jsonl").read_bytes())
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("100001/100001_2025-01-01_12#0.json.gz", calls)
        archive.writestr("__MACOSX/._1.json.gz", b"what a Mac adds")
    return sink.getvalue()


def test_a_whole_zip_of_gz_lands(tmp_path, warehouse, shared_data):
    folder = tmp_path / "place" / "events"
    folder.mkdir(parents=True)
    (folder / "export.zip").write_bytes(zipped(shared_data))
    w = warehouse_of(warehouse, "amplitude", folder.parent)
    land(w, FIRST, date(2025, 1, 31))

    files = w.query("select distinct source_file from raw_events")
    assert files == [("events/export.zip/100001/100001_2025-01-01_12#0.json.gz",)]
    assert w.query("select count(*) from raw_events") == [(10,)]


@pytest.mark.parametrize("how", ["grows", "is replaced", "goes away"])
def test_a_file_that_changes_while_it_is_read(landed, folder, monkeypatch, how):
    path = file_of(folder)
    opened = formats.parts

    def parts(name: str, shown: str, *rest: Any) -> Iterator[Any]:
        yield from opened(name, shown, *rest)
        if shown == str(path):
            if how == "grows":
                path.write_bytes(path.read_bytes() + gzip.compress(b"{}\n"))
            else:
                content, times = path.read_bytes(), path.stat()
                path.unlink()
                if how == "is replaced":  # by one that looks the same
                    path.with_name("new").write_bytes(content)
                    path.with_name("new").rename(path)
                    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))

    monkeypatch.setattr(formats, "parts", parts)
    said = stops(landed)

    assert str(path) in said
    assert ("changed while it was read" in said) == (how != "goes away")


@pytest.mark.parametrize(
    ("name", "sample", "said"),
    [
        (
            "amplitude",
            "segment/segment_logs_spec.jsonl",
            "has no row with any of $insert_id, device_id, user_id, uuid",
        ),
        ("amplitude", "mixpanel/export_spec.jsonl", "has no row with any of $insert_id, device_id, user_id, uuid"),
        ("mixpanel", "amplitude/export_spec.jsonl", "has no row with any of event, properties."),
        ("mixpanel", "segment/segment_logs_spec.jsonl", "has an arrival that reads as 'epoch_ms'"),
        ("segment", "amplitude/export_spec.jsonl", "has no row with any of messageId, userId, of which the mapping"),
        ("segment", "mixpanel/export_spec.jsonl", "has no row with any of messageId, userId, of which the mapping"),
        (
            "segment",
            "stripe/subscriptions_pages.json",
            "has no row with any of messageId, userId, of which the mapping",
        ),
        ("relax", "segment/warehouse_pages_1row.csv", "has no column 'creation_source'"),
    ],
)
def test_a_mapping_for_another_file(tmp_path, warehouse, shared_data, name, sample, said):
    content = (shared_data / "data/sources" / sample).read_bytes()
    where = {
        "amplitude": "events/1.jsonl",
        "mixpanel": "1.jsonl",
        "segment": "segment-logs/s/1735776000000/1.gz",
        "relax": "users.csv.gz",
    }[name]
    path = tmp_path / "place" / where
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    (tmp_path / "place" / "logins.csv.gz").write_bytes(gzip.compress(b"user_id,time_stamp\n1,2025-01-02\n"))

    found = stops(warehouse_of(warehouse, name, tmp_path / "place"), first=date(2025, 1, 2), last=date(2025, 1, 2))

    assert str(path) in found
    assert said in found


def test_a_day_without_a_file_is_a_fault_by_default(landed, folder):
    file_of(folder).unlink()

    said = stops(landed)

    assert f"No file of 2025-01-02 in {folder} matches 'segment-logs/*/1735776000000/*.gz'" in said
    assert "no_file: empty_day" in said
    assert "No file of 2025-01-05" in stops(landed, first=date(2025, 1, 5), last=date(2025, 1, 5))


def test_a_day_without_a_file_may_be_an_empty_day(landed, folder, tmp_path):
    file_of(folder).unlink()
    mapping = changed("segment", tmp_path / "mappings", lambda content: content.update(no_file="empty_day"))
    landed.source = Files(mapping, folder)

    land(landed, FIRST, LAST + timedelta(days=3))

    days = landed.query("select distinct batch_date from raw_events order by 1")
    assert days == [("2025-01-01",), ("2025-01-04",)]
    landed_days = landed.query("select count(*) from raw_batches where batch_date = '2025-01-02' and rows_landed = 0")
    assert landed_days == [(len(RAW_COLUMNS),)]


def test_a_year_is_looked_for_at_once_and_a_week_day_by_day_with_the_same_result(folder, tmp_path, monkeypatch):
    mapping = changed("segment", tmp_path / "mappings", lambda content: content.update(no_file="empty_day"))
    finder = Finder(load(mapping), mapping, open_store(folder))
    found = []
    for at_once in (0, 100):
        monkeypatch.setattr(finding, "_DAYS_ONE_BY_ONE", at_once)
        found.append([(file.name, file.day) for file in finder.files(date(2025, 1, 2), date(2025, 1, 30))])

    assert found[0] == found[1]
    assert [day for _, day in found[0]] == [date(2025, 1, 2), date(2025, 1, 3), date(2025, 1, 4)]


def test_a_file_of_an_unknown_format(tmp_path, warehouse):
    folder = tmp_path / "place"
    (folder / "export").mkdir(parents=True)
    (folder / "export" / "1.json.xz").write_bytes(b"\xfd7zXZ")
    mapping = changed("mixpanel", tmp_path / "mappings", lambda content: content["files"][0].pop("format"))

    said = stops(warehouse_of_source(warehouse, Files(mapping, folder)))

    assert f"{folder / 'export' / '1.json.xz'} has no known format" in said


def warehouse_of_source(warehouse: Callable[..., Warehouse], source: Any) -> Warehouse:
    from growth.warehouse.schema import prepare

    w = warehouse(source)
    prepare(w.connection, w.sql)
    return w


def test_a_large_json_document(tmp_path, warehouse, monkeypatch):
    monkeypatch.setattr(formats, "LARGEST_DOCUMENT", 1000)
    (tmp_path / "1.json").write_text(json.dumps([{"event": "x" * 2000}]))
    mapping = changed("mixpanel", tmp_path / "mappings", lambda content: content["files"][0].update(format="json"))

    said = stops(warehouse_of_source(warehouse, Files(mapping, tmp_path)))

    assert "1.json is a JSON document of more than" in said
    assert "JSON lines" in said


def test_a_line_without_an_end(tmp_path, warehouse, monkeypatch):
    monkeypatch.setattr(formats, "LONGEST_LINE", 1 << 20)
    (tmp_path / "1.jsonl").write_text('{"event": "' + "x" * (3 << 20))

    assert "1.jsonl has a line of more than 1 MB" in stops(warehouse_of(warehouse, "mixpanel", tmp_path))


# --- Buckets


class Store(MemoryFileSystem):
    """A store that answers with an error from some moment on, in the way that s3fs says it."""

    protocol = "memory"
    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    refuses: Exception | None = None
    when = "list"

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        if self.refuses and self.when == "list":
            raise self.refuses
        return super().ls(path, detail=detail, **kwargs)

    def _open(self, path: str, *arguments: Any, **kwargs: Any) -> Any:
        if self.refuses and self.when == "open":
            raise self.refuses
        file = super()._open(path, *arguments, **kwargs)
        if self.refuses and self.when == "read":
            return Interrupted(file, self.refuses)
        return file


class Interrupted(io.RawIOBase):
    """A file that can be read to its middle."""

    def __init__(self, file: Any, error: Exception) -> None:
        self._content, self._error = file.getvalue(), error
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        if self._at >= len(self._content) // 2:
            raise self._error
        data = self._content[self._at : self._at + min(size, 200)]
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at


@pytest.fixture
def bucket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(store, "_STORE_CACHE", {})
    files = Store()
    Store.store = {}
    for path in folder.rglob("*.gz"):
        files.pipe(f"/bucket/exports/{path.relative_to(folder).as_posix()}", path.read_bytes())
    attach("memory", fs=files)
    return files


URL = "memory://bucket/exports"


def test_a_bucket_lands_what_a_folder_does(landed, bucket, folder, warehouse):
    other = warehouse(shipped("segment", URL))
    land(other, FIRST, LAST)
    through_airflow = warehouse(shipped("segment", f"file://{folder}"))
    land(through_airflow, FIRST, LAST)

    for table in RAW_COLUMNS:
        query = f"select * from {table} order by source_file, source_row"
        assert other.query(query) == landed.query(query) == through_airflow.query(query)
    assert (other.source.first_day, other.source.last_day) == (FIRST, LAST)


def test_two_stars_go_through_the_folders_of_a_bucket(bucket, tmp_path):
    for name in ("1.gz", "a/2.gz", "a/b/3.gz", "a/b/4.txt"):
        bucket.pipe(f"/bucket/deep/{name}", b"")
    deep = open_store("memory://bucket/deep")

    assert deep.matching("**/*.gz") == ["1.gz", "a/2.gz", "a/b/3.gz"]
    assert deep.matching("a/**/*") == ["a/2.gz", "a/b/3.gz", "a/b/4.txt"]
    assert deep.matching("a/*") == ["a/2.gz"]
    for name in ("1.gz", "a/2.gz", "a/b/3.gz", "a/b/4.txt"):
        path = tmp_path / "deep" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    on_disk = open_store(tmp_path / "deep")
    for pattern in ("**/*.gz", "a/**/*", "a/*", "?/*/*.t*", "[ab]/2.gz", "none/*"):
        assert on_disk.matching(pattern) == deep.matching(pattern), pattern


class ClientError(Exception):
    """As botocore says it, which is no OSError."""


@pytest.mark.parametrize("when", ["list", "open", "read"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Access Denied"), "may not be read (Access Denied): give the connection the right"),
        (OSError(5, "Internal Error"), "the store answered OSError"),
        (ClientError("An error occurred (500)\n  when calling"), "answered ClientError (An error occurred (500) when"),
        (TimeoutError(), "answered TimeoutError (it gave no reason): check that it is up"),
    ],
)
def test_a_bucket_that_answers_403_or_500(landed, bucket, error, said, when):
    bucket.refuses, bucket.when = error, when

    found = stops(landed, shipped("segment", URL))

    assert "memory://bucket/exports" in found
    assert said in found


def test_a_bucket_that_is_not_there(landed, bucket):
    assert "There is no memory://bucket/nowhere" in stops(landed, shipped("segment", "memory://bucket/nowhere"))


def test_a_kind_of_store_that_airflow_does_not_know(landed):
    said = stops(landed, shipped("segment", "s3://key:secret@bucket/exports"))

    assert "s3://bucket/exports cannot be opened" in said
    assert "install" in said
    assert "secret" not in said


def test_an_object_that_changes_while_it_is_read(landed, bucket, monkeypatch):
    opened = formats.parts

    def parts(name: str, *rest: Any) -> Iterator[Any]:
        yield from opened(name, *rest)
        bucket.pipe(f"/bucket/exports/{name}", bucket.cat(f"/bucket/exports/{name}"))

    monkeypatch.setattr(formats, "parts", parts)

    assert "changed while it was read: wait until it is complete" in stops(landed, shipped("segment", URL))


# --- Memory


def test_a_file_ten_times_larger_takes_no_more_memory(tmp_path, monkeypatch):
    """Measured as what Python holds at most while it reads, without the machine's own share."""
    monkeypatch.setattr(formats, "PIECE_ROWS", 500)
    monkeypatch.setattr(files, "PIECE_ROWS", 1000)
    monkeypatch.setattr(formats, "BLOCK_BYTES", 100_000)
    import tracemalloc

    import pandas  # noqa: F401

    peaks = []
    for number in (3_000, 30_000):
        folder = tmp_path / str(number)
        write(number, folder)
        source = shipped("segment", folder)
        tracemalloc.start()
        rows = sum(len(piece["raw_events"]) for piece in source.pieces(FIRST, FIRST))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows > number // 2

    assert peaks[1] < 1.5 * peaks[0]
