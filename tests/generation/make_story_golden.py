"""Write golden_story.json: run this after the weights of the embedded model have changed.

The greedy continuations come from Hugging Face transformers, so that they check the engine and not itself; the sampled
ones come from the engine, since its generator is its own. Run from the repository's root with the extra `parity`:

    python tests/generation/make_story_golden.py
"""

import hashlib
import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).with_name("golden_story.json")
PROMPTS = ["Once upon a time", "The little dragon", '"Where is my hat?" said the']
SAMPLED: list[dict[str, Any]] = [
    {"seed": 1},
    {"seed": 2, "temperature": 1.0, "top_p": 1.0},
    {"seed": 3, "temperature": 0.9, "top_k": 40, "min_p": 0.02, "repetition_penalty": 1.1},
    {"seed": 4, "temperature": 1.2, "typical_p": 0.8, "frequency_penalty": 0.3, "presence_penalty": 0.2},
]
NEW_TOKENS = 60


def weights_digest(folder: Path) -> str:
    """SHA-256 of the weights, in hexadecimal."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def greedy(folder: Path, ids: list[int]) -> list[int]:
    """The continuation that the reference implementation gives, in f32."""
    import torch
    import transformers

    reference = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    end = reference.config.eos_token_id
    config = transformers.GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=end, pad_token_id=end
    )
    with torch.no_grad():
        found: list[int] = reference.generate(torch.tensor([ids]), generation_config=config)[0].tolist()
    return found[len(ids) :]


def main() -> None:
    """Write the file."""
    from glassformer.model import load
    from glassformer.models.locate import EMBEDDED

    model = load()
    golden = {
        "weights": weights_digest(EMBEDDED),
        "greedy": [{"prompt": text, "ids": greedy(EMBEDDED, model.ids(text))} for text in PROMPTS],
        "sampled": [
            {"options": options, "ids": model.generate(PROMPTS[0], max_new_tokens=NEW_TOKENS, **options).ids}
            for options in SAMPLED
        ],
    }
    GOLDEN.write_text(json.dumps(golden) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
