"""A file's bytes as a memory map, so that only pages in use take memory; read whole where mapping is refused."""

import mmap
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MapOrBytes = mmap.mmap | bytes

_PIECE = 32 << 20  # bytes; whole pages
_POPULATE_READ = 22 if sys.platform == "linux" else None  # MADV_POPULATE_READ of Linux 5.14, which Python does not name


def map_file(path: Path) -> MapOrBytes:
    """The content of a regular file, mapped read-only; as bytes where it is empty or cannot be mapped.

    A mapped file must not be cut short while it is open: the system ends a process that reads past the new end.

    Raises:
        OSError: the file is missing, unreadable, or no regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # asked before opening, which would wait for ever on a pipe
        raise OSError("not a regular file")
    with path.open("rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # ValueError: empty file; OSError: a file system without mapping
            return file.read()


def drop_pages(buffer: MapOrBytes, begin: int, end: int) -> None:
    """Give the memory behind bytes [begin, end) back to the system; a later read fetches it from the file again.

    Does nothing where the system cannot do that (Windows) or the file is not mapped.
    """
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if advice is None or not isinstance(buffer, mmap.mmap) or end <= begin:
        return
    start = begin - begin % mmap.PAGESIZE
    buffer.madvise(advice, start, min(end, len(buffer)) - start)


def fetch_pages(buffer: MapOrBytes) -> Iterator[int]:
    """Have the system bring a mapped file into memory and map its pages now, not one by one as they are first read.

    Gives the bytes fetched so far, piece by piece, so that a large file on a slow disk can be watched and interrupted.
    Huge pages are asked for, which some file systems give. Does nothing where the system cannot do that.
    """
    if isinstance(buffer, mmap.mmap) and hasattr(buffer, "madvise"):
        for name in ("MADV_HUGEPAGE", "MADV_WILLNEED"):
            _advise(buffer, getattr(mmap, name, None), 0, len(buffer))
        for begin in range(0, len(buffer), _PIECE):
            size = min(_PIECE, len(buffer) - begin)
            _advise(buffer, _POPULATE_READ, begin, size)
            yield begin + size


def _advise(buffer: mmap.mmap, advice: int | None, begin: int, size: int) -> None:
    if advice is not None:
        with suppress(OSError):  # an older kernel
            buffer.madvise(advice, begin, size)


def close_map(buffer: MapOrBytes) -> None:
    """Unmap now, or when the last array over the map goes away."""
    if isinstance(buffer, mmap.mmap):
        try:
            buffer.close()
        except BufferError:
            drop_pages(buffer, 0, len(buffer))
