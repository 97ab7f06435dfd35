"""Vocabularies in three implementations."""

import argparse
import inspect
import textwrap
from pathlib import Path

import pytest
from tokenizer_peers import SENTENCES, Peers, load_peers, shared


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small vocabulary, trained on the spot by the `tokenizers` package."""
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("vocabulary")
    trainer = tokenizers.ByteLevelBPETokenizer()
    corpus = [inspect.getsource(module) for module in (textwrap, argparse)] + SENTENCES * 10 + ["a" * 300, " " * 300]
    trainer.train_from_iterator(corpus, vocab_size=1500, min_frequency=2, special_tokens=["<|endoftext|>"])
    trainer.save_model(str(folder))
    return folder


@pytest.fixture(scope="session")
def trained(trained_folder: Path) -> Peers:
    return load_peers(trained_folder)


@pytest.fixture(scope="session")
def gpt2() -> Peers:
    """GPT-2's own vocabulary, where it lies beside the checkout."""
    return load_peers(shared("gpt2"))


@pytest.fixture(scope="session", params=["trained", "gpt2"])
def peers(request: pytest.FixtureRequest) -> Peers:
    return request.getfixturevalue(request.param)
