"""Documents of interventions that nobody vouches for: one clear error each, and nothing is allocated for a promise."""

import contextlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassformer.errors import GlassformerError
from glassformer.introspect.documents import DocumentError, from_json, from_object, read_interventions

ZERO = '{"kind": "zero", "site": "z"}'

TEXTS = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[]",
    "a number": "5",
    "null": "null",
    "trailing": ZERO + "x",
    "two objects": ZERO + ZERO,
    "NaN": '{"kind": "scale", "site": "z", "factor": NaN}',
    "infinity": '{"kind": "scale", "site": "z", "factor": -Infinity}',
    "out of range": '{"kind": "scale", "site": "z", "factor": 1e400}',
    "out of float32's range": '{"kind": "scale", "site": "z", "factor": 1e39}',
    "a huge integer": '{"kind": "zero", "site": "z", "head": ' + "9" * 5000 + "}",
    "a huge factor": '{"kind": "scale", "site": "z", "factor": 1' + "0" * 300 + "}",
    "minus zero as head": '{"kind": "zero", "site": "z", "head": -0}',
    "key twice": '{"kind": "zero", "kind": "zero", "site": "z"}',
    "selector twice": '{"kind": "zero", "site": "z", "head": 1, "head": 2}',
    "deep": '{"kind": ' * 5000 + "1" + "}" * 5000,
    "deep lists": '{"kind": "zero", "site": "z", "head": ' + "[" * 5000 + "]" * 5000 + "}",
    "a lone surrogate": '{"kind": "zero", "site": "\\ud800"}',
    "a list in a list": '{"interventions": [[' + ZERO + "]]}",
    "a document in a document": '{"interventions": [{"interventions": []}]}',
    "null among interventions": '{"interventions": [null]}',
    "one among others": '{"interventions": {"0": ' + ZERO + "}}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_texts_get_one_error(name: str) -> None:
    with pytest.raises(DocumentError) as caught:
        from_json(TEXTS[name])
    assert 20 < len(str(caught.value)) < 600


@pytest.mark.parametrize("data", [b"\xff", b"\x00", b"\xef\xbb\xbf{}", b'{"kind": "\xc3"}'])
def test_hostile_bytes_get_one_error(data: bytes) -> None:
    with pytest.raises(DocumentError):
        from_json(data)


@pytest.mark.parametrize(
    ("shape", "text", "message"),
    [
        ([1 << 30, 1 << 30], "AAAAAA==", "holds 4 bytes, and shape .* needs 4,611,686,018,427,387,904"),
        ([2147483647] * 4, "AAAAAA==", "holds 4 bytes"),
        ([2147483648], "AAAAAA==", "has shape"),
        ([2], "AAAAAA==", "holds 4 bytes, and shape .* needs 8"),
        ([1], "AAAAAAAAAAA=", "holds 8 bytes, and shape .* needs 4"),
        ([1], "AAAAA", "is not base64"),
        ([1], "AAAA\nAA==", "is not base64"),
        ([1], "ÄAAAAA==", "is not base64"),
        ([1], "AADAfw==", "not finite"),
        ([1], "AACAfw==", "not finite"),
        ([1] * 100_000, "AAAAAA==", "it must be 1 to 4 whole numbers"),
    ],
)
def test_arrays_that_lie_are_refused_before_anything_is_made(shape: Any, text: str, message: str) -> None:
    document = {"kind": "add", "site": "z", "value": {"shape": shape, "float32": text}}
    tracemalloc.start()
    with pytest.raises(DocumentError, match=message):
        from_object(document)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_lists_without_end_are_refused() -> None:
    with pytest.raises(DocumentError, match="at most 10,000 objects"):
        from_object({"interventions": [{}] * 10_001})
    with pytest.raises(DocumentError, match="a list of 1 to 131,072 whole numbers"):
        from_object({"kind": "zero", "site": "z", "neuron": list(range((1 << 17) + 1))})


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"kind": "zero"}', encoding="utf8")
    with pytest.raises(DocumentError, match=r"broken.json: the intervention lacks site"):
        read_interventions(broken)
    for missing in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(DocumentError, match="cannot read it"):
            read_interventions(missing)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["z", "zero"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["kind", "site", "value", "factor", "source", "head", "position", "step", "start", "stop", "shape", "float32",
         "interventions"]), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True)
@given(VALUES)
def test_any_json_is_interventions_or_our_error(value: Any) -> None:
    for document in (
        value,
        {"kind": "add", "site": "z", "value": value},
        {"kind": "zero", "site": "z", "position": value},
    ):
        with contextlib.suppress(GlassformerError):
            assert from_json(json.dumps(document)) is not None
