"""Where files are: a folder of this machine, or a bucket through Airflow's ObjectStoragePath and its connection."""

from __future__ import annotations

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import translate
from pathlib import Path
from typing import Any, BinaryIO

from growth.errors import UserError, one_line


def open_store(location: str | Path) -> FileStore:
    """The files below an address such as s3://bucket/folder, or below a folder."""
    return Bucket(str(location)) if "://" in str(location) else Folder(Path(location))


class FileStore(ABC):
    """Files below one folder, named by their paths in it. All methods raise UserError."""

    @abstractmethod
    def shown(self, name: str) -> str:
        """A file as an operator would name it."""

    @abstractmethod
    def matching(self, pattern: str) -> list[str]:
        """The names of the files that a glob pattern matches, sorted; ** stands for any folders."""

    @abstractmethod
    def stamp(self, name: str) -> tuple[Any, ...]:
        """A value that changes when the file changes."""

    @abstractmethod
    def size(self, name: str) -> int: ...

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """The file, to read and to seek in."""

    @contextmanager
    def unchanged(self, name: str) -> Iterator[BinaryIO]:
        """The file, opened; a change while it is open is an error."""
        before = self.stamp(name)
        with self.open(name) as file:
            yield file
        if self.stamp(name) != before:
            raise UserError(f"{self.shown(name)} changed while it was read: wait until it is complete, then run again.")


class Folder(FileStore):
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
        with self._user_errors(name):
            status = (self._path / name).stat()
        return status.st_size, status.st_mtime_ns, status.st_ino

    def size(self, name: str) -> int:
        with self._user_errors(name):
            return (self._path / name).stat().st_size

    def open(self, name: str) -> BinaryIO:
        with self._user_errors(name):
            return (self._path / name).open("rb")

    @contextmanager
    def _user_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.shown(name)} cannot be read ({error.strerror}): make it readable, or deliver it again."
            ) from None


# What file systems report of a file and what changes with its content. Each of them reports some of these.
_STAMPS = (
    *("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "updated", "generation", "md5Hash"),
    *("ino", "created"),
)


class Bucket(FileStore):
    """A folder in an object store, or in any other file system that Airflow knows by a URL."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") if not url.endswith("://") else url
        self._opened: tuple[Any, str] | None = None

    def __str__(self) -> str:
        return re.sub(r"//[^/@]*@", "//", self._url)  # without the connection, which may contain a password

    def shown(self, name: str) -> str:
        return f"{self}/{name}"

    @property
    def _files(self) -> tuple[Any, str]:
        """The file system and the path of the folder in it."""
        if self._opened is None:
            with _user_errors(str(self)):
                from airflow.sdk import ObjectStoragePath

                path = ObjectStoragePath(self._url)
                self._opened = path.fs, path.path.rstrip("/")
        return self._opened

    def matching(self, pattern: str) -> list[str]:
        files, _ = self._files
        with _user_errors(str(self)):
            files.invalidate_cache()
            # Folder by folder, so that finding the files of a day does not list those of all days.
            folders = [""]
            *above, last = pattern.split("/")
            for part in above:
                folders = [below for folder in folders for below in self._folders(folder, part)]
            matches = re.compile(translate(last)).match
            found = {
                f"{folder}{name}"
                for folder in folders
                for name, is_file in self._listed(folder)
                if is_file and matches(name)
            }
            if not found:
                self._listed("")  # raises an error if there is no such bucket or folder
            return sorted(found)

    def _folders(self, folder: str, part: str) -> list[str]:
        """The folders below one that a part of a pattern matches."""
        if part == "**":
            return [folder, *(f"{folder}{name}/" for name in self._tree(folder))]
        if not re.search(r"[*?\[]", part):
            return [f"{folder}{part}/"]
        matches = re.compile(translate(part)).match
        return [f"{folder}{name}/" for name, is_file in self._listed(folder) if not is_file and matches(name)]

    def _listed(self, folder: str) -> list[tuple[str, bool]]:
        """The names in a folder, and whether each is a file."""
        files, root = self._files
        try:
            entries = files.ls(f"{root}/{folder}".rstrip("/") or "/", detail=True)
        except (FileNotFoundError, NotADirectoryError):
            if not folder:
                raise
            return []
        named = [(str(entry["name"]).rstrip("/").rsplit("/", 1)[-1], entry["type"] != "directory") for entry in entries]
        return [(name, is_file) for name, is_file in named if name]

    def _tree(self, folder: str) -> Iterator[str]:
        """All folders below a folder."""
        for name, is_file in self._listed(folder):
            if not is_file:
                yield name
                yield from (f"{name}/{below}" for below in self._tree(f"{folder}{name}/"))

    def stamp(self, name: str) -> tuple[Any, ...]:
        information = self._information(name)
        return tuple(str(information[key]) for key in _STAMPS if information.get(key) is not None)

    def size(self, name: str) -> int:
        return int(self._information(name)["size"])

    def _information(self, name: str) -> dict[str, Any]:
        files, root = self._files
        with _user_errors(self.shown(name)):
            files.invalidate_cache()
            return files.info(f"{root}/{name}")

    def open(self, name: str) -> BinaryIO:
        files, root = self._files
        with _user_errors(self.shown(name)):
            return io.BufferedReader(_StoredFile(files.open(f"{root}/{name}", "rb"), self.shown(name)))


@contextmanager
def _user_errors(what: str) -> Iterator[None]:
    """Errors of a store as UserError. Stores share no base class for them."""
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
    except Exception as error:
        if isinstance(error, ImportError) or "No filesystem registered" in str(error):
            raise UserError(
                f"{what} cannot be opened ({_short(error)}): install Airflow's provider for this kind of store, for s3://"
                " that of requirements-s3.txt."
            ) from None
        raise UserError(
            f"{what} cannot be read, the store answered {type(error).__name__} ({_short(error)}): check that it is"
            " up and that its Airflow connection is right, then run again."
        ) from None


def _short(error: object) -> str:
    return one_line(error)[:200].rstrip(".") or "it gave no reason"


class _StoredFile(io.RawIOBase):
    """A file of a store that raises UserError."""

    def __init__(self, file: BinaryIO, shown: str) -> None:
        self._file, self._shown = file, shown

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _user_errors(self._shown):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        with _user_errors(self._shown):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
