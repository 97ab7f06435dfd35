"""Every mistake in a kernel is one error at its line and column. In the sources, « stands just before the place."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel_source import import_text

from glassformer.errors import GlassformerError
from glassformer.simd import KernelError, OperandError, f32, i64, kernel
from glassformer.simd.ops_memory import ReferenceFault
from glassformer.simd.target import TARGETS, TargetError

SETUP = """
import math
from types import SimpleNamespace

NUMBERS = (1, 2, 3)
PLAIN = SimpleNamespace(n=1)


def plain(x):
    return x


@kernel
def half(x: f32xN) -> f32xN:
    return x * 0.5


@kernel
def scaled(x: f32, *, BY: float) -> f32:
    return x * BY


@kernel
def forever(x: f32) -> f32:
    return forever(x)


"""
FRAME = "@kernel\ndef work(x: Pointer[f32], v: f32x16, n: i64, flag: i32) -> {result}:\n"

STATEMENTS = {
    # names and types
    "unknown name": ("y = «unknown + 1", "unknown is not defined here"),
    "types differ": ("y = «v + n", "add: types differ: f32x16 and i64; convert one, as in f32x16(x)"),
    "lanes differ": ("y = «v + f32x8(0.0)", "numbers of lanes differ: f32x16 and f32x8"),
    "literal does not fit": ("y = «flag + 3000000000", "the literal 3000000000 does not fit i32"),
    "float literal for an integer": ("y = «n + 0.5", "the literal 0.5 does not fit i64"),
    "literal too large for a float": ("y = «v * 1e39", "the literal 1e+39 does not fit f32"),
    "literal in a conversion": ("y = «u8(256)", "the literal 256 does not fit u8"),
    "half floats do not compute": (
        "y = load(cast(x, f16), f16x16)\n    z = «y + y",
        "not defined for f16x16; convert to f32",
    ),
    "integers do not divide": ("y = «n / 2", "div: not defined for i64"),
    "division by zero": ("y = «n // 0", "division by 0"),
    "changed type": ("y = n\n    y = «v", "y is i64, the value is f32x16, not i64; write i64(x)"),
    "changed type of a literal": ("y = n\n    y = «0.5", "y is i64, the value is 0.5, which does not fit i64"),
    "annotation": ("y: f32 = «n", "the value is i64, not f32; write f32(x)"),
    "annotation is no type": ("«y: int = 3", "write `name: type = value` with a machine type"),
    "mask from a number": ("y = «mask16(v)", "a mask comes from a comparison: write x != 0"),
    "lanes of a conversion": ("y = «f32x8(v)", "f32x16 has 16 lanes, f32x8 has 8"),
    "bitcast of another size": ("y = «bitcast(v, f64)", "f32x16 has 64 bytes, f64 8: no bitcast"),
    "odd number of lanes": ("y = «vector(f32, 3)(0.0)", "there is no vector of 3 lanes of f32"),
    "pointer to truth values": ("y = cast(x, «Pointer[bool1])", "there is no pointer to bool1"),
    "no value": ("y = «store(x, n)", "holds no i64; convert it to f32 first"),
    "assigned nothing": ("y = «prefetch(x)", "this has no value"),
    "no such cache": ("«prefetch(x, 4)", "prefetch brings a line into cache 1, 2 or 3, not 4"),
    # elements and lists
    "element of a vector": ("y = «v[0]", "a vector's are lane(x, i)"),
    "list index": ("r = [v, v]\n    y = «r[2]", "the list has 2 elements, no element 2"),
    "list index at run time": ("r = [v, v]\n    y = r[«n]", "this must be known at compile time"),
    "list index assigned": ("r = [v, v]\n    «r[-3] = v", "the list has 2 elements, no element -3"),
    "list as a value": ("r = [v, v]\n    y = «r + r", "a list of registers is not a value"),
    "list of constants is no register": ("r = [0.0, 0.0]\n    «r[0] = v", "this list holds constants"),
    "lane out of range": ("y = «lane(v, 16)", "f32x16 has no lane 16"),
    "shuffle index": ("y = «shuffle(v, [0, 16])", "indices must be a list of numbers from 0 to 15"),
    "shuffle of a scalar": ("y = «shuffle(n, [0])", "expected a vector, found i64"),
    "load of another type": ("y = «load(x, i32x16)", "Pointer[f32] holds no i32x16; write load(cast(p, i32), i32x16)"),
    "count of a scalar": ("y = «load(x, f32, count=n)", "count is for vectors"),
    "count of another type": ("y = «load(x, f32x16, count=flag)", "count must be i64, found i32; write i64(x)"),
    "offset of another type": ("y = load(«x + flag, f32x16)", "a pointer's offset must be i64, found i32"),
    "gather mask": ("y = «gather(x, i32x16(0), n > 0)", "the mask of gather must be a mask of as many lanes"),
    "dot product": ("y = «dot_u8_i8(i32x16(0), u8x32(0), i8x64(0))", "dot_u8_i8 with i32x16 takes u8x64 and i8x64"),
    # control flow
    "if on a vector": (
        "if «v > 0.0:\n        pass",
        "a condition is one truth value, this is mask16; compare, or use any_of",
    ),
    "while on a number": ("while «n:\n        pass", "a condition is one truth value, this is i64"),
    "not a number": ("y = «not n", "a condition is one truth value"),
    "chained vectors": ("y = «v < v < v", "vectors compare two at a time"),
    "break in a static loop": ("for t in static_range(2):\n        «break", "break and continue need a run-time loop"),
    "loop over a value": ("for y in «n:\n        pass", "this must be known at compile time"),
    "static loop of a run-time length": (
        "for y in static_range(«n):\n        pass",
        "this must be known at compile time",
    ),
    "static loop too long": (
        "for y in «static_range(10**9):\n        pass",
        "unrolling 1000000000 times; at most 4096",
    ),
    "range of floats": ("for y in «range(1.5):\n        pass", "not defined for f32"),
    "range of step 0": ("for y in «range(0, n, 0):\n        pass", "the step of a range must not be 0"),
    "range by name": ("for y in «range(n, step=2):\n        pass", "range takes one to three numbers"),
    "while else": (
        "while n > 0:\n        n -= 1\n    else:\n        «n = 3",
        "while ... else is not part of the kernel language",
    ),
    "for else": ("«for y in range(n):\n        pass\n    else:\n        pass", "write `for name in range(...)`"),
    "constant changed in a branch": ("N = 1\n    if n > 0:\n        «N = 2", "N is known at compile time"),
    "constant of a branch": ("if n > 0:\n        N = 2\n    y = «N", "N is not defined here"),
    "statement without effect": ("«1 + 1", "this statement does nothing"),
    # calls
    "call of a function": ("y = «plain(v)", "plain is neither an operation nor a kernel"),
    "call of a number": ("y = «NUMBERS(v)", "neither an operation nor a kernel"),
    "missing operand": ("y = «fma(v, v)", "fma(x, y, z) needs z"),
    "unknown operand": ("y = «sqrt(v, w=v)", "sqrt(x) got other arguments"),
    "operand of a kernel": ("y = «half(n)", "half: x is f32, the operand is i64"),
    "literal for a kernel": ("y = «run_half(n, 2.5)", "run_half is not defined here"),
    "number of operands": ("y = «half(v, v)", "half: takes 1 operands (x), got 2"),
    "missing constant": ("y = «scaled(lane(v, 0))", "scaled: constants ['BY'] are missing"),
    "unknown constant": ("y = «half(v, BY=2)", "half: constants [] are missing, ['BY'] are unknown"),
    "constant at run time": ("y = «scaled(lane(v, 0), BY=n)", "BY must be known at compile time"),
    "list to a kernel": ("y = «half([v, v])", "a list of registers is not a value"),
    "recursion": ("y = forever(lane(v, 0))", "forever calls itself; kernels are inlined"),
    "max of vectors": ("y = «max(v, v)", "max is for scalars; use maximum(x, y)"),
    "max of three": ("y = «max(n, n, n)", "max of run-time values takes 2"),
    "constants that fail": ("y = n + («1 // 0)", "constants: integer division or modulo by zero"),
    "power": ("y = «n ** 2", "** is for constants"),
    "attribute of a value": ("y = «PLAIN.n", "attributes are read from modules and types only"),
    "attribute that is missing": ("y = «math.tau2", "math has no tau2"),
    "text": ("y = «'text'\n    z = «y + n", "does not fit i64"),
    # syntax
    "try": ("«try:\n        pass\n    finally:\n        pass", "Try is not part of the kernel language"),
    "with": ("«with n:\n        pass", "With is not part of the kernel language"),
    "lambda": ("y = «lambda: 0", "Lambda is not part of the kernel language"),
    "class": ("«class A:\n        pass", "ClassDef is not part of the kernel language"),
    "function": ("«def f():\n        pass", "FunctionDef is not part of the kernel language"),
    "yield": ("«yield n", "Yield is not part of the kernel language"),
    "walrus": ("if («y := n) > 0:\n        pass", "NamedExpr is not part of the kernel language"),
    "raise": ("«raise n", "Raise is not part of the kernel language"),
    "assert": ("«assert n", "Assert is not part of the kernel language"),
    "global": ("«global z", "Global is not part of the kernel language"),
    "delete": ("y = n\n    «del y", "Delete is not part of the kernel language"),
    "import": ("«import os", "Import is not part of the kernel language"),
    "match": ("«match n:\n        case 1:\n            pass", "Match is not part of the kernel language"),
    "dictionary": ("y = «{1: 2}", "Dict is not part of the kernel language"),
    "set": ("y = «{1, 2}", "Set is not part of the kernel language"),
    "f-string": ("y = «f'{n}'", "JoinedStr is not part of the kernel language"),
    "generator": ("y = sum«(i for i in range(3))", "GeneratorExp is not part of the kernel language"),
    "starred": ("y = half(«*NUMBERS)", "Starred is not part of the kernel language"),
    "keywords": ("y = «half(v, **NUMBERS)", "** arguments are not part of the kernel language"),
    "matrix product": ("y = «v @ v", "the operator MatMult is not part of the kernel language"),
    "two targets": ("«y = z = n", "assign one thing at a time"),
    "unpacking": ("«y, z = n, n, n", "2 names need as many values"),
    "attribute assigned": ("«math.tau = n", "assign to a name, an element of a list of registers, or p[i]"),
    "nested list": ("y = «[n for a in static_range(2) for b in static_range(2)]", "a list is built with one"),
    "too deep": ("y = " + "(n + " * 120 + "n" + ")" * 120, "expressions nest at most 100 deep"),
    "return of a value": ("«return n", "this kernel returns nothing, as its annotation says"),
}


def expect(folder: Path, text: str, message: str) -> None:
    """The kernel `work` of a source fails where « stands (the last one), with the message."""
    marked = SETUP + text
    module = import_text(folder, marked.replace("«", ""))
    with pytest.raises(KernelError) as caught:
        module.work.specialise().function  # noqa: B018
    assert message in caught.value.message, caught.value.message
    if "«" not in text:
        return
    before = marked.rsplit("«", 1)[0].replace("«", "")
    header = Path(module.__file__ or "").read_text(encoding="utf8").removesuffix(marked.replace("«", ""))
    place = (header + before).count("\n") + 1, len(before) - before.rfind("\n")
    assert (caught.value.line, caught.value.column) == place, str(caught.value)
    assert str(caught.value).startswith(f"{module.__file__}:{place[0]}:{place[1]}: ")


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_wrong_statement_fails_at_its_place(name: str, tmp_path: Path) -> None:
    statement, message = STATEMENTS[name]
    expect(tmp_path, FRAME.format(result=None) + f"    {statement}\n", message)


@pytest.mark.parametrize(
    ("result", "statement", "message"),
    [
        ("i64", "return «v", "the returned value is f32x16, not i64; write i64(x)"),
        ("i64", "return «0.5", "the returned value is 0.5, which does not fit i64"),
        ("i64", "«return", "this kernel returns i64, as its annotation says"),
        ("i64", "if n > 0:\n        return n", "work must end by returning i64"),
        ("i64", "pass", "work must end by returning i64"),
    ],
)
def test_a_wrong_return_fails(result: str, statement: str, message: str, tmp_path: Path) -> None:
    expect(tmp_path, FRAME.format(result=result) + f"    {statement}\n", message)


def test_columns_count_characters_and_excerpts_show_the_place(tmp_path: Path) -> None:
    inner = "    @kernel\n    def work(n: i64) -> None:\n        größe, länge = n, «fehlt\n"
    text = f"def outer():\n{inner}    return work\n\n\nwork = outer()\n"
    expect(tmp_path, text, "fehlt is not defined here")
    module = import_text(tmp_path, text.replace("«", ""))
    with pytest.raises(KernelError) as caught:
        module.work.tree()
    excerpt = str(caught.value).splitlines()
    assert excerpt[1] == "            größe, länge = n, fehlt"
    assert excerpt[2] == "    " + " " * 26 + "^^^^^"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("def work(n) -> None:", "work: parameter n needs a machine type, such as n: i64"),
        ("def work(n: int) -> None:", "work: parameter n needs a machine type"),
        ("def work(n: 'missing') -> None:", "work: its annotations cannot be read: name 'missing' is not defined"),
        ("def work(n: i64) -> int:", "work: it returns <class 'int'>, which is no machine type"),
        ("def work(n: i64 = 3) -> None:", "parameter n: a kernel has neither * parameters nor defaults"),
        ("def work(*n: i64) -> None:", "parameter n: a kernel has neither * parameters"),
        ("def work(**n: i64) -> None:", "parameter n: a kernel has neither * parameters"),
        ("def work(n: i64, *, T: int) -> None:", "work: constants ['T'] are missing, [] are unknown"),
        ("async def work(n: i64) -> None:", "a kernel is a plain function"),
    ],
)
def test_a_wrong_signature_is_refused(head: str, message: str, tmp_path: Path) -> None:
    module = import_text(tmp_path, f"@kernel\n{head}\n    pass\n")
    with pytest.raises((OperandError, KernelError)) as caught:
        module.work.specialise().function  # noqa: B018
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: f32x16) -> None", "x is f32x16, so only kernels call it"),
        ("x: mask16) -> None", "x is mask16, so only kernels call it"),
        ("x: f16) -> None", "x is f16, so only kernels call it"),
        ("x: f32) -> f32", "it returns f32, so only kernels call it"),
        ("begin: i64, end: i64, x: f32) -> None", "are the range of tasks and stand last"),
        ("x: f32, begin: i64) -> None", "are the range of tasks and stand last"),
    ],
)
def test_what_python_cannot_call_says_so_and_is_still_shown(text: str, message: str, tmp_path: Path) -> None:
    ending = "return x" if text.endswith("f32") else "pass"
    module = import_text(tmp_path, f"@kernel\ndef work({text}:\n    {ending}\n")
    with pytest.raises(OperandError, match=message):
        module.work(*[0] * len(module.work.annotations[0]))
    assert "define" in module.work.ir("avx2")


@kernel
def takes(n: i64, x: f32) -> None:
    pass


@pytest.mark.parametrize(
    "args", [(), (1,), (1, 2.0, 3), ("1", 2.0), (1.5, 2.0), (2**63, 1.0), (1, "x"), (None, 1.0), (1, 1e39)]
)
def test_arguments_that_do_not_fit_are_refused(args: tuple[object, ...]) -> None:
    with pytest.raises(OperandError, match="takes"):
        takes(*args)


def test_only_functions_are_kernels() -> None:
    for thing in (len, 3, type("A", (), {}), takes):
        with pytest.raises(OperandError, match="a kernel is a plain Python function"):
            kernel(thing)  # type: ignore[arg-type]
    space: dict[str, object] = {"f32": f32}
    exec("def made(x: f32) -> None:\n    pass\n", space)
    with pytest.raises(OperandError, match="in a source file that can be read"):
        kernel(space["made"]).tree()  # type: ignore[arg-type]
    with pytest.raises(GlassformerError):
        kernel(lambda x: x).tree()


def test_constants_are_told_apart_by_type_and_must_be_hashable(tmp_path: Path) -> None:
    work = import_text(tmp_path, "@kernel\ndef work(n: i64, *, T: int) -> i64:\n    y = n + T\n    return y\n").work
    assert work(1, T=1) == 2
    with pytest.raises(KernelError):
        work(1, T=1.0)
    with pytest.raises(OperandError, match="constants are numbers, types"):
        work(1, T=[1])


def test_every_error_is_ours() -> None:
    for error in (KernelError, OperandError, TargetError, ReferenceFault):
        assert issubclass(error, GlassformerError)
    with pytest.raises(TargetError, match="unknown target 'z80'"):
        takes.ir("z80")
    with pytest.raises(TargetError, match="this machine cannot run wasm32"):
        takes.specialise()(1, 2.0, target=TARGETS["wasm32"])
