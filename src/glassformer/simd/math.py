"""Elementary functions and the barrier: operations that are kernels of the language themselves.

exp, log, tanh and erf are polynomials of our own (coefficients: tools/fit_polynomials.py), so they give the same bits
on every machine, which no C library promises. Bounds are in units in the last place (ulp) over all finite f32.
"""

from __future__ import annotations

import math
from typing import Any

from glassformer.simd.kernel import Kernel, kernel
from glassformer.simd.ops_arithmetic import absolute, maximum, minimum, select, sqrt
from glassformer.simd.ops_convert import bitcast
from glassformer.simd.ops_fma import fma
from glassformer.simd.ops_threads import atomic_add, atomic_load, pause
from glassformer.simd.table import Operation, Signature, Static, define, elementwise
from glassformer.simd.types import Pointer, i64
from glassformer.simd.vectors import f32xN, i32xN

static_range = range
INFINITY, NAN = math.inf, math.nan
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440054690583e-4  # the first has few bits, so that multiples of it are exact
ROUND = 12582912.0  # 1.5 * 2^23: adding it rounds an f32 to a whole number, found in the low bits of the sum
ROUND_BITS = 0x4B400000
ONE_BITS = 0x3F800000
SQRT_HALF_BITS = 0x3F3504F3
SIGN_BIT = -(2**31)
SMALLEST_NORMAL = 1.1754943508222875e-38

# Highest power first.
EXP = (0.0013950630091130733, 0.008368969894945621, 0.04166620224714279, 0.166665181517601, 0.5)
LOG = (
    0.0674663856625557,
    -0.11675651371479034,
    0.11888162791728973,
    -0.1240558922290802,
    0.14219552278518677,
    -0.1666799634695053,
    0.2000211924314499,
    -0.25000008940696716,
    0.3333331346511841,
)
TANH = (-0.005679313093423843, 0.020618131384253502, -0.053734004497528076, 0.1333138346672058, -0.3333328068256378)
ERF = (
    -9.680174116510898e-06,
    0.00011270558752585202,
    -0.0008484713616780937,
    0.005221074912697077,
    -0.02686544507741928,
    0.11283782869577408,
    -0.37612637877464294,
    0.12837916612625122,
)
ERFC = (
    7.845257528060756e-07,
    -1.245286603079876e-05,
    6.434203532990068e-05,
    0.00010175799980061129,
    -0.003360264701768756,
    0.023836500942707062,
    -0.10696148872375488,
    -0.6341961026191711,
    -1.1292037963867188,
    0.0001252930669579655,
)


@kernel
def _power(x: f32xN, shifted: f32xN) -> f32xN:
    """e^r of what is left of x = n ln 2 + r, |r| <= ln 2 / 2; shifted: n + ROUND."""
    n = shifted - ROUND
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    q = f32xN(EXP[0])
    for i in static_range(1, len(EXP)):
        q = fma(q, r, EXP[i])
    return fma(r * r, q, r) + 1.0


@kernel
def _exp(x: f32xN) -> f32xN:
    """e^x = 2^n e^r, 2^n in two halves so that subnormal results round once."""
    x = minimum(89.0, maximum(-104.0, x))
    shifted = fma(x, LOG2_E, ROUND)
    exponent = bitcast(shifted, i32xN) - ROUND_BITS
    half = exponent >> 1
    first = bitcast((half + 127) << 23, f32xN)
    second = bitcast((exponent - half + 127) << 23, f32xN)
    return _power(x, shifted) * first * second


@kernel
def _exp_normal(x: f32xN) -> f32xN:
    """The same, with 2^n in one factor, which is a normal number then."""
    shifted = fma(x, LOG2_E, ROUND)
    return _power(x, shifted) * bitcast((bitcast(shifted, i32xN) << 23) + ONE_BITS, f32xN)  # ROUND_BITS are shifted out


@kernel
def _log(x: f32xN) -> f32xN:
    """x = 2^e m with m in [sqrt(1/2), sqrt 2); log x = e ln 2 + log m."""
    tiny = x < SMALLEST_NORMAL
    scaled = select(tiny, x * 8388608.0, x)
    bits = bitcast(scaled, i32xN)
    exponent = (bits - SQRT_HALF_BITS) >> 23
    f = bitcast(bits - (exponent << 23), f32xN) - 1.0
    e = f32xN(exponent) - select(tiny, f32xN(23.0), f32xN(0.0))
    q = f32xN(LOG[0])
    for i in static_range(1, len(LOG)):
        q = fma(q, f, LOG[i])
    square = f * f
    low = fma(square * f, q, e * LN2_LOW)
    out = fma(e, LN2_HIGH, fma(square, -0.5, low) + f)
    out = select(x == INFINITY, x, out)
    return select(x > 0.0, out, select(x == 0.0, f32xN(-INFINITY), f32xN(NAN)))


@kernel
def _tanh(x: f32xN) -> f32xN:
    """Near 0 an odd polynomial, else 1 - 2 / (e^2|x| + 1) with the sign of x."""
    square, size = x * x, absolute(x)
    p = f32xN(TANH[0])
    for i in static_range(1, len(TANH)):
        p = fma(p, square, TANH[i])
    near = fma(size * square, p, size)
    far = 1.0 - 2.0 / (_exp(size + size) + 1.0)
    sign = bitcast(x, i32xN) & SIGN_BIT
    return bitcast(bitcast(select(size < 0.625, near, far), i32xN) | sign, f32xN)


@kernel
def _erf(x: f32xN) -> f32xN:
    """Up to 1 an odd polynomial, beyond it 1 - erfc(|x|), the logarithm of erfc being a polynomial."""
    square, size = x * x, absolute(x)
    p = f32xN(ERF[0])
    for i in static_range(1, len(ERF)):
        p = fma(p, square, ERF[i])
    near = fma(x, p, x)
    bounded = minimum(4.0, size)
    q = f32xN(ERFC[0])
    for i in static_range(1, len(ERFC)):
        q = fma(q, bounded, ERFC[i])
    far = 1.0 - _exp(q)
    return select(size < 1.0, near, select(x < 0.0, -far, far))


@kernel
def _rsqrt(x: f32xN) -> f32xN:
    """1 / sqrt(x) from two correctly rounded operations, because estimates differ between processors."""
    return 1.0 / sqrt(x)


@kernel
def _barrier(arrivals: Pointer[i64], threads: i64):  # type: ignore[no-untyped-def]
    """Count arrivals for ever; the n-th round is over when n * threads have come, so nothing needs a reset."""
    arrived = atomic_add(arrivals, 1) + 1
    goal = ((arrived + threads - 1) // threads) * threads
    while atomic_load(arrivals) < goal:
        pause()


def function(name: str, summary: str, body: Kernel) -> Operation:
    """An f32 operation of the table whose meaning and lowering are one kernel."""
    entry = define(
        name, summary, "x", elementwise("f"), lambda result, x: body(result.wrap(x)), inlined, group="functions"
    )
    object.__setattr__(entry, "kernel", body)
    return entry


def inlined(*_: Any) -> str:
    """Never reached: the frontend calls the kernel in place of the operation."""
    raise NotImplementedError


exp = function("exp", "e^x in f32, within 1.05 ulp", _exp)
exp_normal = function(
    "exp_normal",
    "the bits of exp, within 1.05 ulp, in half the operations, for x from -87 to 88; NaN for NaN, elsewhere any number",
    _exp_normal,
)
log = function("log", "natural logarithm in f32, within 1 ulp; NaN below 0, -infinity at 0", _log)
tanh = function("tanh", "hyperbolic tangent in f32, within 2 ulp", _tanh)
erf = function("erf", "error function in f32, within 2 ulp", _erf)
rsqrt = function("rsqrt", "1 / sqrt(x) in f32, within 1.5 ulp", _rsqrt)
barrier = define(
    "barrier",
    "wait until `threads` threads have come here; `arrivals` counts for ever",
    "arrivals threads",
    lambda operands: Signature(tuple(None if isinstance(o, Static) else o for o in operands), None),
    lambda result, arrivals, threads: _barrier.function(arrivals, i64(int(threads))),
    inlined,
    group="threads",
)
object.__setattr__(barrier, "kernel", _barrier)

__all__ = ["barrier", "erf", "exp", "exp_normal", "log", "rsqrt", "tanh"]
