"""The grammar's stories are whole and plain, and the counter of names can tell a right story from a wrong one."""

import random
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tools.story_model import count_names, names
from tools.story_model.grammar import LONGEST, SHORTEST, story
from tools.story_model.plots import PLOTS, parse_plot
from tools.story_model.templates import Choice, Value, parse
from tools.story_model.visitors import with_visitors
from tools.story_model.words import OPENINGS, PHRASES


@pytest.fixture(scope="module")
def stories() -> list[str]:
    rng = random.Random(5)
    return [story(rng) for _ in range(400)]


def test_stories_are_within_bounds_and_ascii(stories: list[str]) -> None:
    assert all(SHORTEST <= len(text) <= LONGEST and text.isascii() for text in stories)
    assert len(set(stories)) == len(stories)


def test_stories_are_finished_text(stories: list[str]) -> None:
    for text in stories:
        assert not re.search(r"[{}\[\]|]|  |\.\.|\b[Aa] [aeio]", text), text
        assert text.count('"') % 2 == 0, text
        assert all(re.match(r'"?[A-Z]', line) and line[-1] in '.!?"' for line in text.split("\n")), text


def test_same_seed_same_stories() -> None:
    first, second = random.Random(7), random.Random(7)
    assert [story(first) for _ in range(5)] == [story(second) for _ in range(5)]


def test_counter_accepts_the_grammar(stories: list[str]) -> None:
    kept = sum(not names.complaints(text) for text in stories)
    assert kept >= 0.98 * len(stories)


def test_counter_rejects_a_hero_renamed_halfway(stories: list[str]) -> None:
    rng = random.Random(6)
    pairs = [(text, count_names.rename_halfway(text, rng)) for text in stories]
    changed = [renamed for text, renamed in pairs if renamed != text]
    assert len(changed) > 0.9 * len(stories)
    assert sum(bool(names.complaints(text)) for text in changed) >= 0.95 * len(changed)


TALE = "Once there was a fox named Tom. He loved rain.\nTom met Mia the owl. {}\nTom and Mia went home."


@pytest.mark.parametrize(
    ("sentence", "complaint"),
    [
        ("They sang.", ""),
        ("Mrs. Plum the baker sang.", ""),
        ("Then Max sang.", "Max comes out of nowhere"),
        ("Then Zorbel and Tom met Zorbel.", "Zorbel comes out of nowhere"),
        ("Tom the bear sang.", "Tom is now bear and now fox"),
        ("Tom closed her eyes.", "Tom is both he and she"),
        ("Max the cat and Ned the dog sang.", "too many characters: Mia, Max, Ned"),
    ],
)
def test_counter_says_what_is_wrong(sentence: str, complaint: str) -> None:
    assert ", ".join(names.complaints(TALE.format(sentence))).startswith(complaint)
    assert bool(names.complaints(TALE.format(sentence))) == bool(complaint)


def test_counter_sees_a_hero_vanish_and_a_wrong_pronoun() -> None:
    lost = "Tom was a fox. " + "He sang all day long. " * 9 + "Then he met Mia the owl. " + "Mia sang. " * 30
    assert "Tom vanishes" in names.complaints(lost)
    assert "Tom is she" in names.complaints("Tom was a fox. One day she sang.\nTom was glad.")
    assert names.complaints("It rained.") == ["nobody has a name"]


def test_counting_script_prints_the_share(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [TALE.format("They sang."), TALE.format("Then Max sang.")]
    assert count_names.judge("two", [count_names.Sample(text, True) for text in texts], show=1) == 0.5
    out = capsys.readouterr().out
    assert "names kept 50.0%" in out
    assert "Max comes out of nowhere" in out


def test_templates_are_read_into_nodes() -> None:
    assert parse("a {x} [b|c [d|e]|]") == (
        "a ",
        Value("x"),
        " ",
        Choice((("b",), ("c ", Choice((("d",), ("e",)))), ())),
    )


@pytest.mark.parametrize("broken", ["[a|b", "a]", "{x", "[{x]"])
def test_broken_templates_are_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r"brace|closed|unmatched"):
        parse(broken)


def test_every_template_of_the_data_can_be_read() -> None:
    sentences = [line for lines in (*OPENINGS.values(), *PHRASES.values()) for line in lines]
    for plot in PLOTS:
        sentences += [line for lines in plot.single.values() for line in lines]
        sentences += [way for blocks in plot.paragraphs for block in blocks for way in block.ways]
    assert all(parse(sentence) for sentence in sentences)
    assert len(PLOTS) == 30


def test_a_plot_file() -> None:
    text = "theme=kind lands=sea,lake\n@row x=a; y=b\n@open\nO\n@P\nP1\nP2\n@O\nQ\n@PD\nR\n@end\nE"
    plot = parse_plot("tiny", text)
    assert plot.listed("lands") == {"sea", "lake"}
    assert plot.rows == [{"x": "a", "y": "b"}]
    assert [[(block.mode, block.ways) for block in blocks] for blocks in plot.paragraphs] == [
        [("must", ["P1", "P2"]), ("maybe", ["Q"])],
        [("drop", ["R"])],
    ]
    assert (plot.single["open"], plot.single["end"]) == (["O"], ["E"])


def test_visitors_take_the_place_of_names(stories: list[str]) -> None:
    rng = random.Random(8)
    for text in stories[:100]:
        changed, new = with_visitors(text, rng)
        gone = {m.name for m in names.mentions(text)} - {m.name for m in names.mentions(changed)}
        assert len(new) in (0, 1, 2)
        assert len(gone) == len(new)
        assert all(re.search(rf"\b{name}\b", changed) for name in new)
