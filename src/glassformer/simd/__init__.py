"""The kernel language: a subset of Python with machine types and explicit vectors, compiled through LLVM.

It knows nothing of Transformers. A kernel also runs as ordinary Python (reference mode) on values that round, wrap and
check bounds as the machine does.
"""

from glassformer.simd.errors import KernelError as KernelError
from glassformer.simd.errors import OperandError as OperandError
from glassformer.simd.errors import TargetError as TargetError
from glassformer.simd.kernel import Kernel as Kernel
from glassformer.simd.kernel import kernel as kernel
from glassformer.simd.math import *  # noqa: F403
from glassformer.simd.ops_arithmetic import *  # noqa: F403
from glassformer.simd.ops_convert import *  # noqa: F403
from glassformer.simd.ops_dot import *  # noqa: F403
from glassformer.simd.ops_dot_bf16 import *  # noqa: F403
from glassformer.simd.ops_fma import *  # noqa: F403
from glassformer.simd.ops_lanes import *  # noqa: F403
from glassformer.simd.ops_memory import *  # noqa: F403
from glassformer.simd.ops_pairs import *  # noqa: F403
from glassformer.simd.ops_threads import *  # noqa: F403
from glassformer.simd.types import *  # noqa: F403
from glassformer.simd.vectors import *  # noqa: F403

static_range = range  # a loop unrolled at compile time; in reference mode an ordinary one
