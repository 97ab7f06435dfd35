"""`glassformer trace`: what it prints is what the Python interface computes."""

import math
from pathlib import Path

import numpy as np
import pytest

import glassformer
from glassformer.introspect.documents import to_json
from glassformer.introspect.interventions import Add, Zero
from glassformer.model import Model

TEXT = "Once upon a time there"
EDIT = Zero("attn_out", layer=3)


@pytest.fixture(scope="module")
def model() -> Model:
    return glassformer.load()


@pytest.fixture
def edit(tmp_path: Path) -> str:
    path = tmp_path / "edit.json"
    path.write_text(to_json(EDIT), encoding="utf8")
    return str(path)


def test_json_holds_surprise_and_lens(cli, model) -> None:
    found = cli("trace", "--json", "--positions", "1,-1", "--top", "3", TEXT).json
    expected = model.surprise(TEXT, top=3)
    assert found["text"] == TEXT
    assert [row["id"] for row in found["tokens"]] == expected.ids
    assert [row["token"] for row in found["tokens"]] == expected.tokens
    assert [row["position"] for row in found["tokens"]] == list(range(len(expected.ids)))
    first, *others = found["tokens"]
    assert (first["bits"], first["rank"], first["expected"]) == (None, None, [])
    assert [row["bits"] for row in others] == pytest.approx(expected.bits[1:].tolist(), rel=1e-5, abs=1e-6)
    assert [row["rank"] for row in others] == expected.ranks[1:].tolist()
    assert [[each["id"] for each in row["expected"]] for row in others] == expected.top_ids[1:].tolist()
    assert not any(row["generated"] for row in found["tokens"])

    lens = model.logit_lens(TEXT, positions=[1, -1], top=3)
    assert [each["position"] for each in found["lens"]] == [1, len(expected.ids) - 1]
    for column, each in enumerate(found["lens"]):
        assert [layer["site"] for layer in each["layers"]] == lens.sites
        for row, layer in enumerate(each["layers"]):
            assert [token["id"] for token in layer["expected"]] == lens.top_ids[row, column].tolist()
            assert [token["token"] for token in layer["expected"]] == lens.top_tokens[row][column]
            shares = [token["probability"] for token in layer["expected"]]
            assert shares == pytest.approx(lens.top_probabilities[row, column].tolist(), rel=1e-5)


def test_the_last_layer_says_what_the_model_says(cli) -> None:
    found = cli("trace", "--json", "--positions", "3", TEXT).json
    (lens,) = found["lens"]
    said, expected = lens["layers"][-1]["expected"], found["tokens"][4]["expected"]
    assert [each["id"] for each in said] == [each["id"] for each in expected]
    assert [each["probability"] for each in said] == pytest.approx([each["probability"] for each in expected], rel=1e-4)


def test_new_tokens_are_followed_as_they_are_written(cli, model) -> None:
    found = cli("trace", "--json", "-n", "4", "--positions", "none", "--top", "2", TEXT).json
    written = model.generate(TEXT, max_new_tokens=4, temperature=0)
    rows = [row for row in found["tokens"] if row["generated"]]
    assert [row["id"] for row in rows] == written.ids
    assert found["text"] == TEXT + written.text
    assert [row["bits"] for row in rows] == pytest.approx(
        [-t.logprob / math.log(2) for t in written.logprobs], rel=1e-5
    )
    assert [row["rank"] for row in rows] == [0] * 4
    assert [each["position"] for each in found["lens"]] == []
    found = cli("trace", "--json", "-n", "4", "--top", "2", TEXT).json
    last = len(model.ids(TEXT)) - 1
    assert [each["position"] for each in found["lens"]] == [last, last + 1, last + 2, last + 3]
    for lens, row in zip(found["lens"], rows, strict=True):
        assert lens["layers"][-1]["expected"][0]["id"] == row["id"]


def test_an_edit_changes_the_trace(cli, model, edit) -> None:
    plain = cli("trace", "--json", TEXT).json
    changed = cli("trace", "--json", "--edit", edit, TEXT).json
    assert plain != changed
    expected = model.edited(EDIT).surprise(TEXT)
    bits = [row["bits"] for row in changed["tokens"][1:]]
    assert bits == pytest.approx(expected.bits[1:].tolist(), rel=1e-5, abs=1e-6)


def test_an_edit_changes_what_is_generated(cli, model, edit, tmp_path) -> None:
    steer = Add("logits", 50.0, neuron=model.ids(" tree")[0], step=[1, 3])
    second = tmp_path / "steer.json"
    second.write_text(to_json([steer]), encoding="utf8")
    asked = ("generate", "--greedy", "-n", "6", TEXT)
    found = cli(*asked, "--edit", edit, "--edit", str(second)).out
    assert found == model.edited(EDIT, steer).generate(TEXT, max_new_tokens=6, do_sample=False).text + "\n"
    assert found.count(" tree") == 2
    assert found != cli(*asked).out


def test_lines_for_pipes(cli, model) -> None:
    tokens, lens = cli("trace", "--top", "2", stdin=TEXT.encode()).out.split("\n\n")
    rows = [line.split("\t") for line in tokens.splitlines()]
    assert rows[0] == ["0", "470", "", "", "'Once'"]
    assert [row[4] for row in rows] == ["'Once'", "' upon'", "' a'", "' time'", "' there'"]
    assert all(len(row) == 7 for row in rows[1:])
    bits = model.surprise(TEXT).bits
    assert float(rows[4][2]) == pytest.approx(float(bits[4]), abs=1e-3)
    lines = [line.split("\t") for line in lens.splitlines()]
    assert [line[:2] for line in lines][:2] == [["4", "blocks.0.hook_resid_pre"], ["4", "blocks.0.hook_resid_post"]]
    assert len(lines) == model.config.n_layer + 1


def test_a_terminal_gets_tables_without_control_characters(cli, monkeypatch) -> None:
    monkeypatch.setattr("glassformer.cli.terminal.is_terminal", lambda stream: True)
    out = cli("trace", "-n", "1", "Once\x1b[31m upon").out
    assert "\x1b[31m upon" not in out
    assert "after" in out
    assert "before 0" in out
    assert "bits" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--positions", "first"), "'first' names no positions; give all, none, numbers"),
        (("--positions", "1;2"), "names no positions"),
        (("--positions", "99"), "position 99 is not in a text of"),
        (("--top", "-1"), "--top"),
        (("-n", "-1"), "--max-new-tokens"),
        (("--edit", "missing.json"), "missing.json: cannot read it"),
    ],
)
def test_wrong_flags_get_one_line(cli, arguments, message) -> None:
    outcome = cli("trace", *arguments, TEXT)
    assert outcome.code in (1, 2)
    assert outcome.out == ""
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_an_edit_that_does_not_fit_is_refused(cli, tmp_path) -> None:
    path = tmp_path / "edit.json"
    path.write_text(to_json(Zero("z", head=99)), encoding="utf8")
    for name in ("trace", "generate"):
        outcome = cli(name, "--edit", str(path), TEXT)
        assert (outcome.code, outcome.out) == (1, "")
        assert "99 is not among the 6 heads of blocks.0.attn.hook_z" in outcome.err


def test_an_empty_text_is_refused(cli) -> None:
    assert "empty" in cli("trace", "").err


def test_all_positions_and_ranges(cli) -> None:
    def places(which: str) -> list[int]:
        return [
            each["position"] for each in cli("trace", "--json", "--top", "1", "--positions", which, TEXT).json["lens"]
        ]

    assert places("all") == [0, 1, 2, 3, 4]
    assert places("1:3") == [1, 2]
    assert places("-2:") == [3, 4]
    assert places("none") == []
    assert np.all(np.diff(places("0,3")) > 0)
