"""SIMD vectors for numba: a value type, arithmetic on it, loads, stores and shuffles.

Numba turns `u + tau * p` over scalars into vectors where LLVM sees how. These types take the
guessing away: an `F32` local variable is one `<LANES x float>` register, and each function below
is one or a few instructions. Only the width and the name of one instruction (the reciprocal
square root) differ between AVX2 and AVX-512.

Everything below `detect_lanes` may be called from `numba.njit` functions only.
"""

import operator
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import lower_builtin, models, register_model


def detect_lanes() -> int:
    """Return how many float32 one register of the target CPU holds: 16, 8, or 0 for no SIMD.

    The target is the CPU that numba compiles for: this one, or NUMBA_CPU_NAME and
    NUMBA_CPU_FEATURES where they are set. Without compilation (NUMBA_DISABLE_JIT) there are no
    registers to speak of.
    """
    settings: Any = config
    if settings.DISABLE_JIT or not settings.ENABLE_AVX:
        return 0
    if settings.CPU_FEATURES is not None:
        listed = settings.CPU_FEATURES.split(",")
        features = {item[1:] for item in listed if item.startswith("+")}
    else:
        features = {name for name, is_on in llvm.get_host_cpu_features().items() if is_on}
    if {"avx512f", "avx512bw", "avx512vl"} <= features:
        return 16
    return 8 if {"avx2", "fma"} <= features else 0


HAS_SIMD = detect_lanes() > 0
LANES = detect_lanes() or 8

_INT32 = ir.IntType(32)
_RSQRT = {8: "llvm.x86.avx.rsqrt.ps.256", 16: "llvm.x86.avx512.rsqrt14.ps.512"}

intrinsic: Any = numba_intrinsic


class VectorType(types.Type):  # type: ignore[misc]
    """A register of `lanes` equal elements."""

    def __init__(self, name: str, element: ir.Type, lanes: int) -> None:
        self.llvm_type = ir.VectorType(element, lanes)
        self.lanes = lanes
        super().__init__(name=f"{name}x{lanes}")


F32 = VectorType("f32", ir.FloatType(), LANES)
I32 = VectorType("i32", _INT32, LANES)
I16 = VectorType("i16", ir.IntType(16), 2 * LANES)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: VectorType) -> None:
        super().__init__(dmm, fe_type, fe_type.llvm_type)


def _register_operator(symbol: Any, emit: str) -> None:
    """Let `a <symbol> b` of two F32 be one instruction of the IR builder."""

    @infer_global(symbol)
    class _Operator(ConcreteTemplate):  # type: ignore[misc]
        cases = (signature(F32, F32, F32),)

    @lower_builtin(symbol, F32, F32)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, emit)(*args)


_register_operator(operator.add, "fadd")
_register_operator(operator.sub, "fsub")
_register_operator(operator.mul, "fmul")
_register_operator(operator.truediv, "fdiv")


def _call(builder: Any, name: str, result: Any, args: Sequence[Any]) -> Any:
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _name(kind: VectorType) -> str:
    element = {"float": "f32"}.get(str(kind.llvm_type.element), str(kind.llvm_type.element))
    return f"v{kind.lanes}{element}"


def _lanes(indices: Sequence[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INT32, len(indices)), list(indices))


def _splat(builder: Any, scalar: Any, kind: Any) -> Any:
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, _INT32(0))
    return builder.shuffle_vector(first, first, _lanes([0] * kind.count))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, to: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), to.as_pointer())


def _load_codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.return_type.llvm_type
    pointer = _pointer(context, builder, sig.args[0], args[0], args[1], kind)
    return builder.load(pointer, align=2)


@intrinsic
def load(typingctx, array, index):
    """One register of a flat float32 or int16 array from `index` on; no bounds check."""
    kind = F32 if array.dtype == types.float32 else I16
    return kind(array, types.intp), _load_codegen


@intrinsic
def store(typingctx, array, index, value):
    """Write a vector to a flat array of its element type from `index` on."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1], args[2].type)
        builder.store(args[2], pointer, align=2)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


@intrinsic
def splat(typingctx, scalar):
    """The same float32 in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _splat(builder, args[0], F32.llvm_type)

    return F32(types.float32), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """A * b + c, rounded once."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, f"llvm.fma.{_name(F32)}", F32.llvm_type, args)

    return F32(F32, F32, F32), codegen


@intrinsic
def negative_fma(typingctx, a, b, c):
    """C - a * b, rounded once."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        negative = [builder.fneg(args[0]), *args[1:]]
        return _call(builder, f"llvm.fma.{_name(F32)}", F32.llvm_type, negative)

    return F32(F32, F32, F32), codegen


@intrinsic
def sqrt(typingctx, a):
    """Square root, correctly rounded."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, f"llvm.sqrt.{_name(F32)}", F32.llvm_type, args)

    return F32(F32), codegen


def _select_codegen(compare: str) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if sig.return_type == F32:
            is_first = builder.fcmp_ordered(compare, *args)
        else:
            is_first = builder.icmp_signed(compare, *args)
        return builder.select(is_first, *args)

    return codegen


@intrinsic
def vmin(typingctx, a, b):
    """The smaller of each lane; b where either is NaN (vminps)."""
    return a(a, b), _select_codegen("<")


@intrinsic
def vmax(typingctx, a, b):
    """The larger of each lane; b where either is NaN (vmaxps)."""
    return a(a, b), _select_codegen(">")


@intrinsic
def rsqrt(typingctx, a):
    """1 / sqrt(a) to 12 bits (AVX2) or 14 bits (AVX-512)."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if LANES == 16:
            zero = ir.Constant(F32.llvm_type, None)
            args = [args[0], zero, ir.IntType(16)(-1)]
        return _call(builder, _RSQRT[LANES], F32.llvm_type, args)

    return F32(F32), codegen


@intrinsic
def round_even(typingctx, a):
    """Nearest whole number, halves to the even one."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, f"llvm.rint.{_name(F32)}", F32.llvm_type, args)

    return F32(F32), codegen


@intrinsic
def floor(typingctx, a):
    """Largest whole number not above each lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, f"llvm.floor.{_name(F32)}", F32.llvm_type, args)

    return F32(F32), codegen


@intrinsic
def from_left(typingctx, before, here):
    """The left neighbour of each lane: the last lane of `before`, then `here` without its last."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.shuffle_vector(*args, _lanes(range(LANES - 1, 2 * LANES - 1)))

    return F32(F32, F32), codegen


@intrinsic
def from_right(typingctx, here, end):
    """`here` without its first lane, then the last lane of `end`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.shuffle_vector(*args, _lanes([*range(1, LANES), 2 * LANES - 1]))

    return F32(F32, F32), codegen


@intrinsic
def pack_i16(typingctx, a, b):
    """Two F32 of whole numbers within +-32767 as one I16: the lanes of a, then those of b."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        half = ir.VectorType(ir.IntType(16), LANES)
        parts = [builder.trunc(builder.fptosi(arg, I32.llvm_type), half) for arg in args]
        return _concatenate(builder, parts)

    return I16(F32, F32), codegen


@intrinsic
def unpack_i16(typingctx, a):
    """The two F32 that `pack_i16` joined."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        halves = []
        for first in (0, LANES):
            lanes = _lanes(range(first, first + LANES))
            half = builder.shuffle_vector(args[0], args[0], lanes)
            wide = builder.sext(half, I32.llvm_type)
            halves.append(builder.sitofp(wide, F32.llvm_type))
        return context.make_tuple(builder, sig.return_type, halves)

    return types.UniTuple(F32, 2)(I16), codegen


@intrinsic
def reduce_add(typingctx, a):
    """Sum of all lanes, halves first, as float64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, lanes = args[0], LANES
        while lanes > 1:
            lanes //= 2
            halves = [_lanes(range(first, first + lanes)) for first in (0, lanes)]
            low, high = (builder.shuffle_vector(total, total, half) for half in halves)
            total = builder.fadd(low, high)
        return builder.fpext(builder.extract_element(total, _INT32(0)), ir.DoubleType())

    return types.float64(F32), codegen


@intrinsic
def is_zero(typingctx, a):
    """Whether all lanes are zero."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        other = builder.fcmp_unordered("!=", args[0], ir.Constant(F32.llvm_type, None))
        bits = ir.IntType(LANES)
        return builder.icmp_unsigned("==", builder.bitcast(other, bits), bits(0))

    return types.boolean(F32), codegen


@intrinsic
def to_int(typingctx, a):
    """Whole float32 values as int32."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fptosi(args[0], I32.llvm_type)

    return I32(F32), codegen


@intrinsic
def multiply_add_int(typingctx, a, factor, b):
    """A * factor + b for I32 a and b and a scalar factor."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        factor_int = builder.trunc(args[1], _INT32)
        return builder.add(
            builder.mul(args[0], _splat(builder, factor_int, I32.llvm_type)), args[2]
        )

    return I32(I32, types.intp, I32), codegen


@intrinsic
def gather_taps(typingctx, array, index, offset):
    """Four vectors: array[offset + index + k] for k = 0..3.

    Each lane's four neighbours are one 128-bit load; three loads out of four and all gather
    instructions are saved.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        four = ir.VectorType(ir.FloatType(), 4)
        base = builder.gep(
            context.make_array(sig.args[0])(context, builder, args[0]).data, [args[2]]
        )
        loaded = []
        for lane in range(LANES):
            step = builder.sext(builder.extract_element(args[1], _INT32(lane)), ir.IntType(64))
            pointer = builder.bitcast(builder.gep(base, [step]), four.as_pointer())
            loaded.append(builder.load(pointer, align=4))
        rows = [_concatenate(builder, loaded[first::4]) for first in range(4)]
        return context.make_tuple(builder, sig.return_type, _transpose(builder, rows))

    return types.UniTuple(F32, 4)(array, I32, types.intp), codegen


def _concatenate(builder: Any, parts: Sequence[Any]) -> Any:
    while len(parts) > 1:
        count = parts[0].type.count
        both = _lanes(range(2 * count))
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [builder.shuffle_vector(a, b, both) for a, b in pairs]
    return parts[0]


def _transpose(builder: Any, rows: Sequence[Any]) -> list[Any]:
    """4x4 transposes inside each group of four lanes; lane 4 g + r of the result is row r."""
    groups = range(0, LANES, 4)

    def merge(a: Any, b: Any, first: int, second: int) -> Any:
        picks = [first, LANES + first, second, LANES + second]
        return builder.shuffle_vector(a, b, _lanes([g + k for g in groups for k in picks]))

    def pair(a: Any, b: Any, start: int) -> Any:
        picks = [start, start + 1, LANES + start, LANES + start + 1]
        return builder.shuffle_vector(a, b, _lanes([g + k for g in groups for k in picks]))

    low = (merge(rows[0], rows[1], 0, 1), merge(rows[2], rows[3], 0, 1))
    high = (merge(rows[0], rows[1], 2, 3), merge(rows[2], rows[3], 2, 3))
    return [pair(*low, 0), pair(*low, 2), pair(*high, 0), pair(*high, 2)]
