"""`glassformer tokenize`: ids, tokens, offsets, and the way back."""

import pytest

TEXT = "Once upon a time, 猫 naïve  \n"


def test_prints_the_ids_on_one_line(cli, tokenizer):
    ids = tokenizer.encode("Once upon a time")
    assert cli("tokenize", "Once upon a time").out == " ".join(map(str, ids)) + "\n"
    assert cli("tokenize", "Once", "upon", "a", "time").out == " ".join(map(str, ids)) + "\n"


def test_standard_input_is_taken_whole(cli, tokenizer):
    for arguments in (["tokenize"], ["tokenize", "-"]):
        assert cli(*arguments, "--json", stdin=TEXT.encode()).json["ids"] == tokenizer.encode(TEXT)


def test_json_describes_every_token(cli, tokenizer):
    report = cli("tokenize", "--json", TEXT).json
    assert report["text"] == TEXT
    assert report["count"] == len(report["ids"]) == len(report["tokens"]) == len(report["offsets"])
    assert report["offsets"][0][0] == 0
    assert report["offsets"][-1][1] == len(TEXT)
    whole = [(text, span) for text, span in zip(report["tokens"], report["offsets"], strict=True) if "�" not in text]
    assert all(TEXT[start:end] == text for text, (start, end) in whole)


def test_one_line_per_token(cli, tokenizer):
    first = tokenizer.encode("Once")[0]
    assert cli("tokenize", "--tokens", "Once").out.splitlines()[0] == f"{first}\t'Once'"
    assert cli("tokenize", "--offsets", "Once").out.splitlines()[0] == f"{first}\t0\t4\t'Once'"


def test_parts_of_a_character_are_shown_as_bytes(cli):
    assert "b'\\xe7'" in cli("tokenize", "--tokens", "猫").out


def test_count(cli, tokenizer):
    assert cli("tokenize", "--count", TEXT).out == f"{len(tokenizer.encode(TEXT))}\n"
    assert cli("tokenize", "--count", stdin=b"").out == "0\n"


@pytest.mark.parametrize("text", [TEXT, "", "no line end", "\n\n\r\n", "\x00\x1b"])
def test_encoding_and_decoding_give_the_text_back(cli, text):
    ids = cli("tokenize", stdin=text.encode()).out
    assert cli("tokenize", "--decode", stdin=ids.encode()).out == text


@pytest.mark.parametrize("ids", ["[1, 2, 3]", "1 2 3", "1,2,3", "1\n2\n3\n"])
def test_ids_are_read_in_the_forms_that_programs_print(cli, tokenizer, ids):
    assert cli("tokenize", "--decode", ids, "--json").json == {"ids": [1, 2, 3], "text": tokenizer.decode([1, 2, 3])}


def test_special_tokens_only_when_allowed(cli):
    text = "a<|endoftext|>"
    assert cli("tokenize", "--json", text).json["ids"][-1] != 2047
    assert cli("tokenize", "--json", "--allow-special", text).json["ids"][-1] == 2047


@pytest.mark.parametrize("ids", ["x", "1 two", "-- -1", "1.5", "9" * 30, "٣"])
def test_what_is_no_id_is_a_usage_error(cli, ids):
    outcome = cli("tokenize", "--decode", *ids.split(" ", 1))
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "token ids" in outcome.err


def test_an_id_beyond_the_vocabulary_fails(cli):
    outcome = cli("tokenize", "--decode", "99999")
    assert (outcome.code, outcome.out) == (1, "")
    assert "99999" in outcome.err


def test_decode_goes_without_the_other_views(cli):
    assert cli("tokenize", "--decode", "--offsets", "1").code == 2
