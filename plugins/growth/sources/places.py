"""Where files lie: a folder of this machine, or a bucket by Airflow's ObjectStoragePath and its connection."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import translate
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from growth.errors import UserError, one_line


class Place(Protocol):
    """Files below one folder, named by their paths in it."""

    def __str__(self) -> str: ...

    def shown(self, name: str) -> str:
        """A file as an operator would name it."""
        ...

    def matching(self, pattern: str) -> list[str]:
        """The names of the files that a glob pattern matches, sorted; ** stands for any folders."""
        ...

    def stamp(self, name: str) -> tuple[Any, ...]:
        """What changes when a file changes."""
        ...

    def size(self, name: str) -> int: ...

    def open(self, name: str) -> BinaryIO:
        """A file to read from and to seek in."""
        ...


def place_of(where: str | Path) -> Place:
    """The place of an address such as s3://bucket/folder, or of a folder's path."""
    return Bucket(str(where)) if "://" in str(where) else Folder(Path(where))


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def shown(self, name: str) -> str:
        return str(self._path / name)

    def matching(self, pattern: str) -> list[str]:
        if not self._path.is_dir():
            raise UserError(f"There is no folder {self._path}: name the one that has the files of the source.")
        found = (path for path in self._path.glob(pattern) if path.is_file())
        return sorted(path.relative_to(self._path).as_posix() for path in found)

    def stamp(self, name: str) -> tuple[Any, ...]:
        with self._said(name):
            status = (self._path / name).stat()
        return status.st_size, status.st_mtime_ns, status.st_ino

    def size(self, name: str) -> int:
        with self._said(name):
            return (self._path / name).stat().st_size

    def open(self, name: str) -> BinaryIO:
        with self._said(name):
            return (self._path / name).open("rb")

    @contextmanager
    def _said(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.shown(name)} cannot be read ({error.strerror}): make it readable, or deliver it again."
            ) from None


# Of what a file system says of a file: what differs when its content does. Each says some of these.
_MARKS = (
    "size",
    "mtime",
    "ETag",
    "etag",
    "LastModified",
    "last_modified",
    "updated",
    "generation",
    "md5Hash",
    "ino",
    "created",
)


class Bucket:
    """A folder in an object store, or of any other file system that Airflow knows by a URL."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") if not url.endswith("://") else url
        self._opened: tuple[Any, str] | None = None

    def __str__(self) -> str:
        return re.sub(r"//[^/@]*@", "//", self._url)  # without the connection, which may be a password

    def shown(self, name: str) -> str:
        return f"{self}/{name}"

    @property
    def _files(self) -> tuple[Any, str]:
        """The file system and the path of the folder in it."""
        if self._opened is None:
            with self._said(str(self)):
                from airflow.sdk import ObjectStoragePath

                path = ObjectStoragePath(self._url)
                self._opened = path.fs, path.path.rstrip("/")
        return self._opened

    def matching(self, pattern: str) -> list[str]:
        files, _ = self._files
        with self._said(str(self)):
            files.invalidate_cache()
            # Folder by folder, so that a day's files are found without a list of those of all days.
            folders = [""]
            *above, last = pattern.split("/")
            for part in above:
                if part == "**":
                    folders = [
                        each
                        for folder in folders
                        for each in (
                            folder,
                            *(f"{folder}{name}/" for name, is_file in self._tree(folder) if not is_file),
                        )
                    ]
                elif re.search(r"[*?\[]", part):
                    matches = re.compile(translate(part)).match
                    folders = [
                        f"{folder}{name}/"
                        for folder in folders
                        for name, is_file in self._listed(folder)
                        if not is_file and matches(name)
                    ]
                else:
                    folders = [f"{folder}{part}/" for folder in folders]
            matches = re.compile(translate(last)).match
            found = {
                f"{folder}{name}"
                for folder in folders
                for name, is_file in self._listed(folder)
                if is_file and matches(name)
            }
            if not found:
                self._listed("")  # an error where there is no such bucket or folder
            return sorted(found)

    def _listed(self, folder: str) -> list[tuple[str, bool]]:
        files, root = self._files
        try:
            entries = files.ls(f"{root}/{folder}".rstrip("/") or "/", detail=True)
        except (FileNotFoundError, NotADirectoryError):
            if not folder:
                raise
            return []
        named = [(str(entry["name"]).rstrip("/").rsplit("/", 1)[-1], entry["type"] != "directory") for entry in entries]
        return [(name, is_file) for name, is_file in named if name]

    def _tree(self, folder: str) -> Iterator[tuple[str, bool]]:
        for name, is_file in self._listed(folder):
            yield name, is_file
            if not is_file:
                yield from ((f"{name}/{below}", kind) for below, kind in self._tree(f"{folder}{name}/"))

    def stamp(self, name: str) -> tuple[Any, ...]:
        information = self._information(name)
        return tuple(str(information[mark]) for mark in _MARKS if information.get(mark) is not None)

    def size(self, name: str) -> int:
        return int(self._information(name)["size"])

    def _information(self, name: str) -> dict[str, Any]:
        files, root = self._files
        with self._said(self.shown(name)):
            files.invalidate_cache()
            return files.info(f"{root}/{name}")

    def open(self, name: str) -> BinaryIO:
        files, root = self._files
        with self._said(self.shown(name)):
            return io.BufferedReader(_Guarded(files.open(f"{root}/{name}", "rb"), self._said, self.shown(name)))

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """What a store answers as one sentence. Each store has errors of its own, which have nothing in common."""
        try:
            yield
        except UserError:
            raise
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"There is no {what}: name the bucket and folder that have the files.") from None
        except PermissionError as error:
            raise UserError(
                f"{what} may not be read ({_short(error)}): give the connection the right to list and to read it."
            ) from None
        except (ImportError, ValueError) as error:
            if isinstance(error, ValueError) and "No filesystem registered" not in str(error):
                raise self._answered(what, error) from None
            raise UserError(
                f"{what} cannot be opened ({_short(error)}): install Airflow's provider for this kind of store, for s3://"
                " that of requirements-s3.txt."
            ) from None
        except Exception as error:
            raise self._answered(what, error) from None

    @staticmethod
    def _answered(what: str, error: Exception) -> UserError:
        return UserError(
            f"{what} cannot be read, the store answered {type(error).__name__} ({_short(error)}): see that it is"
            " up and that its Airflow connection is right, then run again."
        )


def _short(error: object) -> str:
    return one_line(error)[:200].rstrip(".") or "it gave no reason"


class _Guarded(io.RawIOBase):
    """A file of a store whose errors are sentences."""

    def __init__(self, file: BinaryIO, said: Any, what: str) -> None:
        self._file, self._said, self._what = file, said, what

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._said(self._what):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        with self._said(self._what):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
