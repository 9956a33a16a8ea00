"""Words of a page that stand for a column, with the sentence of the column's description."""

from __future__ import annotations

from dataclasses import dataclass

from growth.language.queries import Reader


@dataclass(frozen=True)
class Term:
    """A word or two, and the sentence that a page shows on hover and on focus."""

    text: str
    sentence: str | None = None

    def __str__(self) -> str:
        return self.text


def term(reader: Reader, text: str, table: str, column: str) -> Term:
    # Descriptions are Markdown, a title is plain text.
    return Term(text, reader.sql.tables[table].columns[column].sentence.replace("`", ""))
