"""The cache of machine code: whatever is wrong with it is a miss; what changes the code changes the key."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kernel_source import HEADER, import_text

from glassformer.simd import cache
from glassformer.simd.cache import FOLDER_VARIABLE, ObjectCache, default_folder
from glassformer.simd.kernel import Variant
from glassformer.simd.target import TARGETS, find_target, runnable_targets

CODE = bytes(range(256)) * 3
WORK = "@kernel\ndef work(n: i64) -> i64:\n    return n + 42\n"
posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX permissions")


def entry(folder: Path) -> Path:
    return folder / "key.o"


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    ObjectCache(tmp_path / "cache").write("key", CODE)
    return tmp_path / "cache"


def test_what_is_written_is_read(filled: Path) -> None:
    assert ObjectCache(filled).read("key") == CODE
    assert ObjectCache(filled).read("other") is None
    assert [p.name for p in filled.iterdir()] == ["key.o"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: b"",
        lambda d: d[:7],
        lambda d: d[:47],
        lambda d: d[:-1],
        lambda d: d + b"x",
        lambda d: b"GFKERN00" + d[8:],
        lambda d: d[:8] + struct.pack("<Q", 2**63) + d[16:],
        lambda d: d[:8] + bytes(8) + d[16:],
        lambda d: d[:20] + b"!" + d[21:],
        lambda d: d[:100] + b"!" + d[101:],
        lambda d: d[48:],
        lambda d: bytes(len(d)),
    ],
)
def test_a_spoilt_file_is_a_miss(spoil: Any, filled: Path) -> None:
    data = entry(filled).read_bytes()
    assert spoil(data) != data
    entry(filled).write_bytes(spoil(data))
    store = ObjectCache(filled)
    assert store.read("key") is None
    store.write("key", CODE)
    assert store.read("key") == CODE


@posix
def test_only_the_users_own_regular_files_are_read(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = filled.parent / "elsewhere.o"
    entry(filled).rename(real)
    entry(filled).symlink_to(real)
    assert ObjectCache(filled).read("key") is None
    entry(filled).unlink()
    os.mkfifo(entry(filled))
    assert ObjectCache(filled).read("key") is None
    entry(filled).unlink()
    entry(filled).mkdir()
    assert ObjectCache(filled).read("key") is None
    entry(filled).rmdir()
    real.rename(entry(filled))
    store = ObjectCache(filled)
    assert store.read("key") == CODE
    monkeypatch.setattr(os, "getuid", lambda: 123456)
    assert store.read("key") is None
    assert not ObjectCache(filled).usable


@posix
def test_the_folder_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    assert ObjectCache(folder).usable
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert not ObjectCache(link).usable


@pytest.mark.parametrize("kind", ["file", "below a file", "none"])
def test_without_a_folder_there_is_memory_only(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = ObjectCache({"file": tmp_path / "file", "below a file": tmp_path / "file" / "x", "none": None}[kind])
    store.write("key", CODE)
    assert store.read("key") is None


def test_a_full_disk_ends_writing(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **named: Any) -> Any:
        raise OSError(28, "No space left on device")

    store = ObjectCache(filled)
    monkeypatch.setattr(cache.tempfile, "mkstemp", full)
    store.write("other", CODE)
    assert not store.usable


def test_the_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert default_folder() == tmp_path / "kernels"  # never the named folder itself, whose permissions are not ours
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_folder() is None
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_folder() == tmp_path / "x" / "glassformer" / "kernels"


# ---------------------------------------------------------------- kernels in the cache


def run_fresh(module: Any, n: int, compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Call `work` through a new variant, noting compilations."""
    original = Variant.compile_for

    def noting(self: Variant, *args: Any, **named: Any) -> Any:
        compiled.append(self.owner.name)
        return original(self, *args, **named)

    monkeypatch.setattr(Variant, "compile_for", noting)
    result = Variant(module.work, module.work.annotations[2], 1)(n)
    monkeypatch.undo()
    return int(result or 0)


def test_a_kernel_is_compiled_once_and_again_when_its_file_is_spoilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, folder = import_text(tmp_path, WORK), tmp_path / "cache"
    compiled: list[str] = []
    for expected, spoil in ((1, None), (1, None), (2, b"rubbish"), (2, None), (3, b"")):
        if spoil is not None:
            for file in (folder / "kernels").glob("*.o"):
                file.write_bytes(spoil)
        monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
        assert run_fresh(module, 1, compiled, monkeypatch) == 43
        assert len(compiled) == expected
        assert len(list((folder / "kernels").glob("*.o"))) == 1


def test_a_folder_that_cannot_be_used_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_text(tmp_path, WORK)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file"))
    assert module.work(1) == 43


def test_two_processes_at_once(tmp_path: Path) -> None:
    (tmp_path / "shared_kernel.py").write_text(HEADER + WORK)
    command = [sys.executable, "-c", "import shared_kernel; print(shared_kernel.work(1))"]
    source = Path(cache.__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{source}",
        FOLDER_VARIABLE: str(tmp_path / "cache"),
    }
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [p.communicate(timeout=60)[0].strip() for p in running] == ["43"] * 3
    assert len(list((tmp_path / "cache" / "kernels").iterdir())) == 1


KEYED = """
import math
SIZE, FACTORS, KIND = 4, (1, 2), f32
SETTINGS = math


@kernel
def inner(x: i64) -> i64:
    return x + 1


@kernel
def work(n: i64, *, T: int = 1) -> i64:
    total: i64 = n
    for t in static_range(SIZE):
        total += inner(t * FACTORS[1] + T)
    return total + i64(KIND(math.tau))
"""


def key_of(folder: Path, text: str, **constants: Any) -> str:
    return str(import_text(folder, text).work.specialise(**constants).key(TARGETS["avx2"]))


def test_the_key_names_all_that_the_code_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = key_of(tmp_path, KEYED)
    assert base == key_of(tmp_path, KEYED)
    assert base == key_of(tmp_path, KEYED.replace("SETTINGS = math", "SETTINGS = 3"))  # which no kernel reads
    assert base == key_of(tmp_path, KEYED, T=1)
    edits = [
        ("x + 1", "x + 2"),
        ("SIZE, FACTORS, KIND = 4", "SIZE, FACTORS, KIND = 5"),
        ("(1, 2)", "(1, 3)"),
        ("(1, 2), f32", "(1, 2), f64"),
        ("total += inner", "total -= inner"),
        ("math.tau", "math.pi"),
        ("T: int = 1", "T: int = 2"),
        ("x: i64", "x: i32"),
        ("total: i64 = n", "total: i32 = n"),
        ("n: i64, *", "n: u64, *"),
    ]
    keys = [key_of(tmp_path, KEYED.replace(old, new)) for old, new in edits]
    keys += [key_of(tmp_path, KEYED, T=2), key_of(tmp_path, KEYED, T=1.0), key_of(tmp_path, KEYED, T=True)]
    monkeypatch.setattr("math.tau", 6.0)
    keys.append(key_of(tmp_path, KEYED))
    same_source = {key_of(tmp_path, KEYED.replace("T: int = 1", "T: int = 2")), key_of(tmp_path, KEYED, T=2)}
    assert len(same_source) == 2  # another default is another text
    assert base not in keys
    assert len(set(keys)) == len(keys)


def test_the_key_names_the_target_and_the_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = import_text(tmp_path, KEYED).work.specialise()
    keys = {work.key(t) for t in TARGETS.values()}
    assert len(keys) == len(TARGETS)
    assert find_target().name == runnable_targets()[-1]
    monkeypatch.setattr(sys.modules["glassformer.simd.kernel"], "language_fingerprint", lambda: "another")
    assert work.key(TARGETS["avx2"]) not in keys


def test_files_that_pile_up_go_when_they_were_not_used_for_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    for place in range(10):
        ObjectCache(folder).write(f"key{place}", CODE)
        os.utime(folder / f"key{place}.o", (1000 + (place + 5) % 10,) * 2)
    (folder / "notes").write_text("not ours")
    size = (folder / "key0.o").stat().st_size
    monkeypatch.setattr(cache, "MOST_BYTES", 10 * size)
    ObjectCache(folder).write("new", CODE)
    assert len(list(folder.glob("*.o"))) == 11, "as many as may be: nothing goes"
    (folder / "new.o").unlink()
    monkeypatch.setattr(cache, "MOST_BYTES", 6 * size)
    ObjectCache(folder).write("new", CODE)
    assert {path.name for path in folder.iterdir()} == {"key2.o", "key3.o", "key4.o", "new.o", "notes"}
