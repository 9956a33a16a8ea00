"""What a model file says about its table: the sentence and keys in its header, the columns in its select list."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SQL_FOLDER = Path(__file__).parents[3] / "include" / "sql"
LAYERS = ("identity", "staging", "intermediate", "marts")

# The type of a column follows from its name (the naming table of the README); what is named in no other way is a count.
_TEXT = re.compile(r"(^id|_id|_date|_month|_at|_on|_name|_type|_source|_campaign|_status|_reason|_file|^kind)$")
_REAL = re.compile(r"^avg_|(_rate|_score|_usd)$")
_TYPES = {
    **dict.fromkeys(("email", "status", "currency", "content"), "text"),
    **dict.fromkeys(("mrr", "paid_mrr", "stickiness"), "real"),
}

_HEADER_KEYS = ("grain", "scope", "changes", "cluster", "indexes", "words", "severity")


@dataclass(frozen=True)
class Header:
    """The comment lines that a SQL file begins with: sentences, then `key: value` lines."""

    sentence: str
    keys: dict[str, str]

    def names(self, key: str) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.keys.get(key, "").split(",") if name.strip())


def read_header(text: str) -> Header:
    """The header of a SQL file's text."""
    sentences, keys = [], {}
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        key, colon, value = line.removeprefix("--").strip().partition(":")
        if colon and key in _HEADER_KEYS:
            keys[key] = value.strip()
        else:
            sentences.append(line.removeprefix("--").strip())
    return Header(" ".join(sentences), keys)


def column_type(name: str) -> str:
    """text, real or integer, by the rule that columns are named by."""
    return _TYPES.get(name) or ("text" if _TEXT.search(name) else "real" if _REAL.search(name) else "integer")


def select_list(query: str) -> tuple[str, ...]:
    """The column names of the last select at the top level of a rendered query: the shape of its table."""
    text = re.sub(r"--[^\n]*|'(?:[^']|'')*'", lambda m: "''" if m[0][0] == "'" else "", query)
    outer = depth = 0
    flat = []
    for character in text:
        depth -= character == ")"
        flat.append(character if depth == outer else " ")
        depth += character == "("
    body = re.split(r"\bselect\b", "".join(flat), flags=re.IGNORECASE)[-1]
    items = re.split(r"\bfrom\b", body, flags=re.IGNORECASE)[0].split(",")
    return tuple(re.search(r"(\w+)\s*$", item)[1] for item in items)


@dataclass(frozen=True)
class Model:
    """A table of the warehouse, as its file describes it."""

    name: str
    layer: str
    header: Header
    columns: tuple[str, ...]

    @property
    def grain(self) -> tuple[str, ...]:
        """The columns that name one row."""
        return self.header.names("grain")

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key: the grain, in the order in which rows lie beside each other."""
        return self.header.names("cluster") or self.grain

    @property
    def scope(self) -> tuple[str, ...]:
        """The columns that name a partition."""
        return self.header.names("scope")

    @property
    def changes(self) -> tuple[str, ...]:
        """The columns that tell the tables below what came, went or changed."""
        return self.header.names("changes")

    @property
    def indexes(self) -> list[tuple[str, ...]]:
        return [tuple(c.strip() for c in i.split(",")) for i in self.header.keys.get("indexes", "").split(";") if i]

    @property
    def types(self) -> dict[str, str]:
        return self.types_of(self.columns)

    def types_of(self, columns: tuple[str, ...]) -> dict[str, str]:
        return {column: column_type(column) for column in columns}


def model_files() -> dict[str, Path]:
    """Table name to file, layer by layer. A file is a model when its header names a scope.

    The tables of a layer do not read each other, but for identity, where the second reads the first, and for the totals
    of int_user_engagement, which come after it.
    """
    return {
        path.stem: path
        for layer in LAYERS
        for path in sorted((SQL_FOLDER / layer).glob("*.sql"))
        if read_header(path.read_text(encoding="utf-8")).keys.get("scope")
    }


def tables(layer: str) -> list[str]:
    """The names of a layer's tables."""
    return [name for name, path in model_files().items() if path.parent.name == layer]


def doc(table: str) -> str:
    """What the Airflow UI shows about a table."""
    header = read_header(model_files()[table].read_text(encoding="utf-8"))
    rows = "\n".join(f"* {key}: {value}" for key, value in header.keys.items() if key in ("grain", "words"))
    return f"{header.sentence}\n\n{rows}"
