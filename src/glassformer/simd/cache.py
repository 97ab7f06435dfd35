"""Compiled kernels on disk: one file a key, checked before use, never trusted further than that.

A file is the 8 bytes of MAGIC, the length of the object code (8 bytes, little-endian), its SHA-256, then the code.
Anything off (magic, length, digest, owner, permissions) is a miss; a folder that cannot be written means memory only.
When files of kernels that have changed since pile up, those that were not read for longest go.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

MAGIC = b"GFKERN01"
HEADER = struct.Struct("<8sQ32s")
MOST_BYTES = 256 << 20  # of files; some 60 kernels of 50 kB serve a model
FOLDER_VARIABLE = "GLASSFORMER_CACHE"


def default_folder() -> Path | None:
    """Where this user's caches live by the platform's convention; GLASSFORMER_CACHE overrides it. None: nowhere."""
    try:
        return _default_folder()
    except RuntimeError:  # no home folder
        return None


def _default_folder() -> Path:
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen) / "kernels"  # a folder of our own, whose permissions we may tighten
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "glassformer" / "kernels"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "glassformer" / "kernels"
    general = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The base directory specification has relative paths ignored; the empty one is relative too.
    return (general if general.is_absolute() else Path.home() / ".cache") / "glassformer" / "kernels"


class ObjectCache:
    """Object code by key, in a folder that only its owner may read or write."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder or Path()
        self.usable = folder is not None and self._prepare()
        self._tidy = False

    def _prepare(self) -> bool:
        """Make the folder and make sure that nobody else can have put code into it."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = self.folder.lstat()
        except OSError:
            return False
        if not hasattr(os, "getuid"):  # Windows: the profile folder is the user's own
            return True
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
            return False
        if info.st_mode & 0o077:
            try:
                self.folder.chmod(0o700)
            except OSError:
                return False
        return True

    def read(self, key: str) -> bytes | None:
        """The object code of a key, or None."""
        if not self.usable:
            return None
        try:
            data = read_own(self.folder / f"{key}.o")
        except OSError:
            return None
        if len(data) < HEADER.size:
            return None
        magic, length, digest = HEADER.unpack_from(data)
        code = data[HEADER.size :]
        if magic != MAGIC or length != len(code) or hashlib.sha256(code).digest() != digest:
            return None
        return code

    def write(self, key: str, code: bytes) -> None:
        """Keep object code: written aside, then renamed, so that a reader sees all of it or nothing."""
        if not self.usable:
            return
        if not self._tidy:
            self._tidy = True
            forget_oldest(self.folder, MOST_BYTES)
        try:
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=".writing-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(HEADER.pack(MAGIC, len(code), hashlib.sha256(code).digest()) + code)
                Path(name).replace(self.folder / f"{key}.o")
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError:
            self.usable = False  # a full disk or a read-only home: go on in memory


def forget_oldest(folder: Path, most: int) -> None:
    """Delete the files that were not read or written for longest, if all have more than `most` bytes: down to half."""
    with suppress(OSError):  # another process may do the same
        files = [(max(info.st_atime, info.st_mtime), info.st_size, path) for path, info in with_status(folder)]
        total = sum(size for _, size, _ in files)
        if total <= most:
            return
        for _, size, path in sorted(files):
            if total <= most // 2:
                break
            path.unlink(missing_ok=True)
            total -= size


def with_status(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files of object code in a folder."""
    return ((path, path.lstat()) for path in folder.glob("*.o"))


def read_own(path: Path) -> bytes:
    """The bytes of a regular file that belongs to this user; b"" of anything else."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        info = os.fstat(file.fileno())
        foreign = hasattr(os, "getuid") and info.st_uid != os.getuid()
        return b"" if foreign or not stat.S_ISREG(info.st_mode) else file.read()


@cache
def object_cache(folder: Path | None) -> ObjectCache:
    """The cache of a folder."""
    return ObjectCache(folder)


@cache
def language_fingerprint() -> str:
    """Changes whenever a file of this package does, so that an edited compiler never meets its old output."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        info = path.stat()
        digest.update(f"{path.name} {info.st_size} {info.st_mtime_ns};".encode())
    return digest.hexdigest()
