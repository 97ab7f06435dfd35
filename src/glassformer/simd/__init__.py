"""The kernel language: a subset of Python with machine types and explicit vectors, compiled through LLVM.

It knows nothing of Transformers. A kernel also runs as ordinary Python (reference mode) on values that round, wrap and
check bounds as the machine does.
"""

from glassformer.simd.errors import KernelError, OperandError, TargetError
from glassformer.simd.kernel import Kernel, kernel
from glassformer.simd.math import *  # noqa: F403
from glassformer.simd.ops_arithmetic import *  # noqa: F403
from glassformer.simd.ops_convert import *  # noqa: F403
from glassformer.simd.ops_lanes import *  # noqa: F403
from glassformer.simd.ops_memory import *  # noqa: F403
from glassformer.simd.ops_threads import *  # noqa: F403
from glassformer.simd.types import Pointer, mask, pointer_to, vector
from glassformer.simd.types import bf16, bool1, f16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64  # fmt: skip
from glassformer.simd.vectors import *  # noqa: F403

static_range = range  # a loop unrolled at compile time; in reference mode an ordinary one
