"""Files of prompts from people who make mistakes, or mean harm: each bad line is one error, and the rest goes on."""

import io
import json

import pytest

import glassformer
from glassformer.batch.lines import MOST_BYTES, read_lines
from glassformer.batch.local import Load, local_results
from glassformer.batch.terms import Terms
from glassformer.generation.asked import Asked
from glassformer.model import Model

GOOD = b'{"prompt": "The cat"}\n'
TERMS = Terms(asked=Asked(max_new_tokens=3), seed=1)
BAD = {
    b"\xff\xfe{}": "not valid UTF-8",
    b'{"prompt": "a\xff"}': "not valid UTF-8",
    b"no": "not JSON",
    b"{": "not JSON",
    b"[1]": "found a list at the top level",
    b'"text"': "at the top level",
    b"\0" * 50: "not JSON",
    b"\xef\xbb\xbf" + GOOD.strip(): "not JSON",  # a mark is one at the beginning of a file alone
    b'{"prompt": "a", "prompt": "b"}': "is given twice",
    b'{"prompt": ' + b"[" * 5000 + b"]" * 5000 + b"}": "nested more than 127 deep",
    b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}": "out of range",
    b'{"prompt": "a", "temperature": NaN}': "NaN is not JSON",
    b'{"prompt": "a", "temperature": 1e999}': "out of range",
    b'{"prompt": "\\ud800"}': "unpaired surrogate",
    b"{}": "neither is there",
    b'{"prompt": null}': "neither is there",
    b'{"prompt": "a", "prompt_ids": [1]}': "both are there",
    b'{"prompt": ["a"]}': "expected a text",
    b'{"prompt_ids": "1 2"}': "expected a list of token ids",
    b'{"prompt_ids": [1.0]}': "a token id is a whole number",
    b'{"prompt_ids": [true]}': "a token id is a whole number",
    b'{"prompt_ids": [-1]}': "holds id -1",
    b'{"prompt_ids": [2048]}': "holds id 2048",
    b'{"prompt_ids": [' + b"5," * 600 + b"5]}": "601 tokens",
    b'{"prompt": "a", "temprature": 1}': "the field 'temprature' is unknown",
    b'{"prompt": "a", "speculate": true}': "the field 'speculate' is unknown",
    b'{"text": "a"}': "the field 'text' is unknown",
    b'{"prompt": "a", "id": []}': "id is []",
    b'{"prompt": "a", "id": 1.5}': "id is 1.5",
    b'{"prompt": "a", "id": true}': "id is True",
    b'{"prompt": "a", "custom_id": "' + b"x" * 1001 + b'"}': "custom_id is",
    b'{"prompt": "a", "temperature": -1}': "temperature is -1",
    b'{"prompt": "a", "temperature": "1"}': "temperature is '1'",
    b'{"prompt": "a", "max_new_tokens": 0}': "max_new_tokens is 0",
    b'{"prompt": "a", "max_new_tokens": 1.5}': "max_new_tokens is 1.5",
    b'{"prompt": "a", "max_new_tokens": true}': "max_new_tokens is True",
    b'{"prompt": "a", "do_sample": 1}': "do_sample is 1",
    b'{"prompt": "a", "ignore_eos": 1}': "ignore_eos is 1",
    b'{"prompt": "a", "seed": -1}': "seed is -1",
    b'{"prompt": "a", "seed": 18446744073709551616}': "seed is",
    b'{"prompt": "a", "stop": 5}': "stop is 5",
    b'{"prompt": "a", "stop": [""]}': "stop is ['']",
    b'{"prompt": "a", "stop": {"a": 1}}': "stop is",
    b'{"prompt": "a", "stop_ids": [9999]}': "stop_ids names id 9999",
    b'{"prompt": "a", "stop_ids": "5"}': "stop_ids is '5'",
    b'{"prompt": "a", "stop_ids": [[1]]}': "stop_ids",
    b'{"prompt": "a", "logprobs": 100000}': "logprobs is 100000",
    b'{"prompt": "a", "logprobs": "5"}': "logprobs is '5'",
    b'{"prompt": "a", "top_k": -1}': "top_k is -1",
    b'{"prompt": "a", "logit_bias": {"a": 1}}': "logit_bias is",
    b'{"prompt": "a", "logit_bias": {"99999": 1}}': "logit_bias names id 99999",
    b'{"prompt": "a", "logit_bias": {"5": "x"}}': "logit_bias[5] is 'x'",
    b'{"prompt": "a", "logit_bias": [5]}': "logit_bias is [5]",
    b'{"prompt": "a", "bad_words": "x"}': "bad_words is 'x'",
    b'{"prompt": "a", "bad_words": [[]]}': "bad_words is",
    b'{"prompt": "a", "bad_words": [5]}': "bad_words is",
    b'{"prompt": "a", "bad_words": [[1.5]]}': "bad_words names id 1.5",
    b'{"prompt": "a", "constraint": "x"}': "constraint is 'x'",
    b'{"prompt": "a", "constraint": {}}': "constraint is {}",
    b'{"prompt": "a", "constraint": {"regex": "("}}': "a group is not closed",
    b'{"prompt": "a", "constraint": {"regex": 5}}': "regex is not a string",
    b'{"prompt": "a", "constraint": {"choices": []}}': "nothing to choose from",
    b'{"prompt": "a", "constraint": {"choices": "ab"}}': "list of strings",
    b'{"prompt": "a", "constraint": {"json_object": false}}': "json_object is not true",
    b'{"prompt": "a", "constraint": {"json_schema": 5}}': "json_schema is not an object",
    b'{"prompt": "a", "constraint": {"json_schema": {"multipleOf": 3}}}': "multipleOf",
    b'{"prompt": "a", "constraint": {"regex": "a"}, "stop": "b"}': "stop is given beside a constraint",
}


@pytest.fixture(scope="module")
def story() -> Model:
    return glassformer.load()


def results(model: Model, data: bytes, terms: Terms = TERMS) -> list[dict[str, object]]:
    found = local_results(model, read_lines(io.BytesIO(data)), terms, Load(running=4))
    return sorted((json.loads(each.data) for each in found), key=lambda each: each["line"])


def test_every_bad_line_is_one_error_and_the_others_are_done(story):
    data = GOOD + b"\r\n".join(each + b"\r\n" + GOOD.strip() for each in BAD)
    found = results(story, data)
    assert len(found) == 1 + 2 * len(BAD)
    alone = story.generate("The cat", max_new_tokens=3, seed=1)
    assert found[0]["ids"] == alone.ids
    assert all("ids" in each for each in found[::2])
    for (line, message), each in zip(BAD.items(), found[1::2], strict=True):
        assert "error" in each, line[:100]
        said = each["error"]["message"]
        assert message in said, (line[:100], said)
        assert len(said) < 2000, line[:100]


@pytest.mark.parametrize("task", ["score", "embed"])
def test_fields_of_one_task_are_unknown_to_another(story, task):
    found = results(story, b'{"prompt": "a b"}\n{"text": "a b", "seed": 1}\n{"text": "a b"}\n', Terms(task))
    assert ["error" in each for each in found] == [True, True, False]
    assert "the field 'seed' is unknown to" in found[1]["error"]["message"]


def test_a_huge_line_is_one_error(story):
    huge = b'{"prompt": "' + b"x" * (MOST_BYTES + 5) + b'"}\n'
    found = results(story, GOOD + huge + GOOD)
    assert ["error" in each for each in found] == [False, True, False]
    assert "the line has more than 16,777,216 bytes" in found[1]["error"]["message"]


def test_an_id_is_in_the_result_of_a_bad_line_too(story):
    found = results(story, b'{"prompt": 5, "id": "x", "custom_id": 18446744073709551616}\n')
    assert (found[0]["id"], found[0]["custom_id"]) == ("x", 2**64)
