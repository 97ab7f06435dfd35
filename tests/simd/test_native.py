"""What LLVM leaves behind goes back to the system, and LLVM works on afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glassformer.simd import Pointer, f32, i64, kernel, native

SMAPS = """\
7f00-7f10 r--p 00000000 fe:00 14 /lib/libllvmlite.so
Size:   64 kB
Private_Dirty:         0 kB
7f10-7f30 r-xp 00000000 fe:00 14 /lib/libllvmlite.so
Private_Dirty:         0 kB
7f30-7f40 r--p 00000000 fe:00 14 /lib/libllvmlite.so
Private_Dirty:         4 kB
7f40-7f50 rw-p 00000000 fe:00 14 /lib/libllvmlite.so
Private_Dirty:         0 kB
7f50-7f60 r-xp 00000000 fe:00 15 /lib/libother.so
Private_Dirty:         0 kB
7f60-7f70 rw-p 00000000 00:00 0
Private_Dirty:         0 kB
"""


def test_only_clean_mappings_of_the_file_are_given_back() -> None:
    assert native.clean_mappings(SMAPS, "libllvmlite") == [(0x7F00, 0x7F10), (0x7F10, 0x7F30)]


def build_and_run(constant: float) -> float:
    """A kernel that was never compiled before."""

    @kernel
    def place(out: Pointer[f32], begin: i64, end: i64, *, VALUE: float) -> None:
        for i in range(begin, end):
            out[i] = VALUE

    out = np.zeros(1, np.float32)
    place.specialise(VALUE=constant)(out, 0, 1)
    return float(out[0])


def test_llvm_works_after_its_pages_were_given_back() -> None:
    for value in (1.5, 2.5, 3.5):
        assert build_and_run(value) == value
        native.give_back()


FRESH = """
import mmap, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_native import build_and_run
from glassformer.simd import native
resident = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
build_and_run(4.5)
held = resident()
native.give_back()
print(held - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_memory_shrinks() -> None:
    """In a process of its own, where little else comes and goes."""
    command = [sys.executable, "-c", FRESH, str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) > 16 << 20
