"""The flags that name a model's files one by one: the command lines of the engine that this one continues."""

import shutil

import pytest

VERBATIM = (
    "generate --model-path {0}/w.safetensors --vocab-path {0}/vocab.json --merges-path {0}/merges.txt --prompt Once"
    " --max-length 50 --config-n-layer 12 --config-n-head 12 --config-n-embd 768 --config-vocab-size 50257"
    " --config-block-size 1024 --eos-token-id 50256"
)
FILES = ("--model-path", "w", "--vocab-path", "v", "--merges-path", "m")


@pytest.fixture
def loaded(monkeypatch, recite):
    """The flags of which models were made; each recites 60 words."""
    calls = []
    model = recite(" a cat" * 30)

    def load_model_files(files, eos_token_id, dtype, threads, cache_dtype):
        calls.append((files.paths(), files.config(eos_token_id)))
        return model

    monkeypatch.setattr("glassformer.cli.generate.load_model_files", load_model_files)
    return calls


def test_the_command_line_works_verbatim(cli, loaded, tmp_path):
    outcome = cli(*VERBATIM.format(tmp_path).split())
    assert outcome.code == 0, outcome.err
    ((paths, config),) = loaded
    assert paths == tuple(f"{tmp_path}/{name}" for name in ("w.safetensors", "vocab.json", "merges.txt"))
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
    config = loaded[0][1]
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


@pytest.fixture
def scattered(story, tmp_path):
    """The embedded model's files, each in a folder of its own and under another name."""
    places = {}
    sources = {"--model-path": "model.safetensors", "--vocab-path": "vocab.json", "--merges-path": "merges.txt"}
    for flag, source in sources.items():
        places[flag] = tmp_path / flag / f"some {source}"
        places[flag].parent.mkdir()
        shutil.copy(story / source, places[flag])
    return [str(each) for pair in places.items() for each in pair]


SIZES = (
    "--config-n-layer=6", "--config-n-head=6", "--config-n-embd=192", "--config-vocab-size=2048",
    "--config-block-size=512",
)  # fmt: skip


def test_gives_the_text_that_the_folder_gives(cli, scattered):
    prompt = ["--prompt", "Once upon a time", "--eos-token-id", "2047"]
    by_files = cli("generate", *scattered, *SIZES, *prompt, "--json").json
    by_folder = cli("generate", *prompt, "--greedy", "--max-length", "50", "--json").json
    assert len(by_files["prompt_ids"]) + len(by_files["ids"]) == 50
    assert by_files["ids"] == by_folder["ids"]
    assert by_files["text"] == by_folder["text"]


def test_sizes_that_are_not_those_of_the_weights(cli, scattered):
    outcome = cli("generate", *scattered, *SIZES, "--config-n-embd", "96", "Once")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert "wte.weight is [2048, 192], expected [2048, 96]" in outcome.err
    assert "--config-n-layer" in outcome.err


@pytest.mark.parametrize("place", range(3))
def test_a_missing_file_is_named(cli, scattered, tmp_path, place):
    scattered[2 * place + 1] = str(tmp_path / "nothing.here")
    outcome = cli("generate", *scattered, *SIZES, "Once")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert "nothing.here" in outcome.err
