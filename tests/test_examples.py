"""The examples run as they stand, and what they print makes their point."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def example(name: str) -> ModuleType:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(name: str, capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    """The lines that an example prints."""
    example(name).main(*arguments)
    return capsys.readouterr().out.splitlines()


def test_there_are_examples() -> None:
    assert {"logit_lens", "induction_heads", "ablate_a_head", "activation_patching_ioi", "steering"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_short_and_says_what_is_seen(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf8")
    assert len(text.splitlines()) < 40
    described = example(name).__doc__
    assert described is not None
    assert f"python examples/{name}.py [MODEL]" in described
    assert re.search(r"\b20\d\d\)", described), "the paper is not named"


def test_logit_lens(capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = printed("logit_lens", capsys)
    assert head.startswith("' Mia' comes next")
    ranks = [int(row.split()[1]) for row in rows]
    assert len(ranks) == 7
    assert min(ranks[:4]) > 100
    assert max(ranks[4:]) <= 5
    assert ranks[-1] == 1


def test_logit_lens_of_another_text(capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed("logit_lens", capsys, None, "Once upon a")
    assert rows[0].startswith("' time' comes next")


def test_induction_heads(capsys: pytest.CaptureFixture[str]) -> None:
    found = {line.split()[0]: line.split()[1:] for line in printed("induction_heads", capsys)}
    assert found["previous_token"][0] == "0.1"
    assert float(found["previous_token"][1]) > 0.9
    assert set(found["induction"][:8:2]) == {"1.0", "1.1", "1.2", "1.3"}
    assert min(map(float, found["induction"][1:8:2])) > 0.8
    assert float(found["induction"][9]) < 0.1
    assert float(found["duplicate_token"][1]) < 0.1


def test_ablate_a_head(capsys: pytest.CaptureFixture[str]) -> None:
    whole, without = printed("ablate_a_head", capsys)
    assert without.startswith("without head 0.1")
    scores = [[float(x) for x in re.findall(r"\d\.\d (\d\.\d\d)", line)] for line in (whole, without)]
    assert min(scores[0]) > 0.8
    assert max(scores[1]) < 0.2
    known = [float(line.split()[-1]) for line in (whole, without)]
    assert known[0] > -0.01
    assert known[1] < -3.0


def test_activation_patching(capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = printed("activation_patching_ioi", capsys)
    clean, corrupted = map(float, re.findall(r"[-+]\d+\.\d\d", head))
    assert clean > 5
    assert corrupted < -5
    shares = {(i, j): float(x) for i, row in enumerate(rows) for j, x in enumerate(row.split()[2:])}
    assert len(shares) == 36
    assert shares.pop((3, 2)) > 0.8
    assert max(map(abs, shares.values())) < 0.2


def test_steering(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed("steering", capsys)
    night = re.compile(r"\b(?:night|moon|stars?|dark)\b", re.IGNORECASE)
    plain, steered = ([line for line in lines if line.startswith(sign)] for sign in ("+0.0", "+2.0"))
    assert len(plain) == len(steered) == 3
    before, after = (sum(len(night.findall(line)) for line in half) for half in (plain, steered))
    assert after >= before + 4
