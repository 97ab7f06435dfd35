"""`glassformer generate` on real models: the embedded one, and others where they are at hand."""

from pathlib import Path

import pytest

from glassformer.cli.options import DTYPES
from glassformer.runtime.packed import KINDS, PAIRED, QUANTIZED

ADDER = Path(__file__).parents[3] / "shared" / "data" / "models" / "gpt2-adder"


def test_printed_text_is_that_of_json_and_the_same_seed_repeats_it(cli):
    flags = ("generate", "Once upon a time", "--seed", "7", "-n", "20")
    report = cli(*flags, "--json").json
    assert len(report["ids"]) <= 20
    assert report["seed"] == 7
    assert cli(*flags).out == report["text"] + "\n"
    assert cli(*flags, "--threads", "1", "--json").json["ids"] == report["ids"]
    assert cli(*flags[:3], "8", *flags[4:]).out != report["text"] + "\n"


@pytest.mark.parametrize("dtype", ["auto", "f32", "f16"])
def test_weights_stored_as_f16_give_the_same_text_in_every_type_that_holds_them(cli, dtype):
    flags = ("generate", "Once", "--greedy", "-n", "8")
    assert cli(*flags, "--dtype", dtype).out == cli(*flags).out


def test_a_prompt_that_does_not_fit_states_both_numbers(cli, tokenizer):
    prompt = "word " * 600
    outcome = cli("generate", "-", stdin=prompt.encode())
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert str(len(tokenizer.encode(prompt))) in outcome.err
    assert "512" in outcome.err


@pytest.mark.skipif(not ADDER.exists(), reason="the trained adder is not at hand")
@pytest.mark.parametrize(("left", "right"), [(12, 34), (99, 99), (7, 45)])
def test_a_model_that_adds(cli, left, right):
    prompt = " ".join(f"{left:02}{right:02}")
    out = cli("generate", "--model", str(ADDER), "--prompt-ids", prompt, "-n", "3").out
    assert int("".join(reversed(out.split()))) == left + right


def test_every_type_that_the_loader_knows_is_a_choice(cli):
    assert set(DTYPES) == {"auto", *KINDS, PAIRED, *QUANTIZED}
    assert cli("generate", "Once", "-n", "3", "--dtype", "q4").code == 0
