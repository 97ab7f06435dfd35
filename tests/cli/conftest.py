"""Runs command lines within the process and outside it, on the embedded model or on one that recites a text."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassformer
from glassformer.cli.app import run
from glassformer.model import Model
from glassformer.models.config import GenerationConfig, GPT2Config, read_config
from glassformer.tokenizer.tokenizer import Tokenizer

STORY = Path(glassformer.__file__).parent / "models" / "story"


@dataclass(frozen=True)
class Outcome:
    """How a command line ended and what it left on the two streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1, "one object, on one line"
        return json.loads(self.out)


CommandLine = Callable[..., Outcome]


@pytest.fixture
def cli(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Run a command line in this process."""

    def command_line(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = run(arguments)
        out, err = capsysbinary.readouterr()
        return Outcome(code, out.decode(), err.decode())

    return command_line


@pytest.fixture
def process() -> Callable[..., subprocess.Popen[bytes]]:
    """Start a command line in a process of its own, with all three streams as pipes."""

    def start(*arguments: str | bytes, env: dict[str, str] | None = None, **streams: Any) -> subprocess.Popen[bytes]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
        command = [sys.executable, "-m", "glassformer", *arguments]
        return subprocess.Popen(command, env={**os.environ, **(env or {})}, **pipes)

    return start


@dataclass
class Memory:
    """The cache of the reciting network: it only counts."""

    capacity: int
    length: int = 0
    prompt: int = 0  # tokens read before the first one was recited; 0: nothing is recited

    def truncate(self, length: int) -> None:
        self.length = length


@dataclass(frozen=True)
class RecitingNetwork:
    """Finds each next token of a script the most probable one, whatever it reads; all others equally improbable."""

    script: list[int]
    config: GPT2Config = field(default_factory=lambda: read_config(STORY))

    def new_cache(self, capacity: int) -> Memory:
        return Memory(capacity)

    def new_caches(self, capacities: Sequence[int]) -> list[Memory]:
        return [Memory(capacity) for capacity in capacities]

    def forward(self, ids: Any, cache: Memory, *, last_only: bool = True) -> Any:
        logits = np.zeros((len(ids), self.config.vocab_size), np.float32)
        if last_only and not cache.length:
            cache.prompt = len(ids)
        for row in range(len(ids)):
            cache.length += 1
            if cache.prompt and cache.length >= cache.prompt:
                logits[row, self.script[min(cache.length - cache.prompt, len(self.script) - 1)]] = 30.0
        return logits[-1:] if last_only else logits

    def forward_batch(self, parts: Sequence[tuple[Any, Memory]], *, last_only: bool = True) -> Any:
        return np.concatenate([self.forward(ids, cache, last_only=last_only) for ids, cache in parts])


@pytest.fixture
def story() -> Path:
    """The folder of the embedded model."""
    return STORY


@pytest.fixture
def tokenizer() -> Tokenizer:
    """The story model's."""
    return Tokenizer.load(STORY)


@pytest.fixture
def recite(monkeypatch: pytest.MonkeyPatch, tokenizer: Tokenizer) -> Callable[[str], Model]:
    """Make `load_model` give a model that recites a text and then ends it."""

    def reciting(text: str) -> Model:
        network = RecitingNetwork([*tokenizer.encode(text), 2047, 2047])
        model = Model(network, tokenizer, GenerationConfig(eos_token_id=2047))  # type: ignore[arg-type]
        for module in ("generate", "score"):
            monkeypatch.setattr(f"glassformer.cli.{module}.load_model", lambda *arguments: model)
        return model

    return reciting
