"""Interventions as data: what they are made of, when they are equal, and how they are written in Python."""

import math
import pickle

import numpy as np
import pytest
from intervention_cases import EXAMPLES

from glassformer.introspect import interventions
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.interventions import Add, Freeze, Intervention, Mean, Patch, Scale, Zero
from glassformer.introspect.numbers import decoded

NAMES = {name: getattr(interventions, name) for name in ("Zero", "Mean", "Add", "Scale", "Patch", "Freeze")}
NAMES["decoded"] = decoded
EXAMPLE = pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.to_python()[:50])


@EXAMPLE
def test_python_gives_an_equal_object(example: Intervention) -> None:
    again = eval(example.to_python(), dict(NAMES))
    assert again == example
    assert hash(again) == hash(example)
    assert again.to_python() == example.to_python()


@EXAMPLE
def test_each_is_equal_to_itself_alone(example: Intervention) -> None:
    assert [example == other for other in EXAMPLES].count(True) == 1
    assert pickle.loads(pickle.dumps(example)) == example
    assert example != example.to_python()


def test_equality_looks_at_every_number_and_selector() -> None:
    base = Patch("z", [1.0, 2.0], layer=1)
    assert base == Patch("z", np.array([1, 2]), layer=np.int64(1))
    for other in (
        Patch("z", [1.0, 2.5], layer=1), Patch("z", [[1.0, 2.0]], layer=1), Patch("z", [1.0, 2.0], layer=[1]),
        Patch("z", [1.0, 2.0]), Patch("q", [1.0, 2.0], layer=1), Add("z", [1.0, 2.0], layer=1),
    ):  # fmt: skip
        assert base != other
    assert Zero("z", head=range(2)) == Zero("z", head=[0, 1]) == Zero("z", head=np.arange(2)) != Zero("z", head=[1, 0])


def test_numbers_are_copied_and_cannot_be_written() -> None:
    mine = np.ones(3)
    patch = Patch("z", mine)
    mine[:] = 7
    value = np.asarray(patch.value)
    assert value.tolist() == [1, 1, 1]
    assert value.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        value[0] = 2
    with pytest.raises(AttributeError):
        patch.value = 3  # type: ignore[misc]


def test_a_factor_is_a_number() -> None:
    assert Scale("z", np.float64(0.5)).factor == 0.5
    assert type(Scale("z", 2).factor) is float
    with pytest.raises(IntrospectionError, match=r"factor has shape \(2,\); it must be one number"):
        Scale("z", [1, 2])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Zero(""), "site is ''; it must be a name"),
        (lambda: Zero(5), "site is 5; it must be a name"),
        (lambda: Zero("z" * 201), "it must be a name"),
        (lambda: Zero("z", head=1.0), "head is 1.0; it must be a whole number, a list"),
        (lambda: Zero("z", head=True), "head is True"),
        (lambda: Zero("z", head="1"), "head is '1'"),
        (lambda: Zero("z", head=[]), r"head is \[\]"),
        (lambda: Zero("z", head=[0, 1.5]), "head holds 1.5; it must be a whole number"),
        (lambda: Zero("z", head=[0, 3, 0]), "head names 0 twice"),
        (lambda: Zero("z", neuron=1 << 40), "neuron holds 1099511627776"),
        (lambda: Zero("z", position=slice(0, 5, 0)), "position is a slice with step 0"),
        (lambda: Zero("z", position=slice(0, 5, -1)), "position is a slice with step -1"),
        (lambda: Zero("z", position=slice(0, 2.5)), "position holds 2.5"),
        (lambda: Zero("z", step=-1), "step names -1; steps count from 0"),
        (lambda: Zero("z", step=[3, -2]), "step names -2"),
        (lambda: Zero("z", step=slice(-2, None)), "step names -2"),
        (lambda: Add("z", math.nan), "value holds a number that is not finite"),
        (lambda: Add("z", [1, math.inf]), "not finite"),
        (lambda: Add("z", 1e39), "not finite in float32"),
        (lambda: Add("z", "1"), "value is of dtype <U1"),
        (lambda: Add("z", True), "value is of dtype bool"),
        (lambda: Add("z", 1j), "value is of dtype complex128"),
        (lambda: Add("z", None), "value is of dtype object"),
        (lambda: Add("z", [[1], [1, 2]]), "it must be a number or an array of numbers"),
        (lambda: Add("z", []), r"value has shape \(0,\)"),
        (lambda: Add("z", np.zeros((1, 1, 1, 1, 1))), "at most 4 axes"),
        (lambda: Scale("z", math.inf), "factor holds a number that is not finite"),
        (lambda: Mean("z", None), "value is of dtype object"),
        (lambda: Freeze("z", math.nan), "source holds a number that is not finite"),
    ],
)
def test_what_is_no_intervention_is_refused(made, message) -> None:
    with pytest.raises(IntrospectionError, match=message):
        made()
