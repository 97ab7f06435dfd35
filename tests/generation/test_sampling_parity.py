"""Every sampler against the logits processors of Hugging Face transformers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glassformer.generation import filters, penalties
from glassformer.generation.options import SamplingOptions
from glassformer.generation.sampling import cut, penalized

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

Float32 = npt.NDArray[np.float32]
VOCAB = 500


@pytest.fixture(scope="module")
def transformers() -> Any:
    """The reference, imported when a test of this file runs and not when it is collected."""
    pytest.importorskip("torch")
    return pytest.importorskip("transformers")


def logits_of(seed: int) -> Float32:
    return (np.random.default_rng(seed).standard_normal(VOCAB) * 3).astype(np.float32)


def ids_of(seed: int, length: int = 60) -> list[int]:
    return np.random.default_rng(seed + 1000).integers(0, VOCAB, length).tolist()


def reference(processor: Any, logits: Float32, ids: list[int] | None = None) -> Float32:
    import torch

    scores = processor(torch.tensor([ids or [0]]), torch.from_numpy(logits.copy())[None])
    found: Float32 = scores[0].numpy()
    return found


def filtered(run: Callable[[Float32, float], Float32], logits: Float32, value: float) -> Float32:
    """A filter of weights as one of logits."""
    return np.where(run(filters.weights(logits), value) > 0, logits, np.float32(-np.inf))


def assert_same(found: Float32, wanted: Float32) -> None:
    assert np.array_equal(np.isneginf(found), np.isneginf(wanted))
    finite = np.isfinite(wanted)
    np.testing.assert_allclose(found[finite], wanted[finite], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_filters(transformers: Any, seed: int) -> None:
    logits = logits_of(seed)
    for k in (1, 5, 50, 499):
        assert_same(filters.top_k(logits, k), reference(transformers.TopKLogitsWarper(k), logits))
    for p in (0.05, 0.3, 0.5, 0.9, 0.95, 0.99):
        assert_same(filtered(filters.top_p, logits, p), reference(transformers.TopPLogitsWarper(p), logits))
        typical = filtered(lambda weights, mass: filters.typical(weights, logits, mass), logits, p)
        assert_same(typical, reference(transformers.TypicalLogitsWarper(p), logits))
        assert_same(filtered(filters.min_p, logits, p), reference(transformers.MinPLogitsWarper(p), logits))


@pytest.mark.parametrize("value", [0.1, 0.7, 1.9])
def test_temperature_up_to_a_shift(transformers: Any, value: float) -> None:
    logits = logits_of(3)
    wanted = reference(transformers.TemperatureLogitsWarper(value), logits)
    np.testing.assert_allclose(filters.temperature(logits, value), wanted - wanted.max(), atol=2e-5)


@pytest.mark.parametrize("penalty", [0.7, 1.1, 2.0])
def test_repetition_penalty(transformers: Any, penalty: float) -> None:
    logits, ids = logits_of(4), ids_of(4)
    wanted = reference(transformers.RepetitionPenaltyLogitsProcessor(penalty), logits, ids)
    assert_same(penalties.repetition_penalty(logits, ids, penalty), wanted)


def test_bad_words(transformers: Any) -> None:
    logits, ids = logits_of(5), ids_of(5)
    sequences = [[7], [ids[-1], 8], [*ids[-3:], 9], [ids[-2], 10], [*range(70), 11], [ids[-1] - 1, ids[-1], 12]]
    wanted = reference(transformers.NoBadWordsLogitsProcessor(sequences, eos_token_id=499), logits, ids)
    assert_same(penalties.bad_words(logits, ids, sequences), wanted)


def test_logit_bias(transformers: Any) -> None:
    logits = logits_of(6)
    bias = {3: 2.5, 4: -7.0}
    wanted = reference(
        transformers.SequenceBiasLogitsProcessor([[[token], value] for token, value in bias.items()]), logits
    )
    assert_same(penalties.logit_bias(logits, bias), wanted)


@pytest.mark.parametrize("seed", range(5))
def test_all_of_them_in_the_order_of_the_reference(transformers: Any, seed: int) -> None:
    import torch

    logits, ids = logits_of(seed), ids_of(seed)
    bad = [[int(logits.argmax())], [ids[-1], 17]]
    config = transformers.GenerationConfig(
        do_sample=True, temperature=0.8, top_k=60, top_p=0.92, min_p=0.01, typical_p=0.85, repetition_penalty=1.3,
        sequence_bias=[[[12], 4.0]], bad_words_ids=bad, eos_token_id=499, pad_token_id=499,
    )  # fmt: skip
    tiny = transformers.GPT2Config(vocab_size=VOCAB, n_positions=64, n_embd=8, n_layer=1, n_head=1)
    config._eos_token_tensor = torch.tensor([499])
    model = transformers.GPT2LMHeadModel(tiny)
    processors = model._get_logits_processor(config, input_ids_seq_length=len(ids), device="cpu")
    wanted = reference(processors, logits, ids)
    options = SamplingOptions(
        do_sample=True, temperature=0.8, top_k=60, top_p=0.92, min_p=0.01, typical_p=0.85, repetition_penalty=1.3,
        logit_bias={12: 4.0}, bad_words=tuple(tuple(sequence) for sequence in bad),
    )  # fmt: skip
    weights = filters.distribution(penalized(logits, ids[:40], ids[40:], options), cut(options))
    assert np.array_equal(weights == 0, np.isneginf(wanted))
    finite = np.isfinite(wanted)
    np.testing.assert_allclose(np.log(weights[finite]), wanted[finite] - wanted[finite].max(), atol=1e-5)
