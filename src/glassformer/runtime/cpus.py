"""How many processors this process may use: its affinity mask, and the quota of its control group."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
THREADS_VARIABLE = "GLASSFORMER_THREADS"


def affinity() -> list[int]:
    """Numbers of the processors that this process may run on; all of them where the system cannot say."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def read_numbers(path: Path) -> list[int]:
    """The whole numbers in a small file; none where it is missing or says "max"."""
    try:
        return [int(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []


def cgroup_folders(root: Path, membership: Path) -> list[Path]:
    """Control-group folders of this process, its own first, then its parents'."""
    try:
        own = next(line.split("::", 1)[1] for line in membership.read_text(encoding="utf8").splitlines() if "::" in line)
    except (OSError, StopIteration):
        own = "/"
    folder = root / own.lstrip("/")
    return [folder, *(p for p in folder.parents if root in p.parents or p == root)]


def quota(root: Path = CGROUP, membership: Path = Path("/proc/self/cgroup")) -> float:
    """Processors' worth of time that the control group grants (version 2, else version 1); infinite without a limit."""
    limits = [math.inf]
    for folder in cgroup_folders(root, membership):
        numbers = read_numbers(folder / "cpu.max")
        if len(numbers) == 2 and numbers[1] > 0:
            limits.append(numbers[0] / numbers[1])
    period, allowed = (read_numbers(root / "cpu" / f"cpu.cfs_{name}_us") for name in ("period", "quota"))
    if period and allowed and period[0] > 0 and allowed[0] > 0:
        limits.append(allowed[0] / period[0])
    return min(limits)


def default_threads() -> int:
    """Threads to compute with: GLASSFORMER_THREADS, else what affinity and quota allow, at least 1."""
    wish = os.environ.get(THREADS_VARIABLE, "")
    if wish.isdigit() and int(wish) > 0:
        return int(wish)
    return max(1, min(len(affinity()), math.ceil(quota()) if quota() < math.inf else len(affinity())))
