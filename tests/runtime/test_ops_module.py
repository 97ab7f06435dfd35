"""`from glassformer import ops`: its names, and the page that documents them."""

import re
from pathlib import Path

import numpy as np
import pytest

import glassformer
from glassformer import ops
from glassformer.runtime.engine import Ops

PAGE = (Path(__file__).parents[2] / "docs" / "tensor-engine.md").read_text(encoding="utf8")
NAMES = sorted(name for name in dir(Ops) if not name.startswith("_"))


def test_names() -> None:
    assert glassformer.ops is ops
    assert dir(ops) == NAMES
    assert all(callable(getattr(ops, name)) for name in NAMES)


def test_one_engine_serves_all_calls() -> None:
    assert ops.add.__self__ is ops.softmax.__self__


@pytest.mark.parametrize("name", ["sofmax", "__path__", "executor", "_binary"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(AttributeError, match=f"no operation '{name}'"):
        getattr(ops, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_is_documented(name: str) -> None:
    assert getattr(Ops, name).__doc__
    assert re.search(rf"`[^`]*\b{name}\b[^`]*`", PAGE), f"{name} is not in docs/tensor-engine.md"


def test_the_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    for block in blocks:
        names: dict[str, object] = {}
        exec(compile(block, "tensor-engine.md", "exec"), names)
        if "weights" in names:
            np.testing.assert_allclose(np.sum(np.asarray(names["weights"]), axis=-1), 1, rtol=1e-6)
    assert capsys.readouterr().out.count("[") > 10
