"""The flags that name a model's files one by one: the command lines of the engine that this one continues."""

import pytest

VERBATIM = (
    "generate --model-path {0}/w.safetensors --vocab-path {0}/vocab.json --merges-path {0}/merges.txt --prompt Once"
    " --max-length 50 --config-n-layer 12 --config-n-head 12 --config-n-embd 768 --config-vocab-size 50257"
    " --config-block-size 1024 --eos-token-id 50256"
)
FILES = ("--model-path", "w", "--vocab-path", "v", "--merges-path", "m")


@pytest.fixture
def loaded(monkeypatch, recite):
    """What `load_files` is asked for; it gives a model that recites 60 words."""
    calls = []
    model = recite(" a cat" * 30)

    def load_files(weights, vocab, merges, config, *, threads=None):
        calls.append((weights, vocab, merges, config))
        return model

    monkeypatch.setattr("glassformer.generation.model.load_files", load_files, raising=False)
    return calls


def test_the_command_line_works_verbatim(cli, loaded, tmp_path):
    outcome = cli(*VERBATIM.format(tmp_path).split())
    assert outcome.code == 0, outcome.err
    ((weights, vocab, merges, config),) = loaded
    assert [str(weights), str(vocab), str(merges)] == [
        str(tmp_path / name) for name in ("w.safetensors", "vocab.json", "merges.txt")
    ]
    assert (config.n_layer, config.n_head, config.n_embd) == (12, 12, 768)
    assert (config.vocab_size, config.n_positions) == (50257, 1024)
    assert config.eos_token_ids == (50256,)


def test_max_length_counts_the_prompt(cli, loaded):
    report = cli("generate", *FILES, "--prompt", "Once upon a time", "--max-length", "20", "--json").json
    assert len(report["prompt_ids"]) + len(report["ids"]) == 20
    assert (report["finish_reason"], report["seed"]) == ("length", None)


def test_without_a_limit_there_are_fifty_tokens(cli, loaded):
    report = cli("generate", *FILES, "--prompt", "Once", "--json").json
    assert len(report["prompt_ids"]) + len(report["ids"]) == 50


def test_sizes_are_gpt2s_unless_given(cli, loaded):
    cli("generate", *FILES, "--config-n-layer", "3", "--config-n-embd", "48", "a")
    config = loaded[0][3]
    assert (config.n_layer, config.n_head, config.n_embd) == (3, 12, 48)
    assert (config.vocab_size, config.n_positions) == (50257, 1024)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--model", "x", *FILES], "give one of them"),
        (["--model-path", "w"], "--vocab-path and --merges-path"),
        (["--vocab-path", "v"], "--model-path and --merges-path"),
        (["--config-block-size", "8"], "--model-path"),
        ([*FILES, "--config-n-head", "5"], "n_head"),
        ([*FILES, "--config-n-layer", "0"], "--config-n-layer"),
    ],
)
def test_wrong_usage(cli, loaded, arguments, named):
    outcome = cli("generate", *arguments, "a")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert named in outcome.err
    assert loaded == []
