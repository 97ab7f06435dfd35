"""How long loading takes and how much memory at its peak: a model of GPT-2's 124 million parameters, random weights.

    python benchmarks/load.py [--stored F32 F16] [--rounds 3] [--json]

Each figure is of fresh processes that have imported and warmed up whatever they load with: the best time, the median of
memory. "packed" is a folder that `glassformer quantize` wrote, whose file is mapped and used in place; its pages count
as held memory. The peers map the file and read it when they first compute, so "first token" (loading, then one pass
through the network; for safetensors alone, one sum over all tensors) is the time to compare. "a token" is the best time
of such a pass once all is loaded. Peak and held memory, mapped pages included, are what the process takes until the
first token beyond its size before (Linux only). Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from glassformer.formats.safetensors import save_safetensors
from glassformer.models.config import GPT2Config, expected_tensors
from glassformer.models.quantization import quantize
from report import show, surroundings

CONFIG = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "bos_token_id": 0, "eos_token_id": 0}
# What each process loads with: imports, then a function from a folder to a function that runs one token.
GLASSFORMER = """
import numpy as np
from glassformer.models.load import load_network
def load(folder):
    network = load_network(folder + "{suffix}", dtype="{dtype}")
    return lambda: network.forward(np.array([1], np.int32), network.new_cache(16))
"""
PACKED = ("q8", "q4")
LOADERS = {
    "glassformer": GLASSFORMER.format(suffix="", dtype="auto"),
    "glassformer as f32": GLASSFORMER.format(suffix="", dtype="f32"),
    **{f"glassformer as {dtype}": GLASSFORMER.format(suffix="", dtype=dtype) for dtype in PACKED},
    **{f"glassformer, packed {dtype}": GLASSFORMER.format(suffix="-" + dtype, dtype="auto") for dtype in PACKED},
    "safetensors + torch": """
import torch
from safetensors.torch import load_file
def load(folder):
    tensors = load_file(folder + "/model.safetensors")
    return lambda: [tensor.sum() for tensor in tensors.values()]  # reads every byte; no network
""",
    "transformers": """
import warnings, os
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")
import torch, transformers
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
def load(folder):
    model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype="auto")
    return lambda: model(torch.tensor([[1]]))
""",
}
MEASURE = """
import json, sys, time
def status(key):
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(key))
    except OSError:
        return float("nan")
small, large = sys.argv[1:]
load(small)()
before = status("VmRSS:")
try:
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")  # the peak begins anew
except OSError:
    pass
start = time.perf_counter()
run = load(large)
loaded = time.perf_counter() - start
run()
first = time.perf_counter() - start
peak, held = status("VmHWM:") - before, status("VmRSS:") - before
def timed():
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
token = min(timed() for _ in range(30))
print(json.dumps({"load (s)": loaded, "first token (s)": first, "a token (s)": token, "peak (MB)": peak,
                  "held (MB)": held}))
"""
NEEDS = {"safetensors + torch": ("torch", "safetensors"), "transformers": ("torch", "transformers")}


def write_model(folder: Path, stored: str, **sizes: int) -> int:
    """A folder with random weights; the bytes of its file."""
    folder.mkdir()
    values = {**CONFIG, **sizes}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf8")
    rng = np.random.default_rng(0)
    dtype = {"F32": np.float32, "F16": np.float16}[stored]
    shapes = expected_tensors(GPT2Config.from_dict(values))
    tensors = {name: (0.02 * rng.standard_normal(shape, np.float32)).astype(dtype) for name, shape in shapes.items()}
    save_safetensors(folder / "model.safetensors", tensors, {"format": "pt"})
    return (folder / "model.safetensors").stat().st_size


def measure(loader: str, small: Path, large: Path) -> dict[str, float]:
    """Figures of one fresh process."""
    command = [sys.executable, "-c", LOADERS[loader] + MEASURE, str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{loader}: {done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(stored: str, rounds: int) -> list[dict[str, object]]:
    """All loaders on one file, in turns."""
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name) / "small", Path(name) / "large"
        write_model(small, stored, vocab_size=65, n_positions=16, n_embd=32, n_layer=1, n_head=2)
        size = write_model(large, stored, vocab_size=50257, n_positions=1024, n_embd=768, n_layer=12, n_head=12)
        for folder in (small, large):
            for dtype in PACKED:
                quantize(folder, f"{folder}-{dtype}", dtype=dtype)
        loaders = [each for each in LOADERS if all(find_spec(module) for module in NEEDS.get(each, ()))]
        loaders = [each for each in loaders if stored != "F32" or each != "glassformer as f32"]
        runs: dict[str, list[dict[str, float]]] = {loader: [] for loader in loaders}
        for _ in range(rounds):
            for loader in loaders:
                runs[loader].append(measure(loader, small, large))
    rows: list[dict[str, object]] = []
    for loader, figures in runs.items():
        best = {key: min(run[key] for run in figures) for key in figures[0] if key.endswith("(s)")}
        memory = {key: statistics.median(run[key] for run in figures) for key in figures[0] if key.endswith("(MB)")}
        peak = memory["peak (MB)"] / (size / 1e6)  # of the file in Hugging Face form
        named = {"stored": stored, "loader": loader, "file (MB)": size / 1e6}
        rows.append({**named, **best, **memory, "peak / file": peak})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", nargs="+", choices=("F32", "F16"), default=["F32", "F16"], help="types in the file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    rows = [row for stored in options.stored for row in compare(stored, options.rounds)]
    peers = [name for name in ("torch", "safetensors", "transformers") if find_spec(name)]
    show(rows, surroundings(("numpy", *peers)), as_json=options.json)


if __name__ == "__main__":
    main()
