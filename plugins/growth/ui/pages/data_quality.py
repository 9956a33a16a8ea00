"""Whether the numbers can be trusted: checks, rejected rows, and what changed after it was final."""

from __future__ import annotations

from growth.language.queries import Reader, Row
from growth.language.sql import check_sentence
from growth.ui import figures
from growth.ui.filters import Filters
from growth.ui.listing import Field, ListedTable, listing
from growth.ui.parts import NOTHING, Chart, Content, Note, Sheet, Table, count, percent, words
from growth.ui.terms import Term, term

PATH = "data-quality"
TITLE = "Data quality"
TABLES = ("check_results", "rejects", "restatements", "raw_batches")
FILTERS = ()


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    content = Content()
    state = reader.row("page/state")
    failed = state["checks_failed"] > 0
    run_id = state["unpublished_run_id"] if failed else state["published_run_id"]
    content.add(_checks(reader.rows("page/checks", {"run_id": run_id}), run_id, failed))
    content.add(_rejects(reader, reader.rows("page/rejects"), reader.rows("page/landed")))
    content.add(_causes(reader.rows("page/restatements_by_cause")))
    if reader.row("page/restatements", counted=True)["cells"]:
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
            ["result", "table", "what must be true", "rows that violate it"],
            [
                [word, table, check_sentence(row["check_name"]) or words(claim), count(row["rows_found"])]
                for word, row in zip(results, rows, strict=True)
                for table, _, claim in [row["check_name"].partition("__")]
            ],
            word_columns=3,
        ),
        is_open=set(results) != {"passed"},
    )


def _rejects(reader: Reader, rows: list[Row], landed: list[Row]) -> Chart | Note:
    total = sum(row["rows_landed"] for row in landed)
    rejected = sum(row["rows_rejected"] for row in rows)
    if not rows:
        return Note(f"None of the {count(total)} rows that have landed was rejected.")
    tables = sorted({row["table_name"] for row in rows})
    reasons = list(dict.fromkeys(row["reject_reason"] for row in rows))
    found = {(row["table_name"], row["reject_reason"]): row["rows_rejected"] for row in rows}
    return Chart(
        "rejects",
        "Rejected rows by reason",
        f"{count(rejected)} of {count(total)} rows that have landed ({percent(rejected / total if total else None)})"
        " are rejected and do not count; the table rejects holds each with its content.",
        figures.stacked_lying_bars(reasons, {t: [found.get((t, r), 0) for r in reasons] for t in tables}),
        Table(
            ["table", term(reader, "reason", "rejects", "reject_reason"), "first", "last", "rows"],
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
        return Note("No cell has changed after it was final: the restatement ledger is empty.")
    causes = list(dict.fromkeys(row["cause"] or NOTHING for row in rows))
    tables = sorted({row["table_name"] for row in rows})
    found = {(row["table_name"], row["cause"] or NOTHING): row["cells"] for row in rows}
    return Chart(
        "causes",
        "Restated cells by cause",
        f"{count(sum(row['cells'] for row in rows))} cells changed after they were final: late events,"
        " corrections and new definitions change the past, and the ledger records each change.",
        figures.stacked_lying_bars(causes, {t: [found.get((t, c), 0) for c in causes] for t in tables}),
        Table(
            ["cause", "table", "cells"],
            [[row["cause"] or NOTHING, row["table_name"], count(row["cells"])] for row in rows],
            word_columns=2,
        ),
    )


def _value(number: float | None) -> str:
    return NOTHING if number is None else f"{number:,.4f}".rstrip("0").rstrip(".")


def ledger() -> ListedTable:
    """The ledger of restatements."""

    def text(name: str, title: str) -> Field:
        return Field(name, Term(title), name, lambda row: row[name] or NOTHING)

    def number(name: str, title: str) -> Field:
        return Field(name, Term(title), name, lambda row: _value(row[name]), True, lambda row: row[name])

    return ListedTable(
        "page/restatements",
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
    return listing(
        ledger(),
        reader,
        filters,
        name="ledger",
        title="Restatement ledger",
        sentence="Each cell that changed after it was final, with its old value, its new value, and the cause.",
        download="restatements.csv",
    )
