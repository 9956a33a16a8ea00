"""Words of a page, with the sentences that explain them."""

from __future__ import annotations

from dataclasses import dataclass

from growth.language.queries import Reader


@dataclass(frozen=True)
class Term:
    """A word or two, and the sentence that a page shows when somebody points at them."""

    text: str
    sentence: str | None = None

    def __str__(self) -> str:
        return self.text


def explain(reader: Reader, table: str, column: str) -> str | None:
    """The sentence of a column in its table's description; None where there is none."""
    described = reader.sql.tables.get(table)
    return (described and column in described.columns and described.columns[column].sentence) or None


def term(reader: Reader, text: str, table: str, column: str) -> Term:
    """A word of a page that stands for a column of a table."""
    return Term(text, explain(reader, table, column))
