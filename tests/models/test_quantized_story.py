"""What eight and four bits cost the story model on stories of its own, as KL divergence from its predictions in f32."""

from pathlib import Path

import pytest

import glassformer
from glassformer.models.quantization import quantize

LIMITS = [("f16", 1e-6), ("q8", 0.001), ("q4", 0.05)]  # nats per token


@pytest.fixture(scope="module")
def exact() -> glassformer.Model:
    return glassformer.load(dtype="f32")


@pytest.fixture(scope="module")
def stories(exact: glassformer.Model) -> list[str]:
    """Some stories, prompts included."""
    prompt = "Once upon a time"
    return [prompt + exact.generate(prompt, seed=seed).text for seed in range(4)]


@pytest.mark.parametrize(("dtype", "nats"), LIMITS)
def test_divergence_from_f32(exact: glassformer.Model, stories: list[str], dtype: str, nats: float) -> None:
    rounded = glassformer.load(dtype=dtype)
    found = rounded.evaluate(stories, against=exact)
    assert found.comparison is not None
    kl, same_top = found.comparison.kl, found.comparison.same_top
    print(f"{dtype}: KL {kl.value:.2e} ± {kl.error:.0e} nats, same top {same_top.value:.4f}, {found.tokens} tokens")
    assert -1e-9 <= kl.value < nats
    assert same_top.value > 0.97
    assert found.perplexity.value == pytest.approx(found.comparison.perplexity.value, rel=0.02)
    assert rounded.network.weights.nbytes < exact.network.weights.nbytes


def test_a_quantised_folder_diverges_as_much_as_its_dtype(
    exact: glassformer.Model, stories: list[str], tmp_path: Path
) -> None:
    quantize(None, tmp_path / "q4", dtype="q4")
    held, packed = (model.evaluate(stories[:1], against=exact) for model in
                    (glassformer.load(dtype="q4"), glassformer.load(tmp_path / "q4")))  # fmt: skip
    assert packed == held
