"""Every vector and mask type by name, so that kernels can import them and type checkers know them."""

from glassformer.simd.types import Value


# fmt: off
class i8x2(Value, kind="i", bits=8, lanes=2): ...  # noqa: N801
class i8x4(Value, kind="i", bits=8, lanes=4): ...  # noqa: N801
class i8x8(Value, kind="i", bits=8, lanes=8): ...  # noqa: N801
class i8x16(Value, kind="i", bits=8, lanes=16): ...  # noqa: N801
class i8x32(Value, kind="i", bits=8, lanes=32): ...  # noqa: N801
class i8x64(Value, kind="i", bits=8, lanes=64): ...  # noqa: N801
class i16x2(Value, kind="i", bits=16, lanes=2): ...  # noqa: N801
class i16x4(Value, kind="i", bits=16, lanes=4): ...  # noqa: N801
class i16x8(Value, kind="i", bits=16, lanes=8): ...  # noqa: N801
class i16x16(Value, kind="i", bits=16, lanes=16): ...  # noqa: N801
class i16x32(Value, kind="i", bits=16, lanes=32): ...  # noqa: N801
class i16x64(Value, kind="i", bits=16, lanes=64): ...  # noqa: N801
class i32x2(Value, kind="i", bits=32, lanes=2): ...  # noqa: N801
class i32x4(Value, kind="i", bits=32, lanes=4): ...  # noqa: N801
class i32x8(Value, kind="i", bits=32, lanes=8): ...  # noqa: N801
class i32x16(Value, kind="i", bits=32, lanes=16): ...  # noqa: N801
class i32x32(Value, kind="i", bits=32, lanes=32): ...  # noqa: N801
class i32x64(Value, kind="i", bits=32, lanes=64): ...  # noqa: N801
class i64x2(Value, kind="i", bits=64, lanes=2): ...  # noqa: N801
class i64x4(Value, kind="i", bits=64, lanes=4): ...  # noqa: N801
class i64x8(Value, kind="i", bits=64, lanes=8): ...  # noqa: N801
class i64x16(Value, kind="i", bits=64, lanes=16): ...  # noqa: N801
class i64x32(Value, kind="i", bits=64, lanes=32): ...  # noqa: N801
class i64x64(Value, kind="i", bits=64, lanes=64): ...  # noqa: N801
class u8x2(Value, kind="u", bits=8, lanes=2): ...  # noqa: N801
class u8x4(Value, kind="u", bits=8, lanes=4): ...  # noqa: N801
class u8x8(Value, kind="u", bits=8, lanes=8): ...  # noqa: N801
class u8x16(Value, kind="u", bits=8, lanes=16): ...  # noqa: N801
class u8x32(Value, kind="u", bits=8, lanes=32): ...  # noqa: N801
class u8x64(Value, kind="u", bits=8, lanes=64): ...  # noqa: N801
class u16x2(Value, kind="u", bits=16, lanes=2): ...  # noqa: N801
class u16x4(Value, kind="u", bits=16, lanes=4): ...  # noqa: N801
class u16x8(Value, kind="u", bits=16, lanes=8): ...  # noqa: N801
class u16x16(Value, kind="u", bits=16, lanes=16): ...  # noqa: N801
class u16x32(Value, kind="u", bits=16, lanes=32): ...  # noqa: N801
class u16x64(Value, kind="u", bits=16, lanes=64): ...  # noqa: N801
class u32x2(Value, kind="u", bits=32, lanes=2): ...  # noqa: N801
class u32x4(Value, kind="u", bits=32, lanes=4): ...  # noqa: N801
class u32x8(Value, kind="u", bits=32, lanes=8): ...  # noqa: N801
class u32x16(Value, kind="u", bits=32, lanes=16): ...  # noqa: N801
class u32x32(Value, kind="u", bits=32, lanes=32): ...  # noqa: N801
class u32x64(Value, kind="u", bits=32, lanes=64): ...  # noqa: N801
class u64x2(Value, kind="u", bits=64, lanes=2): ...  # noqa: N801
class u64x4(Value, kind="u", bits=64, lanes=4): ...  # noqa: N801
class u64x8(Value, kind="u", bits=64, lanes=8): ...  # noqa: N801
class u64x16(Value, kind="u", bits=64, lanes=16): ...  # noqa: N801
class u64x32(Value, kind="u", bits=64, lanes=32): ...  # noqa: N801
class u64x64(Value, kind="u", bits=64, lanes=64): ...  # noqa: N801
class f16x2(Value, kind="h", bits=16, lanes=2): ...  # noqa: N801
class f16x4(Value, kind="h", bits=16, lanes=4): ...  # noqa: N801
class f16x8(Value, kind="h", bits=16, lanes=8): ...  # noqa: N801
class f16x16(Value, kind="h", bits=16, lanes=16): ...  # noqa: N801
class f16x32(Value, kind="h", bits=16, lanes=32): ...  # noqa: N801
class f16x64(Value, kind="h", bits=16, lanes=64): ...  # noqa: N801
class bf16x2(Value, kind="s", bits=16, lanes=2): ...  # noqa: N801
class bf16x4(Value, kind="s", bits=16, lanes=4): ...  # noqa: N801
class bf16x8(Value, kind="s", bits=16, lanes=8): ...  # noqa: N801
class bf16x16(Value, kind="s", bits=16, lanes=16): ...  # noqa: N801
class bf16x32(Value, kind="s", bits=16, lanes=32): ...  # noqa: N801
class bf16x64(Value, kind="s", bits=16, lanes=64): ...  # noqa: N801
class f32x2(Value, kind="f", bits=32, lanes=2): ...  # noqa: N801
class f32x4(Value, kind="f", bits=32, lanes=4): ...  # noqa: N801
class f32x8(Value, kind="f", bits=32, lanes=8): ...  # noqa: N801
class f32x16(Value, kind="f", bits=32, lanes=16): ...  # noqa: N801
class f32x32(Value, kind="f", bits=32, lanes=32): ...  # noqa: N801
class f32x64(Value, kind="f", bits=32, lanes=64): ...  # noqa: N801
class f64x2(Value, kind="f", bits=64, lanes=2): ...  # noqa: N801
class f64x4(Value, kind="f", bits=64, lanes=4): ...  # noqa: N801
class f64x8(Value, kind="f", bits=64, lanes=8): ...  # noqa: N801
class f64x16(Value, kind="f", bits=64, lanes=16): ...  # noqa: N801
class f64x32(Value, kind="f", bits=64, lanes=32): ...  # noqa: N801
class f64x64(Value, kind="f", bits=64, lanes=64): ...  # noqa: N801
class mask2(Value, kind="b", bits=1, lanes=2): ...  # noqa: N801
class mask4(Value, kind="b", bits=1, lanes=4): ...  # noqa: N801
class mask8(Value, kind="b", bits=1, lanes=8): ...  # noqa: N801
class mask16(Value, kind="b", bits=1, lanes=16): ...  # noqa: N801
class mask32(Value, kind="b", bits=1, lanes=32): ...  # noqa: N801
class mask64(Value, kind="b", bits=1, lanes=64): ...  # noqa: N801

# "N lanes": as many as the operands have; kernels over these types fit every width.
class i32xN(Value, kind="i", bits=32, lanes=0): ...  # noqa: N801
class i64xN(Value, kind="i", bits=64, lanes=0): ...  # noqa: N801
class u32xN(Value, kind="u", bits=32, lanes=0): ...  # noqa: N801
class u64xN(Value, kind="u", bits=64, lanes=0): ...  # noqa: N801
class f32xN(Value, kind="f", bits=32, lanes=0): ...  # noqa: N801
class f64xN(Value, kind="f", bits=64, lanes=0): ...  # noqa: N801
# fmt: on
