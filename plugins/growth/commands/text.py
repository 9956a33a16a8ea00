"""What the commands print: plain text of at most 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 100
STAR = " *"
"""The end of a cell whose number can still change."""

_GAP = 3
_SHORT = 10  # a header up to this length stays on one line


def count(number: float) -> str:
    return f"{number:,.0f}"


def percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"


def plain(text: object, longest: int, keep_end: bool = False) -> str:
    """Text of the data in ASCII on one line, shortened where it is too long; of file names the end tells them apart."""
    shown = ascii(" ".join(str(text).split()))[1:-1]
    if len(shown) <= longest:
        return shown
    return "..." + shown[3 - longest :] if keep_end else shown[: longest - 3] + "..."


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> list[str]:
    """The lines of a table: the first column to the left, numbers to the right, the note only where a cell has a star.

    A header that is longer than its cells is broken between words into two lines. Columns that do not fit beside each
    other continue below, with the first column repeated.
    """
    columns = [_column(header, [row[n] for row in rows], n == 0) for n, header in enumerate(headers)]
    first, *others = columns
    blocks = [[first]]
    for column in others:
        if _width([*blocks[-1], column]) > WIDTH and len(blocks[-1]) > 1:
            blocks.append([first])
        blocks[-1].append(column)
    lines: list[str] = []
    for block in blocks:
        drawn = [(" " * _GAP).join(cells).rstrip() for cells in zip(*block, strict=True)]
        head = [line for line in drawn[:2] if line]
        lines += [*([""] if lines else []), *head, "-" * _width(block), *drawn[2:]]
    if any(cell.endswith(STAR) for row in rows for cell in row):
        lines.append(note)
    return lines


def room(headers: Sequence[str], columns: int) -> int:
    """The width of each of some further columns beside one with these cells."""
    return (WIDTH - max(map(len, headers))) // columns - _GAP


def _width(columns: Sequence[Sequence[str]]) -> int:
    return sum(len(column[0]) + _GAP for column in columns) - _GAP


def _column(header: str, cells: list[str], is_first: bool) -> list[str]:
    """Two lines of header and all cells, padded to one width. Stars stand to the right of aligned numbers."""
    lines = [*_two_lines(header, max((len(cell) for cell in cells), default=0)), *cells]
    if not is_first and any(cell.endswith(STAR) for cell in cells):
        lines = [line if line.endswith(STAR) else line + " " * len(STAR) for line in lines]
    width = max(map(len, lines))
    return [line.ljust(width) if is_first else line.rjust(width) for line in lines]


def _two_lines(header: str, width: int) -> tuple[str, str]:
    words = header.split()
    if len(header) <= max(width, _SHORT) or len(words) == 1:
        return "", header
    breaks = [(" ".join(words[:n]), " ".join(words[n:])) for n in range(1, len(words))]
    return min(breaks, key=lambda lines: max(map(len, lines)))
