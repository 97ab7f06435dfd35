"""Mutations of a valid kernel: each builds and verifies, or is refused with an error of ours; nothing else."""

from __future__ import annotations

import ast
import copy
import importlib.util
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glassformer.errors import GlassformerError
from glassformer.simd.emit import emit_module
from glassformer.simd.errors import KernelError
from glassformer.simd.target import TARGETS, load_llvm

SOURCE = '''
from glassformer.simd import *
from glassformer.simd import kernel, static_range, vector

SCALE, WIDTHS, KIND = 0.5, (4, 8, 16), f32x16


@kernel
def helper(x: f32xN, k: f32, *, BY: float = 2.0) -> f32xN:
    if BY > 1.0:
        return x * BY + k
    return x


@kernel
def work(x: Pointer[f32], w: Pointer[u8], out: Pointer[i32], n: i64, scale: f32) -> i64:
    """A kernel with something of everything."""
    total = [[f32x16(0.0) for t in static_range(2)] for r in static_range(2)]
    dot = i32x16(0)
    count: i64 = 0
    for i in range(0, n, 16):
        v = load(x + i, KIND, count=n - i)
        if n - i < 16 and i > 0 or not (scale > 0.0):
            continue
        for r in static_range(2):
            for t in static_range(2):
                total[r][t] = fma(v, load(x + i + t, f32x16), total[r][t])
        dot = dot_u8_i8(dot, load(w + 4 * i, u8x64), bitcast(load(w, u8x64), i8x64))
        count += 1
    while count > WIDTHS[1]:
        count -= 2
        if count == 11:
            break
    mask = lane_numbers(i32x16) < i32(n % 16)
    turned = shuffle(dot, [15 - i for i in static_range(16)])
    low = select(mask, bitcast(helper(total[0][1], scale, BY=3.0), i32x16), turned)
    store(out, low if n > 3 else dot, count=min(n, 16))
    out[3] = saturate(reduce_add(total[1][0]) / f32(n), i32) + i32(mask_bits(mask)) * lane(dot, 2)
    x[0] = exp(abs(x[1])) * SCALE
    helper(interleave_low(total[0][0], total[1][1]), -scale)
    return count // 3
'''
NAMES = [
    "x", "w", "out", "n", "scale", "total", "dot", "v", "mask", "helper", "work", "KIND", "WIDTHS", "SCALE", "f32x16",
    "i64", "Pointer", "load", "nothing", "print", "range", "len", "f32xN", "bool1", "f16x4", "kernel",
]  # fmt: skip
VALUES: list[Any] = [0, 1, -1, 3, 16, 2**63, -(10**30), 0.5, 1e39, float("inf"), True, None, "text", b"x", 1j, ...]
OPERATORS = [
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift, ast.BitOr, ast.BitAnd,
    ast.MatMult,
]  # fmt: skip


def nodes(tree: ast.AST, kinds: type | tuple[type, ...]) -> list[Any]:
    return [n for n in ast.walk(tree) if isinstance(n, kinds)]


def work_of(tree: ast.Module) -> ast.FunctionDef:
    return next(n for n in nodes(tree, ast.FunctionDef) if n.name == "work")


def mutate(tree: ast.Module, random_: random.Random) -> None:
    """Change one thing in place."""
    function = random_.choice(nodes(tree, ast.FunctionDef))
    match random_.randrange(9):
        case 0:
            random_.choice(nodes(function, ast.Name)).id = random_.choice(NAMES)
        case 1:
            random_.choice(nodes(function, ast.Constant)).value = random_.choice(VALUES)
        case 2:
            random_.choice(nodes(function, ast.BinOp)).op = random_.choice(OPERATORS)()
        case 3:
            call = random_.choice(nodes(work_of(tree), ast.Call))
            (
                call.args.pop
                if call.args and random_.random() < 0.5
                else lambda: call.args.append(ast.Name("n", ast.Load()))
            )()
        case 4:
            owner = random_.choice([n for n in ast.walk(function) if isinstance(getattr(n, "body", None), list)])
            random_.shuffle(owner.body)
        case 5:
            owner = random_.choice(
                [n for n in ast.walk(function) if isinstance(getattr(n, "body", None), list) and len(n.body) > 1]
            )
            del owner.body[random_.randrange(len(owner.body))]
        case 6:
            expressions = nodes(work_of(tree), ast.Call)
            one, other = random_.choice(expressions), copy.deepcopy(random_.choice(expressions))
            one.func, one.args, one.keywords = other.func, other.args, other.keywords
        case 7:
            owner = random_.choice([n for n in ast.walk(work_of(tree)) if isinstance(getattr(n, "body", None), list)])
            owner.body.insert(random_.randrange(len(owner.body) + 1), copy.deepcopy(random_.choice(work_of(tree).body)))
        case _:
            argument = random_.choice(function.args.args)
            annotation = random_.choice(
                ["f32", "i32", "f64", "u8", "mask16", "f32x16", "f16", "Pointer[f64]", "Pointer[bf16x4]", "f32xN"]
            )
            argument.annotation = ast.parse(annotation, mode="eval").body


def mutants(count: int, seed: int) -> Iterator[str]:
    """Sources with one to three changes that are still Python."""
    random_ = random.Random(seed)
    while count:
        tree = ast.parse(SOURCE)
        try:
            for _ in range(random_.randint(1, 3)):
                mutate(tree, random_)
            text = ast.unparse(ast.fix_missing_locations(tree))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # `0.5()` and such, which Python warns of
                compile(text, "mutant", "exec")
        except (SyntaxError, ValueError, AttributeError, IndexError):
            continue
        count -= 1
        yield text


def outcome(path: Path, text: str) -> str:
    """What becomes of a source: "built", "refused", or the error that should not have been."""
    path.write_text(text, encoding="utf8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec.loader.exec_module(module)
    except (GlassformerError, TypeError, NameError):
        return "not imported"  # annotations are Python's to evaluate
    try:
        function = module.work.specialise().function
        module.work.specialise().key(TARGETS["avx2"])
    except GlassformerError as error:
        placed = not isinstance(error, KernelError) or error.line > 0
        return "refused" if placed and str(error) else f"refused without a reason: {error!r}"
    llvm = load_llvm()
    for target in ("baseline", "avx512-vnni"):
        llvm.parse_assembly(emit_module(function, TARGETS[target])).verify()
    return "built"


@pytest.mark.parametrize("seed", range(4))
def test_a_mutant_builds_or_is_refused(seed: int, tmp_path: Path) -> None:
    load_llvm().initialize_all_targets()
    results: dict[str, int] = {}
    for number, text in enumerate(mutants(60, seed)):
        try:
            result = outcome(tmp_path / f"mutant_{seed}_{number}.py", text)
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\n\n{text}")
        results[result] = results.get(result, 0) + 1
    assert results.get("built", 0) > 3
    assert results["refused"] > 20
    assert set(results) <= {"built", "refused", "not imported"}


def test_the_source_itself_builds(tmp_path: Path) -> None:
    assert outcome(tmp_path / "original.py", SOURCE) == "built"
