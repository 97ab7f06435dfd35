"""Loading takes little more memory than the weights as held, and the file's pages are given back."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gpt2_cases import BASE, Tensors, save

from glassformer.models.config import GPT2Config, expected_tensors

LIMIT = 1.15
# The shapes of GPT-2 with 124 million parameters, and of models of which one matrix is most.
SIZES: dict[str, dict[str, object]] = {
    "124M": {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12},
    "wide vocabulary": {"vocab_size": 40000, "n_positions": 64, "n_embd": 512, "n_layer": 1, "n_head": 8},
    "untied": {
        "vocab_size": 20000, "n_positions": 64, "n_embd": 512, "n_layer": 1, "n_head": 8, "tie_word_embeddings": False
    },
    "one layer": {"vocab_size": 64, "n_positions": 64, "n_embd": 1600, "n_layer": 1, "n_head": 25},
}  # fmt: skip
REPORT = """
import sys
import numpy as np
import glassformer
from glassformer.models.load import load_network

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

def mapped(folder):
    resident, ours = 0, False
    with open("/proc/self/smaps") as lines:
        for line in lines:
            if "-" in line.split()[0]:
                ours = folder in line
            elif ours and line.startswith("Rss:"):
                resident += int(line.split()[1]) * 1024
    return resident

warm, folder, dtype = sys.argv[1:]
load_network(warm, dtype=dtype)  # compiles the kernels and starts the threads, which is no part of loading
before = status("VmRSS:")
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")  # the peak begins anew
network = load_network(folder, dtype=dtype)
print(network.weights.nbytes, status("VmHWM:") - before, status("VmRSS:") - before, mapped(folder))
"""
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's /proc")


def random_weights(values: dict[str, object]) -> Tensors:
    """Small random numbers; quickly made, for nothing but their size counts."""
    rng = np.random.default_rng(0)
    shapes = expected_tensors(GPT2Config.from_dict(values))
    return {name: 0.02 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def measure(tmp_path: Path, size: str, stored: str, held: str) -> tuple[int, int, int, int]:
    """Bytes held, and what loading took at its peak and in the end beyond the process before it; mapped bytes left."""
    for name, changes in (("warm", {"n_embd": 32, "n_head": 2}), ("model", SIZES[size])):
        values = {**BASE, **changes}
        tensors = {key: x.astype(np.float64) for key, x in random_weights(values).items()}
        save(tmp_path / name, values, tensors, dtype=stored)
    report = run(REPORT, str(tmp_path / "warm"), str(tmp_path / "model"), held)
    held_bytes, peak, after, mapped = (int(number) for number in report)
    return held_bytes, peak, after, mapped


def run(program: str, *arguments: str) -> list[str]:
    """What a program prints in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def check(tmp_path: Path, size: str, stored: str, held: str, tensor: int = 0) -> None:
    """`tensor`: bytes of one in the file that may be in memory besides."""
    weights, peak, after, mapped = measure(tmp_path, size, stored, held)
    print(f"{size} {stored} as {held}: {weights / 1e6:.1f} MB, peak {peak / weights:.3f}, after {after / weights:.3f}")
    assert peak <= LIMIT * weights + tensor, f"{peak / weights:.3f} x the weights at the peak"
    assert 0.9 * weights <= after <= LIMIT * weights
    assert mapped <= 64 << 10, "pages of the file stay in memory"


@linux
@pytest.mark.parametrize(
    ("size", "stored", "held"),
    [
        ("wide vocabulary", "F32", "auto"),
        ("untied", "F16", "f32"),
        ("one layer", "BF16", "f32"),
    ],
)
def test_models_of_one_large_matrix(size: str, stored: str, held: str, tmp_path: Path) -> None:
    check(tmp_path, size, stored, held)


@linux
@pytest.mark.parametrize("held", ["q8", "q4"])
def test_quantising_takes_the_result_and_one_tensor(held: str, tmp_path: Path) -> None:
    check(tmp_path, "wide vocabulary", "F32", held, tensor=512 * 2048 * 4)  # the embedding comes in parts
    check(tmp_path, "one layer", "F32", held, tensor=1600 * 6400 * 4)


WRITE = """
import sys
from glassformer.models.quantization import quantize
from test_load_memory import status

warm, folder = sys.argv[1:]
quantize(warm, warm + "-q8")
before = status("VmRSS:")
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")
quantize(folder, folder + "-q8")
print(status("VmHWM:") - before)
"""


def status(key: str) -> int:
    """A size in /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


@linux
def test_writing_a_quantised_model_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    for name, changes in (("warm", {"n_embd": 32, "n_head": 2}), ("model", SIZES["one layer"])):
        values = {**BASE, **changes}
        save(tmp_path / name, values, {key: x.astype(np.float64) for key, x in random_weights(values).items()})
    whole = 1600 * 6400 * 4 * 3  # bytes of the model's file, which is three matrices of this size in all
    (peak,) = (int(number) for number in run(WRITE, str(tmp_path / "warm"), str(tmp_path / "model")))
    largest = 1600 * 6400
    assert peak <= largest * 4 + 1.0625 * largest + (4 << 20) < whole / 2


@linux
@pytest.mark.slow
@pytest.mark.parametrize(
    ("stored", "held"),
    [
        *(("F32", "auto"), ("F16", "auto"), ("BF16", "auto")),
        *(("F16", "f32"), ("F32", "f16"), ("F64", "bf16"), ("F32", "q8"), ("F32", "q4")),
    ],
)
def test_gpt2_of_124_million_parameters(stored: str, held: str, tmp_path: Path) -> None:
    check(tmp_path, "124M", stored, held)
