"""Whether the numbers can be believed: checks, rejected rows, and what changed after it counted as final."""

from __future__ import annotations

from growth.language.sql import check_sentence
from growth.ui import figures
from growth.ui.filters import Filters
from growth.ui.listing import Field, Source, page_of
from growth.ui.parts import NOTHING, Chart, Content, Note, Sheet, Table, count, percent, words
from growth.ui.reader import Reader, Row

PATH = "data-quality"
TITLE = "Data quality"
TABLES = ("check_results", "rejects", "restatements", "raw_batches")
FILTERS = ()


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    content = Content()
    state = reader.row("state")
    failed = state["checks_failed"] > 0
    run_id = state["unpublished_run_id"] if failed else state["published_run_id"]
    content.add(_checks(reader.rows("checks", {"run_id": run_id}), run_id, failed))
    content.add(_rejects(reader.rows("rejects"), reader.rows("landed")))
    content.add(_causes(reader.rows("restatements_by_cause")))
    if reader.row("restatements", counted=True, searched=False)["cells"]:
        content.add(_ledger(reader, filters))
    return content


def _checks(rows: list[Row], run_id: str, failed: bool) -> Sheet:
    def result(row: Row) -> str:
        if not row["rows_found"]:
            return "passed"
        return "warned" if row["severity"] == "warn" else "failed"

    results = [result(row) for row in rows]
    counts = ", ".join(f"{results.count(word)} {word}" for word in ("passed", "warned", "failed"))
    return Sheet(
        "checks",
        "Checks of the last run",
        f"Run {run_id}{', which has not published' if failed else ''}: {counts}.",
        Table(
            ["result", "table", "what must be true", "rows that say otherwise"],
            [
                [word, table, _sentence(row["check_name"]) or words(claim), count(row["rows_found"])]
                for word, row in zip(results, rows, strict=True)
                for table, _, claim in [row["check_name"].partition("__")]
            ],
            word_columns=3,
        ),
        is_open=set(results) != {"passed"},
    )


def _sentence(check: str) -> str:
    """What the check's file says; nothing where a newer version has no such file."""
    return check_sentence(check)


def _rejects(rows: list[Row], landed: list[Row]) -> Chart | Note:
    total = sum(row["rows_landed"] for row in landed)
    rejected = sum(row["rows_rejected"] for row in rows)
    if not rows:
        return Note(f"None of the {count(total)} rows that have arrived was rejected.")
    tables = sorted({row["table_name"] for row in rows})
    reasons = list(dict.fromkeys(row["reject_reason"] for row in rows))
    found = {(row["table_name"], row["reject_reason"]): row["rows_rejected"] for row in rows}
    return Chart(
        "rejects",
        "Rejected rows by reason",
        f"{count(rejected)} of {count(total)} rows that have arrived ({percent(rejected / total if total else None)})"
        " do not count; the table rejects holds each with its content.",
        figures.stacked_lying_bars(reasons, {t: [found.get((t, r), 0) for r in reasons] for t in tables}),
        Table(
            ["table", "reason", "first", "last", "rows"],
            [
                [
                    row["table_name"],
                    row["reject_reason"],
                    row["first_date"],
                    row["last_date"],
                    count(row["rows_rejected"]),
                ]
                for row in rows
            ],
            word_columns=4,
        ),
    )


def _causes(rows: list[Row]) -> Chart | Note:
    if not rows:
        return Note("No cell has changed after it counted as final: the restatement ledger is empty.")
    causes = list(dict.fromkeys(row["cause"] or NOTHING for row in rows))
    tables = sorted({row["table_name"] for row in rows})
    found = {(row["table_name"], row["cause"] or NOTHING): row["cells"] for row in rows}
    return Chart(
        "causes",
        "Restated cells by cause",
        f"{count(sum(row['cells'] for row in rows))} cells changed after they counted as final: late events,"
        " corrections and new definitions reach the past, and each change is written down.",
        figures.stacked_lying_bars(causes, {t: [found.get((t, c), 0) for c in causes] for t in tables}),
        Table(
            ["cause", "table", "cells"],
            [[row["cause"] or NOTHING, row["table_name"], count(row["cells"])] for row in rows],
            word_columns=2,
        ),
    )


def _value(number: float | None) -> str:
    return NOTHING if number is None else f"{number:,.4f}".rstrip("0").rstrip(".")


def ledger() -> Source:
    """The ledger as a list."""

    def text(name: str, title: str) -> Field:
        return Field(name, title, name, lambda row: row[name] or NOTHING)

    def number(name: str, title: str) -> Field:
        return Field(name, title, name, lambda row: _value(row[name]), True, lambda row: row[name])

    return Source(
        "restatements",
        {},
        [
            text("as_of_date", "On"),
            text("table_name", "Table"),
            text("row_key", "Row"),
            text("column_name", "Column"),
            number("old_value", "Was"),
            number("new_value", "Is"),
            text("cause", "Cause"),
        ],
        sorted_by="as_of_date",
        order="desc",
    )


def _ledger(reader: Reader, filters: Filters) -> object:
    return page_of(
        ledger(),
        reader,
        filters,
        name="ledger",
        title="Restatement ledger",
        says="Each cell that changed after it counted as final, with what it was, what it is, and why.",
        download="restatements.csv",
    )
