"""Figures are well-formed, say what they show, and let no token's text become markup."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.html import bar_list, blocks, bounds, colour, coloured_tokens, heatmap, joined, table

HOSTILE = ['<script>alert("1")</script>', "</figure>", "\"onload='x'", "a & b", "\n", "é\t€"]


def parsed(text: str) -> ElementTree.Element:
    """The figure as XML, which refuses what is left open or unescaped."""
    return ElementTree.fromstring(text.replace("<br>", "<br/>"))


FIGURES = {
    "tokens": coloured_tokens(HOSTILE, [0.0, 1.0, -2.0, None, float("nan"), 3.0], label="<b>surprise</b>"),
    "heatmap": heatmap(
        np.arange(6.0).reshape(1, 6), rows=HOSTILE[:1], columns=HOSTILE, texts=[HOSTILE], label="<b>lens</b>"
    ),
    "bars": bar_list(HOSTILE, [1, -2.5, 0, float("inf"), 1e30, 3], label="<b>heads</b>", unit="<i>"),
    "table": table(HOSTILE, [HOSTILE, [1, 2.5, None, True, "x", np.float32(3)]], label="<b>sites</b>"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_hostile_texts_stay_texts(name: str) -> None:
    tree = parsed(FIGURES[name])
    assert not [e.tag for e in tree.iter() if e.tag in ("script", "b", "i")]
    assert not [key for e in tree.iter() for key in e.attrib if key.startswith("on")]
    assert tree.attrib["aria-label"].startswith("<b>")
    assert HOSTILE[0] in " ".join(tree.itertext()) or HOSTILE[0][:8] in " ".join(tree.itertext())


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_fetched_and_nothing_runs(name: str) -> None:
    for e in parsed(FIGURES[name]).iter():
        assert not {"src", "href", "class", "id"} & e.attrib.keys()


def test_tokens_carry_their_numbers_and_colours() -> None:
    spans = list(parsed(coloured_tokens(["a", "b", "c"], [0.0, 2.0, None], label="bits")).iter("span"))
    assert [span.attrib["title"] for span in spans] == ["'a': 0", "'b': 2", "'c': "]
    backgrounds = [span.attrib["style"].split(";")[0].removeprefix("background:") for span in spans]
    assert backgrounds == [colour(0.0, 0.0, 2.0), "rgba(225,105,20,0.700)", "transparent"]
    given = coloured_tokens(["a"], [1.0], label="x", titles=["said"], high=2.0)
    assert 'title="said"' in given
    assert "0.350" in given


def test_colours_part_at_zero_and_are_as_strong_on_both_sides() -> None:
    assert bounds([-1.0, 4.0, None], None, None) == (-4.0, 4.0)
    assert bounds([1.0, 4.0], None, None) == (0.0, 4.0)
    assert colour(-4.0, -4.0, 4.0) == "rgba(50,115,235,0.700)"
    assert colour(9.0, -4.0, 4.0) == colour(4.0, -4.0, 4.0) == "rgba(225,105,20,0.700)"
    assert colour(3.0, 2.0, 4.0) == "rgba(225,105,20,0.350)"
    assert colour(1.0, 0.0, 0.0) == "rgba(225,105,20,0.000)"


def test_a_heat_map_has_a_named_cell_for_each_number() -> None:
    matrix = np.array([[0.0, 1.5], [-2.0, np.nan]])
    drawn = heatmap(matrix, label="m", rows=["q", "r"], row_name="query", column_name="key")
    titles = [e.text for e in parsed(drawn).iter("title")]
    assert titles == ["query q, key 0: 0", "query q, key 1: 1.5", "query r, key 0: -2", "query r, key 1: nan"]
    assert [e.attrib["fill"] for e in parsed(drawn).iter("rect")][3] == "transparent"


def test_a_large_matrix_is_drawn_in_blocks() -> None:
    matrix = np.zeros((130, 70))
    matrix[129, 69] = -3.0
    drawn = parsed(heatmap(matrix, label="large"))
    rects = list(drawn.iter("rect"))
    assert len(rects) == 44 * 24
    assert rects[-1].attrib["fill"] == "rgba(50,115,235,0.700)"
    assert "blocks of 3 x 3" in drawn.attrib["aria-label"]
    assert [e.text for e in drawn.iter("title")][-1] == "row 129, column 69: -3"


def test_blocks_keep_what_is_furthest_from_zero() -> None:
    matrix = np.array([[1.0, -5.0, np.nan], [2.0, 3.0, np.inf], [0.5, 0.0, 7.0]])
    found = blocks(matrix, 2)
    assert found[0, 0] == -5.0
    assert np.isnan(found[0, 1])
    assert found[1].tolist() == [0.5, 7.0]


def test_long_lists_say_how_much_they_leave_out() -> None:
    bars = bar_list([f"h{i}" for i in range(45)], list(range(45)), label="x", most=40)
    assert bars.count("<tr>") == 41
    assert "and 5 more" in bars
    assert "and 2,000 more" in table(["n"], [[i] for i in range(2100)], label="x")


def test_bars_start_at_zero() -> None:
    bars = [e.attrib["style"] for e in parsed(bar_list(["a", "b"], [2.0, -1.0], label="x", unit="nats")).iter("div")]
    assert "margin-left:50.0%;width:50.0%" in bars[0]
    assert "margin-left:25.0%;width:25.0%" in bars[1]


def test_figures_are_joined() -> None:
    assert len(list(parsed(joined(FIGURES["table"], FIGURES["bars"])).iter("figure"))) == 2


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(IntrospectionError, match="2 tokens, 1 values, 1 titles; give one for each"):
        coloured_tokens(["a", "b"], [1.0], label="x")
    with pytest.raises(IntrospectionError, match=r"two axes; found shape \(3,\)"):
        heatmap(np.zeros(3), label="x")
    with pytest.raises(IntrospectionError, match="2 rows, 1 names_of_rows"):
        heatmap(np.zeros((2, 3)), label="x", rows=["a"])
    with pytest.raises(IntrospectionError, match="1 names, 2 values"):
        bar_list(["a"], [1, 2], label="x")
