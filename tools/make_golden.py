"""Write tests/golden: what Hugging Face transformers computes for GPT-2, for the default suite, which runs without it.

    python tools/make_golden.py            # all of it
    python tools/make_golden.py story      # the embedded model alone: after its weights have changed

Needs the extra `parity`. The random checkpoints are those of tests/models/gpt2_cases.py: a seed stands for the weights,
and their digest is kept, so that a changed generator is told from a changed engine. Logits are of the last ROWS tokens
of each prompt, in float32; greedy ids follow the whole prompt, end-of-text or not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
sys.path.insert(0, str(ROOT / "tests" / "models"))

from gpt2_cases import CASES, checkpoint, prompt_of, save  # noqa: E402

from glassformer.models.locate import EMBEDDED  # noqa: E402
from glassformer.tokenizer.tokenizer import Tokenizer  # noqa: E402

ROWS = 8
GREEDY = 60
MARGIN = 1e-4  # of the logit range: a lead that makes a greedy choice clear; random cases take the next seed without it
PROMPTS = ("Once upon a time", "The little dragon was very hungry. He", '"Where is my hat?" said the old man.')
Array = npt.NDArray[Any]


def reference(folder: Path) -> Any:
    """The model as transformers loads it, in float32."""
    import torch
    import transformers

    torch.set_num_threads(1)
    model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def logits(model: Any, ids: list[int]) -> Array:
    """[tokens, vocab_size]."""
    import torch

    with torch.no_grad():
        found: Array = model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()
    return found


def greedy(model: Any, ids: list[int], count: int) -> list[int]:
    """The most probable continuation, as far as every choice is clear: where it is not, rounding may decide."""
    text = list(ids)
    for _ in range(count):
        row = logits(model, text)[-1]
        second, first = np.sort(row)[-2:]
        if first - second <= MARGIN * np.ptp(row):
            break
        text.append(int(np.argmax(row)))
    return text[len(ids) :]


def random_case(name: str) -> tuple[dict[str, Any], Array]:
    """A case with the first seed whose greedy choices are clear, and its logits."""
    for seed in range(1, 100):
        drawn = checkpoint(CASES[name], seed)
        ids = prompt_of(drawn.config, seed)
        with tempfile.TemporaryDirectory() as folder:
            model = reference(save(Path(folder), drawn.values, drawn.tensors))
            count = min(GREEDY, drawn.config.n_positions - len(ids) + 1)
            new = greedy(model, ids, count)
        if len(new) == count:
            found = logits(model, ids)[-ROWS:]
            return {"case": name, "seed": seed, "weights": drawn.digest, "ids": ids, "greedy": new}, found
    raise SystemExit(f"{name}: no seed gives clear choices; is the case degenerate?")


def write(name: str, described: dict[str, Any], arrays: dict[str, Array]) -> None:
    """One JSON file that describes, and one .npz file of logits by the same names."""
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(json.dumps(described) + "\n", encoding="utf8")
    np.savez_compressed(GOLDEN / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    print(f"{name}: {len(arrays)} cases, {(GOLDEN / f'{name}.npz').stat().st_size // 1000} kB")


def write_random() -> None:
    cases, arrays = [], {}
    for name in CASES:
        case, arrays[name] = random_case(name)
        cases.append(case)
    write("gpt2", {"made_by": versions(), "cases": cases}, arrays)


def write_story() -> None:
    """The embedded model."""
    model, tokenizer = reference(EMBEDDED), Tokenizer.load(EMBEDDED)
    cases, arrays = [], {}
    for place, text in enumerate(PROMPTS):
        ids = tokenizer.encode(text)
        cases.append({"case": str(place), "prompt": text, "ids": ids, "greedy": greedy(model, ids, GREEDY)})
        arrays[str(place)] = logits(model, ids)[-ROWS:]
    digest = hashlib.sha256((EMBEDDED / "model.safetensors").read_bytes()).hexdigest()
    write("story", {"made_by": versions(), "weights": digest, "cases": cases}, arrays)


def versions() -> dict[str, str]:
    import torch
    import transformers

    return {"transformers": transformers.__version__, "torch": torch.__version__}


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("all", "random", "story"), default="all")
    what = parser.parse_args().what
    if what != "story":
        write_random()
    if what != "random":
        write_story()


if __name__ == "__main__":
    main()
