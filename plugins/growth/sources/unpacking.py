"""Unpacking compressed files within a budget, so that a small file cannot fill memory or disk."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from growth.errors import UserError, one_line

MAX_GROWTH = 200
"""How many times its own size a file may unpack to; more is taken for an attack."""

FREE_BYTES = 16 << 20
"""What any file may unpack to, however small it is."""


@contextmanager
def readable(shown: str) -> Iterator[None]:
    """Errors of the bytes of a file, which operators know as `shown`, as UserError."""
    try:
        yield
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{shown} cannot be read whole, deliver it again: {one_line(error)[:120]}.") from None


class Budget:
    """How many bytes may come out of a file of some size."""

    def __init__(self, shown: str, size: int, max_growth: int = MAX_GROWTH) -> None:
        self._shown, self._max_growth = shown, max_growth
        self._left = max(FREE_BYTES, size * max_growth)

    def limited(self, data: BinaryIO) -> BinaryIO:
        """The same bytes; reading more of them than the budget allows is an error."""
        return io.BufferedReader(_Limited(data, self))

    def unpacked(self, file: BinaryIO) -> BinaryIO:
        """What a gzip file contains, within the budget."""
        return self.limited(gzip.GzipFile(fileobj=file))

    def spend(self, number: int) -> None:
        self._left -= number
        if self._left < 0:
            raise UserError(
                f"{self._shown} becomes more than {self._max_growth} times larger when it is unpacked, as files do that"
                " are made to fill a disk: check who made it; if it is right, deliver it unpacked or raise max_growth"
                " in its mapping."
            )


class _Limited(io.RawIOBase):
    def __init__(self, data: BinaryIO, budget: Budget) -> None:
        self._data, self._budget = data, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._data.read(len(buffer))
        self._budget.spend(len(data))
        buffer[: len(data)] = data
        return len(data)
