"""Encoding speed on one thread: ours, tiktoken and tokenizers, taking turns in one run, with the same vocabulary.

    python benchmarks/tokenizer.py --vocab FOLDER [--json] [--rounds 3] [TEXT ...]

FOLDER holds GPT-2's vocab.json and merges.txt; TEXT are UTF-8 files. The texts are cut to 4 MB. Python's own standard
library is always one of them. The ids are compared first. "Cold" is the best time of a new encoder on its first text
(kernels compiled before, cache of words empty), "warm" the best time of one that has seen the text.
"""

import argparse
import json
import platform
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import tiktoken
import tokenizers

from glassformer import Tokenizer
from glassformer.tokenizer.byte_alphabet import unspell

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"  # tiktoken's own for GPT-2
LIMIT = 4_000_000  # bytes of a text
HERE = Path(__file__).parent
SHARED = HERE.parent / ".." / "shared" / "data"

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Result:
    """Speed of one encoder on one text, in 10^6 bytes of UTF-8 a second."""

    text: str
    encoder: str
    megabytes: float
    tokens: int
    cold: float
    warm: float


def makers(folder: Path) -> dict[str, Callable[[], Encode]]:
    """Functions that make a new encoder, by name."""
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf8"))
    special = {token: number for token, number in vocab.items() if token == "<|endoftext|>"}
    ranks = {unspell(token): number for token, number in vocab.items() if token not in special}

    def make_tiktoken() -> Encode:
        return tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special).encode_ordinary

    def make_tokenizers() -> Encode:
        encoder = tokenizers.ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
        return lambda text: encoder.encode(text).ids

    return {
        "glassformer": lambda: Tokenizer.load(folder).encode,
        "tiktoken": make_tiktoken,
        "tokenizers": make_tokenizers,
    }


def seconds(encode: Encode, text: str) -> float:
    start = time.perf_counter()
    encode(text)
    return time.perf_counter() - start


def measure(name: str, text: str, make: dict[str, Callable[[], Encode]], rounds: int) -> list[Result]:
    """All encoders on one text: check that they agree, then time them in turns."""
    encoders = {encoder: new() for encoder, new in make.items()}
    ids = {encoder: encode(text) for encoder, encode in encoders.items()}
    expected = ids["tiktoken"]
    wrong = [encoder for encoder, found in ids.items() if found != expected]
    if wrong:
        sys.exit(f"{name}: {wrong} differ from tiktoken")
    cold, warm = (dict.fromkeys(encoders, float("inf")) for _ in range(2))
    for _ in range(rounds):
        for encoder, new in make.items():
            cold[encoder] = min(cold[encoder], seconds(new(), text))
            warm[encoder] = min(warm[encoder], seconds(encoders[encoder], text))
    size = len(text.encode("utf8")) / 1e6
    return [Result(name, e, size, len(expected), size / cold[e], size / warm[e]) for e in encoders]


def texts(paths: list[Path]) -> dict[str, str]:
    """The given files, and the sources of Python's standard library."""
    found = {path.name: path.read_bytes()[:LIMIT].decode("utf8", errors="replace") for path in paths}
    library = Path(sysconfig.get_paths()["stdlib"])
    sources = b"".join(path.read_bytes() for path in sorted(library.glob("*.py")))
    return {**found, "Python's standard library": sources[:LIMIT].decode("utf8", errors="replace")}


def surroundings() -> dict[str, str]:
    """What a figure needs to be compared with another."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE).stdout
    versions = {name: version(name) for name in ("tiktoken", "tokenizers", "llvmlite", "numpy")}
    return {"machine": processor(), "python": platform.python_version(), "commit": commit.strip(), **versions}


def processor() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(results: list[Result]) -> str:
    """One line a text and encoder; the last column is the ratio of cold speeds to tiktoken's."""
    lines = [f"{'text':28}{'encoder':14}{'MB':>6}{'tokens':>10}{'cold MB/s':>12}{'warm MB/s':>11}{'x tiktoken':>12}"]
    base = {result.text: result.cold for result in results if result.encoder == "tiktoken"}
    for r in results:
        ratio = r.cold / base[r.text]
        lines.append(
            f"{r.text:28}{r.encoder:14}{r.megabytes:6.2f}{r.tokens:10}{r.cold:12.1f}{r.warm:11.1f}{ratio:12.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", type=Path, help="UTF-8 files; by default War and Peace beside the checkout")
    parser.add_argument("--vocab", type=Path, default=SHARED / "gpt2", help="folder with vocab.json and merges.txt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    make = makers(options.vocab)
    make["glassformer"]()("compile the kernels")
    results = []
    for name, text in texts(options.texts or [SHARED / "text" / "war-and-peace.txt"]).items():
        results += measure(name, text, make, options.rounds)
    if options.json:
        for result in results:
            print(json.dumps({**asdict(result), **surroundings()}))
    else:
        print(table(results))


if __name__ == "__main__":
    main()
