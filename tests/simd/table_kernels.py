"""Writes one kernel for each scalar type that applies every operation which admits the type, at several widths.

Inputs are arrays of the type; every result goes to a place of its own in an array of bytes, so that one comparison of
bytes holds the machine code of a target to the same kernel run as Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from glassformer.simd.errors import OperandError
from glassformer.simd.table import TABLE, Operation
from glassformer.simd.types import SCALARS, Value, byte_size, f32, i8, i16, i32, vector

LANES = (1, 4, 16, 64)
CHUNK = 8  # expressions of a loop: LLVM's time grows faster than a block does
Kind = type[Value]

# Operations whose operands are not values of one type; each is written out below (or tested with threads).
WRITTEN_OUT = {
    "convert", "saturate", "bitcast", "load", "store", "stream", "offset", "cast", "gather", "prefetch", "broadcast_4",
    "shuffle",
    "part", "lane", "insert", "lane_numbers", "select", "mask_bits", "compress", "dot_u8_i8", "dot_bf16", "floordiv",
    "mod",
    "multiply_pairs", "apply_sign", "add_pairs",
    "all_of", "any_of", "atomic_load", "atomic_store", "atomic_add", "compare_exchange", "pause", "call_entry",
    "barrier", "clock",
}  # fmt: skip


@dataclass
class Writer:
    """Lines of a loop body and how many bytes its results take."""

    prelude: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    size: int = 0
    places: list[tuple[int, Kind, str]] = field(default_factory=list)  # offset, type and text of each result

    def store(self, kind: Kind, expression: str) -> None:
        """Store a value at the next place."""
        self.store_as(kind, expression, "")

    def store_as(self, kind: Kind, expression: str, rest: str) -> None:
        element = kind.scalar.name
        self.places.append((self.size, kind, expression + rest))
        self.lines.append(f"store(cast(o + {self.size}, {element}), {expression}{rest})")
        self.size += -(-byte_size(kind) // 8) * 8


def type_text(kind: Kind) -> str:
    """A type as source text."""
    return f"vector({kind.scalar.name}, {kind.lanes})" if kind.lanes > 1 else kind.name


def admits(operation: Operation, kind: Kind) -> Kind | None:
    """What an operation on values of one type gives, or None where it does not take them."""
    try:
        return operation.sign([kind] * len(operation.parameters)).result
    except OperandError:
        return None


def functions_text(lanes: int) -> tuple[str, list[str]]:
    """Source of a kernel `work` that applies every operation that is itself a kernel to f32 arrays, and their names."""
    names = [o.name for o in TABLE.values() if o.kernel is not None and o.name not in WRITTEN_OUT]
    name = type_text(vector(f32, lanes))
    loops = [
        f"    for i in range(0, count, {lanes}):\n        store(out + {k} * count + i, {f}(load(x + i, {name})))\n"
        for k, f in enumerate(names)
    ]
    head = "@kernel\ndef work(x: Pointer[f32], out: Pointer[f32], count: i64) -> None:\n"
    return head + "".join(loops), names


def elementwise(kind: Kind) -> Iterator[tuple[Kind, str]]:
    """Every operation that takes operands of this one type."""
    for operation in TABLE.values():
        if operation.name in WRITTEN_OUT or operation.kernel is not None or (result := admits(operation, kind)) is None:
            continue
        call = f"{operation.name}({', '.join('abc'[: len(operation.parameters)])})"
        if result.kind == "b":
            yield vector(i32, result.lanes), f"select({call}, {type_text(vector(i32, result.lanes))}(1), 0)"
        else:
            yield result, call


def division(kind: Kind) -> Iterator[tuple[Kind, str]]:
    """Division of integers by divisors that are safe, and by constants."""
    if kind.kind in "iu" and kind.lanes < 64:  # the widest would be 64 divisions one by one
        for text in ("floordiv(a, e)", "mod(a, e)", "a // 8", "a % 8", "a // 7", "a % 7"):
            yield kind, text
        if kind.kind == "i":
            yield kind, "a // -3"
            yield kind, "a % -4"


def conversions(kind: Kind) -> Iterator[tuple[Kind, str]]:
    """To every type that is allowed; floats go to integers from values that fit."""
    for goal in (vector(s, kind.lanes) for s in SCALARS):
        name = type_text(goal)
        try:
            TABLE["convert"](zero(kind), goal)
        except OperandError:
            continue
        operand = "s" if kind.kind == "f" and goal.kind in "iu" else "a"
        yield goal, f"{name}({operand})"
        if kind.lanes == 4:
            yield goal, f"convert({operand}, {name})"
        if goal.kind in "iu" and kind.kind in "iuf":
            yield goal, f"saturate(a, {name})"
    for scalar in SCALARS:
        lanes, rest = divmod(byte_size(kind), scalar.bits // 8)
        if not rest and lanes in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            yield vector(scalar, lanes), f"bitcast(a, {type_text(vector(scalar, lanes))})"


def zero(kind: Kind) -> Value:
    """A value of a type, for asking what operations say to it."""
    import numpy as np

    from glassformer.simd.types import numpy_dtype

    made: Value = kind.wrap(np.zeros(kind.lanes if kind.lanes > 1 else (), numpy_dtype(kind)))
    return made


def across_lanes(kind: Kind) -> Iterator[tuple[Kind, str]]:
    """Shuffles, parts and single lanes; selection."""
    n = kind.lanes
    flags = f"load(x + i * {n}, {type_text(kind)}) == a" if kind.kind in "iuf" else "w > 0"
    yield kind, f"select(({flags}) & (w > 0), a, b)"
    yield kind, f"lane(a, {n - 1})" if n == 1 else f"insert(a, {n - 1}, lane(b, 0))"
    if n == 1:
        return
    yield kind, f"shuffle(a, {list(range(n))[::-1]})"
    yield vector(kind.scalar, n // 2), f"shuffle(a, {[2 * i + (i % 3) for i in range(n // 2)]}, b)"
    yield vector(kind.scalar, n // 2), f"part(a, {n // 2}, {n // 2})"
    yield kind.scalar, f"part(a, {n - 1}, 1)"
    yield kind.scalar, f"lane(a, {n // 2})"
    if kind.kind in "iuf" and (n, kind.bits) == (16, 32):
        yield kind, f"compress(a, ({flags}) | (w > 0))"
    if kind.kind in "iu":
        yield kind, f"insert(lane_numbers({type_text(kind)}), 1, 7)"


def memory(kind: Kind) -> Iterator[tuple[Kind, str]]:
    """Gathers and masked loads; masked stores are written by `body`."""
    n, name = kind.lanes, type_text(kind)
    yield kind, "gather(x, g)"
    yield kind, f"gather(x, {type_text(vector(SCALARS[3], n))}(g))"
    yield kind, f"load(cast(x, {kind.scalar.name}) + i * {n}, {name})"
    if n > 1:
        yield kind, "gather(x, g, w > 0)"
        yield kind, f"load(x + i * {n}, {name}, count=i * {max(n // 4, 1)} - {n // 4})"
    if kind.bits == 8 and n == 64:
        yield kind, "broadcast_4(x + i)"


def masks(lanes: int) -> Iterator[tuple[Kind, str]]:
    """Operations on masks, their results as numbers."""
    wide = vector(i32, lanes)
    one = f"{type_text(wide)}(1)"
    for text in (
        "p & q",
        "p | q",
        "p ^ q",
        "~p",
        "p == q",
        "p != q",
        "bit_and(p, q)",
        "bit_or(p, q)",
        "bit_xor(p, q)",
        "invert(p)",
    ):
        yield wide, f"select({text}, {one}, 0)"
    for text in ("all_of(p)", "any_of(p)", "all_of(p | ~p)", f"lane(p, {lanes - 1})"):
        yield i32, f"select({text}, i32(1), 0)"
    for scalar in SCALARS:
        if scalar.kind in "iuf":
            goal = vector(scalar, lanes)
            yield goal, f"{type_text(goal)}(p)"
    if lanes >= 8:
        yield {8: SCALARS[4], 16: SCALARS[5], 32: SCALARS[6], 64: SCALARS[7]}[lanes], "mask_bits(p)"
    if lanes >= 4:
        four = 4 * lanes
        unsigned, signed = (f"load({p} + i * {four}, vector({k}, {four}))" for p, k in (("u", "u8"), ("v", "i8")))
        yield vector(i16, 2 * lanes), f"multiply_pairs({unsigned}, {signed})"
        yield vector(i8, four), f"apply_sign({signed}, bitcast({unsigned}, vector(i8, {four})))"
        yield wide, f"add_pairs(g, load(cast(v, i16) + i * {2 * lanes}, vector(i16, {2 * lanes})))"
        if lanes <= 32:
            two, real = 2 * lanes, vector(f32, lanes)
            pairs = [f"load(cast({p}, bf16) + i * {two}, vector(bf16, {two}))" for p in ("u", "v")]
            yield real, f"dot_bf16({type_text(real)}(g), {', '.join(pairs)})"
        yield wide, f"dot_u8_i8(g, {unsigned}, {signed})"


def atomics(kind: Kind) -> list[str]:
    """Statements on the first element of the loop's results; alone, an atomic is an ordinary access."""
    if kind.lanes != 1 or kind.kind not in "iu" or kind.bits < 32:
        return []
    return [
        f"p8 = cast(o, {kind.name})", "atomic_store(p8, a)", "t1 = atomic_add(p8, b)",
        "t2 = compare_exchange(p8, a + b, c)",
        "t3 = compare_exchange(p8, c + 1, a)", "t4 = atomic_load(p8)", "pause()", "prefetch(p8)", "prefetch(p8, 2)",
    ]  # fmt: skip


def body(kind: Kind, writer: Writer) -> None:
    """The statements for one type at one width."""
    n, name = kind.lanes, type_text(kind)
    for letter, array in zip("abces", ("x", "y", "z", "divisors", "small"), strict=True):
        writer.prelude.append(f"{letter} = load({array} + i * {n}, {name})")
    index = type_text(vector(i32, n))
    writer.prelude += [f"w = load(weights + i * {n}, {index})", f"g = load(places + i * {n}, {index})"]
    if special := atomics(kind):
        writer.prelude += special
        writer.size += 8
        for text in ("t1", "t2", "t3", "t4"):
            writer.store(kind, text)
    for source in (elementwise, division, conversions, across_lanes, memory):
        for result, expression in source(kind):
            writer.store(result, expression)
    if n > 1:
        writer.store_as(kind, "a", f", count=i * {max(n // 4, 1)} - {n // 4}")
    if kind.scalar is i32:
        writer.prelude += ["p = a > b", "q = w > 0"]
        for result, expression in masks(n):
            writer.store(result, expression)


@dataclass(frozen=True)
class Section:
    """Where the results of one width lie: `rounds` records of `size` bytes from `start` on."""

    start: int
    size: int
    rounds: int
    places: list[tuple[int, Kind, str]]


def kernel_text(scalar: Kind, lanes: tuple[int, ...] = LANES, blocks: int = 4) -> tuple[str, list[Section]]:
    """Source of the kernel `work` for one scalar type, and where its results lie."""
    total, parts, calls, sections = 0, [], [], []
    t = scalar.name
    parameters = (
        f"x: Pointer[{t}], y: Pointer[{t}], z: Pointer[{t}], divisors: Pointer[{t}], small: Pointer[{t}], "
        "weights: Pointer[i32], places: Pointer[i32], u: Pointer[u8], v: Pointer[i8], out: Pointer[u8]"
    )
    for n in lanes:
        writer = Writer()
        body(vector(scalar, n), writer)
        rounds = blocks * 64 // max(n, 8)  # narrow ones: a part of the inputs will do
        start = f"    for i in range({rounds}):\n        o = out + ({total} + i * {writer.size})\n"
        loops = [
            start + "".join(f"        {line}\n" for line in (*writer.prelude, *writer.lines[k : k + CHUNK]))
            for k in range(0, len(writer.lines), CHUNK)
        ]
        parts.append(f"@kernel\ndef part_{n}({parameters}) -> None:\n{''.join(loops)}\n\n")
        calls.append(f"    part_{n}(x, y, z, divisors, small, weights, places, u, v, out)\n")
        sections.append(Section(total, writer.size, rounds, writer.places))
        total += writer.size * rounds
    return "".join(parts) + f"@kernel\ndef work({parameters}) -> None:\n{''.join(calls)}", sections
