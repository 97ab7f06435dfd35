"""What notebooks show of captures and steps: the figures are well-formed and say the numbers."""

import xml.etree.ElementTree as ElementTree

from glassformer.model import Model

TEXT = "Once <b> upon & a time"


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.replace("<br>", "<br/>"))


def test_a_cache_shows_its_text_and_its_arrays(story: Model) -> None:
    cache = story.run_with_cache(TEXT, ["blocks.1.attn.hook_z", "hook_embed"], positions=[0, -1])[1]
    tree = parsed(cache._repr_html_())
    spans = list(tree.iter("span"))
    assert "".join(span.text or "" for span in spans) == TEXT
    marked = [i for i, span in enumerate(spans) if "transparent" not in span.attrib["style"]]
    assert marked == [0, len(cache.ids) - 1]
    cells = [cell.text for cell in tree.iter("td")]
    config = story.config
    assert cells == [
        "hook_embed", f"2 x {config.n_embd}", f"{8 * config.n_embd:,}",
        "blocks.1.attn.hook_z", f"2 x {config.n_head} x {config.head_dim}", f"{8 * config.n_embd:,}",
    ]  # fmt: skip
    assert f"2 sites, {16 * config.n_embd:,} bytes" in "".join(tree.itertext())


def test_a_step_shows_what_was_expected(story: Model) -> None:
    step = next(story.trace("Once upon a time", names=(), do_sample=False))
    tree = parsed(step._repr_html_())
    names = [cell.text for cell in tree.iter("th")]
    assert len(names) == 10
    assert names[0] == repr(step.text)
    assert f"{step.text!r} at position {step.position}" in "".join(tree.itertext())
    shown = [cell.text for row in tree.iter("tr") for cell in row][2::3]
    assert shown[0] == f"{100 * step.probabilities[step.token]:.4g} %"
