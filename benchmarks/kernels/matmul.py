"""Products of plain matrices: square, tall and batched.

python benchmarks/kernels/matmul.py [--threads N] [--seconds 0.5] [--json]
"""

from measure import Case, main, normal

from glassformer.runtime.engine import Ops

SHAPES = [((256, 256), (256, 256)), ((512, 768), (768, 768)), ((1024, 1024), (1024, 1024)), ((12, 128, 64),
(12, 64, 128)),
          ((1, 768), (768, 3072))]  # fmt: skip


def case(ops: Ops, left: tuple[int, ...], right: tuple[int, ...]) -> Case:
    a, b = normal(*left), normal(*right)
    size = a.size // left[-1] * right[-1]  # of the result
    moved = 4 * (a.size + b.size + size)
    return Case(f"{left} @ {right}", [lambda: ops.matmul(a, b)], lambda: a.astype("f8") @ b, moved, 2 * size * left[-1])


if __name__ == "__main__":
    main("matmul", __doc__, lambda ops: [case(ops, *shapes) for shapes in SHAPES])
