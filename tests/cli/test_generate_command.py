"""`glassformer generate` on a model that recites: what is printed, and when."""

import pytest


def test_prints_the_continuation_and_a_line_end(cli, recite):
    recite(" there was a cat.")
    outcome = cli("generate", "Once")
    assert (outcome.code, outcome.out, outcome.err) == (0, " there was a cat.\n", "")


def test_adds_no_second_line_end(cli, recite):
    recite(" The end.\n")
    assert cli("generate", "Once").out == " The end.\n"


def test_json_is_one_object_with_the_promised_fields(cli, recite, tokenizer):
    recite(" a cat — 猫.")
    report = cli("generate", "Once", "--json").json
    assert report["prompt"] == "Once"
    assert report["text"] == " a cat — 猫."
    assert report["ids"] == [*tokenizer.encode(" a cat — 猫."), 2047]
    assert report["prompt_ids"] == tokenizer.encode("Once")
    assert report["finish_reason"] == "stop"
    assert report["seed"] is None
    assert report["timings"].keys() == {"load", "prefill", "decode", "tokens_per_second", "drafted", "accepted"}
    assert "logprobs" not in report


def test_json_with_logprobs(cli, recite):
    recite(" cat")
    steps = cli("generate", "a", "--json", "--logprobs", "2").json["logprobs"]
    assert [step["token"] for step in steps] == [" cat", "<|endoftext|>"]
    assert all(-1e-6 < step["logprob"] <= 0 for step in steps)
    assert [len(step["top"]) for step in steps] == [2, 2]
    assert steps[0]["top"][0]["id"] == steps[0]["id"]


@pytest.mark.parametrize(
    ("stdin", "prompt"),
    [(b"Once\n", "Once"), (b"Once\r\n", "Once"), (b"a\nb\n\n", "a\nb\n"), (b"a\r", "a\r"), (b"", "")],
)
def test_prompt_from_standard_input_without_its_last_line_break(cli, recite, stdin, prompt):
    recite(" x")
    assert cli("generate", "-", "--json", stdin=stdin).json["prompt"] == prompt


def test_prompt_as_a_flag(cli, recite):
    recite(" x")
    assert cli("generate", "--prompt", "Once", "--json").json["prompt"] == "Once"


def test_two_prompts_are_refused(cli):
    outcome = cli("generate", "--prompt", "a", "b")
    assert outcome.code == 2
    assert "give one of them" in outcome.err


@pytest.mark.parametrize(
    ("flags", "text", "reason"),
    [
        (["--max-new-tokens", "2"], " one two", "length"),
        (["-n", "1"], " one", "length"),
        (["--max-length", "4"], " one two three", "length"),
        (["--stop", " three"], " one two", "stop"),
        (["--stop", "zzz", "--stop", "two"], " one ", "stop"),
        ([], " one two three four", "stop"),
    ],
)
def test_flags_that_end_the_text(cli, recite, flags, text, reason):
    recite(" one two three four")
    report = cli("generate", "a", "--json", *flags).json
    assert (report["text"], report["finish_reason"]) == (text, reason)


def test_stop_ids(cli, recite, tokenizer):
    recite(" one two three")
    two = str(tokenizer.encode(" two")[0])
    for flag in ("--stop-id", "--eos-token-id"):
        assert cli("generate", "a", "--json", flag, two).json["text"] == " one"


def test_zero_is_a_value_and_not_an_absence(cli, recite):
    recite(" x")
    assert cli("generate", "a", "--json", "--temperature", "0").json["seed"] is None
    assert cli("generate", "a", "--json", "--temperature", "1", "--seed", "0").json["seed"] == 0


def test_seed_is_reported_when_none_was_given(cli, recite):
    recite(" x")
    assert isinstance(cli("generate", "a", "--json", "--temperature", "0.5").json["seed"], int)


def test_logit_bias_and_bad_words_reach_the_sampler(cli, recite, tokenizer):
    recite(" cat")
    dog = tokenizer.encode(" dog")
    assert len(dog) == 1
    assert cli("generate", "a", "-n", "1", "--logit-bias", f"{dog[0]}=100").out == " dog\n"
    assert cli("generate", "a", "-n", "1", "--bad-words", " cat").out != " cat\n"


def test_a_terminal_gets_the_prompt_too_and_no_control_characters(cli, recite, monkeypatch):
    recite(" a\x1b[2Jb\rc")
    monkeypatch.setattr("glassformer.cli.terminal.is_terminal", lambda stream: True)
    outcome = cli("generate", "Once")
    assert outcome.out == "Once a␛[2Jb␍c\n"
    assert "tokens/s" in outcome.err
    assert cli("generate", "Once", "--quiet").err == ""
    assert cli("--quiet", "generate", "Once").err == ""


def test_interrupt_ends_the_line_and_says_130(cli, recite, monkeypatch):
    model = recite(" one two")
    forward = type(model.network).forward

    def interrupted(self, ids, cache, *, last_only=True):
        if cache.length:  # the prompt is read
            raise KeyboardInterrupt
        return forward(self, ids, cache, last_only=last_only)

    monkeypatch.setattr(type(model.network), "forward", interrupted)
    outcome = cli("generate", "a")
    assert (outcome.code, outcome.out, outcome.err) == (130, " one\n", "")
    outcome = cli("generate", "a", "--json")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "")


def test_without_a_prompt_a_text_begins(cli, recite):
    recite(" x")
    report = cli("generate", "--json").json
    assert (report["prompt"], report["prompt_ids"]) == ("", [2047])


def test_greedy_draws_nothing(cli, recite):
    recite(" x")
    assert cli("generate", "a", "--greedy", "--json").json["seed"] is None


def test_prompt_as_ids(cli, recite, tokenizer):
    recite(" x")
    ids = tokenizer.encode("Once upon")
    report = cli("generate", "--prompt-ids", ", ".join(map(str, ids)), "--json").json
    assert (report["prompt"], report["prompt_ids"]) == ("Once upon", ids)
    assert cli("generate", "--prompt-ids", "1 x").code == 2
    assert cli("generate", "--prompt-ids", "1", "text").code == 2
    assert "2048" in cli("generate", "--prompt-ids", "2048").err


def test_a_model_without_a_vocabulary_prints_ids(cli, recite, monkeypatch):
    model = recite(" one two")
    model.tokenizer = None
    expected = model.generate([1, 2, 3]).ids
    assert cli("generate", "--prompt-ids", "1 2 3").out.split() == [str(token) for token in expected]
    report = cli("generate", "--prompt-ids", "1 2 3", "--json", "--logprobs", "1").json
    assert (report["prompt"], report["text"], report["ids"]) == (None, "", expected)
    assert report["logprobs"][0]["token"] is None
    outcome = cli("generate", "text")
    assert outcome.code == 1
    assert "vocabulary" in outcome.err
