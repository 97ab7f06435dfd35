"""`glassformer kernels`: the list, and each stage of one kernel."""

import ast
from pathlib import Path

import pytest

import glassformer
from glassformer.kernels import catalog as kernel_catalog
from glassformer.simd import Pointer, f32, i64, kernel
from glassformer.simd.target import TARGETS

KERNELS = Path(glassformer.__file__).parent / "kernels"


@kernel
def scaled(x: Pointer[f32], count: i64, *, FACTOR, KIND=f32):
    """x *= FACTOR.  x: [count]."""
    for i in range(count):
        x[i] = x[i] * KIND(FACTOR)


@pytest.fixture
def sample(monkeypatch):
    """A catalog of one kernel, which has constants."""
    entry = kernel_catalog.Entry(scaled, "sample")
    monkeypatch.setattr(kernel_catalog, "catalog", lambda: {"scaled": entry})


def test_lists_every_kernel_of_the_package(cli):
    decorated = [
        node.name
        for path in KERNELS.glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf8")).body
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(each) == "kernel" for each in node.decorator_list)
    ]
    listed = cli("kernels", "--json").json["kernels"]
    assert decorated
    assert sorted(each["name"] for each in listed) == sorted(decorated)
    out = cli("kernels").out
    assert all(f"  {name} " in out for name in decorated)


def test_every_kernel_says_where_it_is_written(cli):
    for each in cli("kernels", "--json").json["kernels"]:
        path, _, line = each["place"].partition(":")
        source = (KERNELS.parent / path).read_text(encoding="utf8").splitlines()
        assert any(f"def {each['name']}(" in text for text in source[int(line) - 1 : int(line) + 2])


def test_source_is_shown_without_a_stage(cli, sample):
    assert "def scaled(x: Pointer[f32]" in cli("kernels", "scaled").out


@pytest.mark.parametrize("stage", ["--tree", "--ir", "--asm"])
def test_constants_without_a_default_are_asked_for(cli, sample, stage):
    outcome = cli("kernels", "scaled", stage)
    assert (outcome.code, outcome.out) == (2, "")
    assert "add --set FACTOR=VALUE." in outcome.err


def test_tree(cli, sample):
    out = cli("kernels", "scaled", "--tree", "--set", "FACTOR=3.0").out
    assert "kernel scaled(x: Pointer[f32], count: i64)" in out
    assert "3" in out


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "wasm32"])
def test_ir_and_assembly_for_every_target(cli, sample, target):
    flags = ("--target", target, "--set", "FACTOR=3.0", "--set", "KIND=f32")
    report = cli("kernels", "scaled", "--ir", "--json", *flags).json
    assert (report["stage"], report["target"]) == ("ir", target)
    assert TARGETS[target].triple in report["text"]
    assembly = cli("kernels", "scaled", "--asm", *flags).out
    assert ("fmul" if target.startswith("arm64") else "mulss") in assembly


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nothing"], "scaled"),
        (["scale"], "scaled"),
        (["--tree"], "name the kernel"),
        (["scaled", "--tree"], "FACTOR"),
        (["scaled", "--asm", "--target", "bogus", "--set", "FACTOR=2.0"], "avx2"),
        (["scaled", "--target", "avx2"], "--asm"),
        (["scaled", "--tree", "--set", "SIZE=2"], "FACTOR"),
        (["scaled", "--tree", "--set", "FACTOR"], "NAME=VALUE"),
        (["scaled", "--tree", "--set", "FACTOR=__import__('os')"], "is no number"),
    ],
)
def test_wrong_usage_says_what_there_is(cli, sample, arguments, named):
    outcome = cli("kernels", *arguments)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert named in outcome.err


def test_a_constant_may_be_an_operation_or_a_kernel(cli):
    assert "kernel unary" in cli("kernels", "unary", "--tree", "--set", "F=silu").out
    assert "kernel unary" in cli("kernels", "unary", "--tree", "--set", "F=exp").out
