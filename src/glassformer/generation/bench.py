"""How fast a model runs on this machine: prompts and decoding as llama-bench counts them, and what surrounds them."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from glassformer.generation.decode import decode_greedily
from glassformer.generation.errors import ContextError, OptionsError
from glassformer.generation.model import TextModel
from glassformer.generation.network import Float32, TokenIds, decoder_of, sampler_of
from glassformer.generation.options import SamplingOptions
from glassformer.generation.sampling import choose
from glassformer.models.config import expected_tensors
from glassformer.runtime.cpus import affinity, pinning
from glassformer.runtime.executor import Eager
from glassformer.runtime.machine import Machine, ReadProbe, measure_machine, processor, resident_bytes
from glassformer.runtime.quantized import QuantizedMatrix
from glassformer.runtime.sampling import Sampler

PROMPT_TOKENS, NEW_TOKENS = 512, 128
MAX_REPETITIONS, MAX_SEQUENCES = 1000, 256
SAMPLED = SamplingOptions(do_sample=True, temperature=0.8, top_k=50, top_p=0.95, seed=1)
ENGLISH = "Once upon a time there was a small boat, and nobody had ever asked it where it wanted to go. " * 400


@dataclass(frozen=True)
class BenchOptions:
    """What to measure.

    Attributes:
        prompt_tokens: lengths of the prompts to read; None: 512, or the context window where that is shorter.
        new_tokens: how many tokens to decode from empty; None: 128, or the context window where that is shorter.
        sequences: how many sequences to decode at once, one after the other.
        repetitions: how often each is measured.
        warmup: how often each runs before, unmeasured.
    """

    prompt_tokens: tuple[int, ...] | None = None
    new_tokens: tuple[int, ...] | None = None
    sequences: tuple[int, ...] = (1,)
    repetitions: int = 5
    warmup: int = 1

    def problems(self) -> Iterator[str]:
        """One sentence for everything that is out of range."""
        lengths = (*(self.prompt_tokens or ()), *(self.new_tokens or ()))
        if any(length < 1 for length in lengths):
            yield f"numbers of tokens are at least 1, found {min(lengths)}"
        if self.prompt_tokens == () and self.new_tokens == ():
            yield "there is nothing to measure: neither prompts nor new tokens"
        if not self.sequences or any(not 1 <= count <= MAX_SEQUENCES for count in self.sequences):
            yield f"sequences go from 1 to {MAX_SEQUENCES}, found {list(self.sequences)}"
        if not 1 <= self.repetitions <= MAX_REPETITIONS:
            yield f"repetitions go from 1 to {MAX_REPETITIONS}, found {self.repetitions}"
        if not 0 <= self.warmup <= MAX_REPETITIONS:
            yield f"warmup goes from 0 to {MAX_REPETITIONS}, found {self.warmup}"


@dataclass(frozen=True)
class BenchTest:
    """A piece of work: a prompt to read, or tokens to decode from empty in so many sequences at once."""

    kind: str  # "prompt" or "decode"
    tokens: int
    sequences: int = 1

    @property
    def name(self) -> str:
        """As llama-bench calls it: pp512, tg128; with the sequences behind, if there are several."""
        together = f" x {self.sequences}" if self.sequences > 1 else ""
        return f"{'pp' if self.kind == 'prompt' else 'tg'}{self.tokens}{together}"


@dataclass(frozen=True)
class Speed:
    """A test's outcome.

    Attributes:
        seconds: of each repetition.
        bytes: that a step has to read at least: the weights, and the cache at its mean length; 0 for prompts.
        gigabytes: GB/s that the machine could read beside each repetition.
    """

    test: BenchTest
    seconds: tuple[float, ...]
    bytes: int = 0
    gigabytes: tuple[float, ...] = ()

    @property
    def rates(self) -> list[float]:
        """Tokens per second of each repetition, all sequences together."""
        return [self.test.tokens * self.test.sequences / seconds for seconds in self.seconds]

    @property
    def mean(self) -> float:
        """Mean of the rates."""
        return statistics.fmean(self.rates)

    @property
    def deviation(self) -> float:
        """Their sample standard deviation; 0 for one."""
        return statistics.stdev(self.rates) if len(self.seconds) > 1 else 0.0

    @property
    def read_rate(self) -> float:
        """GB/s of weights and cache, on average; 0 for prompts."""
        return self.mean / self.test.sequences * self.bytes / 1e9

    @property
    def share(self) -> float:
        """Of the machine's reading speed in the same moments, the median; 0 for prompts."""
        per_second = [rate / self.test.sequences * self.bytes / 1e9 for rate in self.rates]
        return statistics.median(map(float.__truediv__, per_second, self.gigabytes)) if self.gigabytes else 0.0


@dataclass(frozen=True)
class BenchReport:
    """Everything measured; times in seconds, sizes in bytes.

    Attributes:
        facts: about model, machine and versions.
        speeds: of the tests.
        machine: what the machine can do at most.
        load: time to load the model.
        first_call: of the very first step: kernels that are not cached are compiled, and the plan is recorded.
        first_token: from a prompt's ids (of the first prompt length) to the first generated token.
        tokenize: per token of English text; None without a vocabulary.
        sample_greedy, sample: per chosen token, by the most probable one, and by temperature, top-k and top-p.
        resident: memory of the process at the end, without what the probe of memory's speed reads.
    """

    facts: dict[str, object]
    speeds: tuple[Speed, ...]
    machine: Machine
    load: float
    first_call: float
    first_token: float
    tokenize: float | None
    sample_greedy: float
    sample: float
    resident: int = field(compare=False)


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def bench(load: Callable[[], TextModel], options: BenchOptions) -> BenchReport:
    """Load a model and measure it.

    Raises:
        OptionsError: options out of range, before anything is loaded.
        ContextError: for lengths beyond the context window.
    """
    if problems := list(options.problems()):
        raise OptionsError(problems)
    loading, model = timed(load)
    tests = plan_tests(model.config.n_positions, options)
    network: Any = model.network
    one = np.ones(1, np.int32)
    first_call, logits = timed(lambda: network.forward(one, network.new_cache(1)))
    executor = network.ops.executor
    machine = measure_machine(executor, 3)
    probe = ReadProbe(executor)
    speeds = tuple(measure(network, test, options, probe) for test in tests)
    return BenchReport(
        facts=facts(model, executor),
        speeds=speeds,
        machine=machine,
        load=loading,
        first_call=first_call,
        first_token=first_token(model, next((t.tokens for t in tests if t.kind == "prompt"), 1), options.repetitions),
        tokenize=tokenize_seconds(model),
        sample_greedy=sample_seconds(sampler_of(network), logits[0], SamplingOptions()),
        sample=sample_seconds(sampler_of(network), logits[0], SAMPLED),
        resident=resident_bytes() - probe.x.nbytes,
    )


def plan_tests(window: int, options: BenchOptions) -> list[BenchTest]:
    """The tests that the options ask for, those left open fitted to the context window.

    Raises:
        ContextError: for what does not fit it.
    """
    prompts, decodes = options.prompt_tokens, options.new_tokens
    prompts = (min(PROMPT_TOKENS, window),) if prompts is None else prompts
    decodes = (min(NEW_TOKENS, window),) if decodes is None else decodes
    longest = max((*prompts, *decodes), default=0)
    if longest > window:
        message = f"a test of {longest} tokens exceeds the context window of {window}; ask for fewer"
        raise ContextError(message, tokens=longest, limit=window)
    batches = [BenchTest("decode", tokens, count) for tokens in decodes for count in options.sequences]
    return [*(BenchTest("prompt", tokens) for tokens in prompts), *batches]


def token_ids(vocab_size: int, *shape: int) -> TokenIds:
    """Tokens that are the same in every run."""
    return np.random.default_rng(0).integers(0, vocab_size, shape).astype(np.int32)


def measure(network: Any, test: BenchTest, options: BenchOptions, probe: ReadProbe) -> Speed:
    """Run a test as often as asked."""
    run = prompt_run(network, test) if test.kind == "prompt" else decode_run(network, test)
    for _ in range(options.warmup):
        run()
    if test.kind == "prompt":
        return Speed(test, tuple(run() for _ in range(options.repetitions)))
    seconds, gigabytes = [], []
    before = probe.gigabytes()
    for _ in range(options.repetitions):
        seconds.append(run())
        after = probe.gigabytes()
        gigabytes.append((before + after) / 2)
        before = after
    return Speed(test, tuple(seconds), step_bytes(network, test), tuple(gigabytes))


def prompt_run(network: Any, test: BenchTest) -> Callable[[], float]:
    """Reads a prompt from empty and returns the seconds."""
    cache, ids = network.new_cache(test.tokens), token_ids(network.config.vocab_size, test.tokens)

    def run() -> float:
        cache.truncate(0)
        return timed(lambda: network.forward(ids, cache))[0]

    return run


def decode_run(network: Any, test: BenchTest) -> Callable[[], float]:
    """Decodes from empty, a step for all sequences at a time, and returns the seconds."""
    caches = network.new_caches([test.tokens] * test.sequences)
    ids = token_ids(network.config.vocab_size, test.sequences, test.tokens)
    decoder, sampler = decoder_of(network), sampler_of(network)

    def steps() -> None:
        if len(caches) == 1 and decoder is not None:
            decode_greedily(decoder, int(ids[0][0]), caches[0], sampler, test.tokens)
            return
        for place in range(test.tokens):
            network.forward_batch([(row[place : place + 1], cache) for row, cache in zip(ids, caches, strict=True)])

    def run() -> float:
        for cache in caches:
            cache.truncate(0)
        return timed(steps)[0]

    return run


def step_bytes(network: Any, test: BenchTest) -> int:
    """Weights and cache that a step of decoding reads, at the cache's mean length."""
    weights = network.weights
    table = 0 if weights.lm_head is weights.wte else weights.wte.nbytes  # one row of it alone is looked up
    per_token = network.new_cache(test.tokens).nbytes / test.tokens
    return int(weights.nbytes - weights.wpe.nbytes - table + per_token * test.sequences * test.tokens / 2)


def first_token(model: TextModel, prompt_tokens: int, repetitions: int) -> float:
    """Seconds from a prompt's ids to the first token, the median."""
    ids = token_ids(model.config.vocab_size, min(prompt_tokens, model.config.n_positions - 1)).tolist()
    runs = [timed(lambda: model.generate(ids, max_new_tokens=1, ignore_eos=True))[0] for _ in range(repetitions)]
    return statistics.median(runs)


def tokenize_seconds(model: TextModel) -> float | None:
    """Seconds per token of English, the best of three."""
    if model.tokenizer is None:
        return None
    encode = model.tokenizer.encode
    return min(seconds / len(ids) for seconds, ids in (timed(lambda: encode(ENGLISH)) for _ in range(3)))


def sample_seconds(sampler: Sampler, logits: Float32, options: SamplingOptions, count: int = 50) -> float:
    """Seconds to choose a token, the median."""
    runs: Sequence[float] = [timed(lambda: choose(logits, [0], [], options, sampler))[0] for _ in range(count)]
    return statistics.median(runs)


def facts(model: TextModel, executor: Eager) -> dict[str, object]:
    """What figures have to be compared with: the model, the machine, versions."""
    config = model.config
    weights: Any = model.network.weights  # type: ignore[attr-defined]
    shapes = expected_tensors(config).values()
    return {
        "model": f"{config.model_type} {config.n_layer} x {config.n_embd}",
        "parameters": sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes),
        "weights": held_as(weights.h[0].c_attn.weight),
        "weight_bytes": weights.nbytes,
        "processor": processor(),
        "target": executor.target.name,
        "threads": executor.threads,
        "processors": len(affinity()),
        "pinned": pinning() and executor.threads > 1,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "llvmlite": version("llvmlite"),
    }


def held_as(matrix: Any) -> str:
    """How a matrix is held, as `dtype` of `glassformer.load` calls it."""
    return f"q{matrix.bits}" if isinstance(matrix, QuantizedMatrix) else str(matrix.kind.name)
