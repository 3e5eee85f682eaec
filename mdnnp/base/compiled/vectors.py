"""Vector operations that the compiler does not make out of plain loops.

They are written in LLVM's terms, for vectors of any width that the machine has: nothing here is of one processor.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8
_INT32, _INT64, _DOUBLE = ir.IntType(32), ir.IntType(64), ir.DoubleType()


@intrinsic
def keep_near(typingctx, x, y, z, extra, start, end, xj, yj, zj, limit, j, squares, owners, places, found):
    """Append the squared distances from (xj, yj, zj) that are below `limit`, with `j` and their places, at `found`.

    Of the points start .. end - 1, those in the vector that begins at `start` rounded down to LANES are looked at;
    `extra` is added to their squares. Writes LANES numbers at squares[found:], owners[found:] (all j) and
    places[found:] (both uint32), of which the first ones count; returns how many. `squares` may be single.
    """

    def codegen(context, builder, signature, args):
        def loaded(array, place):
            return _load(builder, _element(context, builder, signature, args, array, place), _DOUBLE, LANES)

        begin = builder.and_(args[4], ir.Constant(_INT64, -LANES))
        square = loaded(3, begin)
        for axis in range(3):
            side = builder.fsub(loaded(axis, begin), _all(builder, args[6 + axis], LANES))
            square = builder.fadd(square, builder.fmul(side, side, flags=("contract",)), flags=("contract",))
        lanes = ir.Constant(ir.VectorType(_INT32, LANES), list(range(LANES)))
        own = builder.add(lanes, _all(builder, builder.trunc(begin, _INT32), LANES))
        kept = builder.fcmp_ordered("<", square, _all(builder, args[9], LANES))
        for sign, bound in ((">=", args[4]), ("<", args[5])):
            inside = builder.icmp_unsigned(sign, own, _all(builder, builder.trunc(bound, _INT32), LANES))
            kept = builder.and_(kept, inside)
        owner = _all(builder, builder.trunc(args[10], _INT32), LANES)
        square, own = _compressed(builder, square, kept), _compressed(builder, own, kept)
        if squares.dtype == types.float32:
            square = builder.fptrunc(square, ir.VectorType(ir.FloatType(), LANES))
        for vector, target in ((square, 11), (owner, 12), (own, 13)):
            _store(builder, vector, _element(context, builder, signature, args, target, args[14]))
        return builder.zext(builder.ctpop(builder.bitcast(kept, ir.IntType(LANES))), _INT64)

    return types.int64(x, y, z, extra, start, end, xj, yj, zj, limit, j, squares, owners, places, found), codegen


@intrinsic
def subtract_scaled(typingctx, target, row, factor, vectors, source, last):
    """target[row, :3] -= factor * vectors[source, :3] and target[row, 3] += last, in one vector operation.

    Both arrays (n, 4) float64; the last column of `vectors` must be zero.
    """

    def codegen(context, builder, signature, args):
        pointer = _element(context, builder, signature, args, 0, _four_times(builder, args[1]))
        vector = _load(
            builder, _element(context, builder, signature, args, 3, _four_times(builder, args[4])), _DOUBLE, 4
        )
        zero = ir.Constant(ir.VectorType(_DOUBLE, 4), [0.0] * 4)
        change = builder.insert_element(zero, args[5], ir.Constant(_INT32, 3))
        fused = ("contract", "nsz")
        change = builder.fsub(change, builder.fmul(vector, _all(builder, args[2], 4), flags=fused), flags=fused)
        # A plain addition: fused with the product, a chain of sums would take twice the time.
        _store(builder, builder.fadd(_load(builder, pointer, _DOUBLE, 4), change), pointer)
        return context.get_dummy_value()

    return types.none(target, row, factor, vectors, source, last), codegen


# ---------------------------------------------------------------------------------------------------------------------
# Vectors of LANES numbers as values of their own: `load`, `load_all`, `spread`, +, -, *, `total`, `store`,
# `accumulate`. They stay in registers where a loop over a short strip would go through memory after each operation.


class _Vector(types.Type):
    """Type of a vector of LANES float64."""

    def __init__(self):
        super().__init__(name=f"vector of {LANES} float64")


VECTOR = _Vector()
_FUSED = ("contract", "nsz", "nnan", "ninf")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, of_type):
        super().__init__(manager, of_type, ir.VectorType(_DOUBLE, LANES))


def _arithmetic(function, build: str) -> None:
    """Make `function` known for two vectors."""

    @infer_global(function)
    class Template(ConcreteTemplate):
        cases = (signature(VECTOR, VECTOR, VECTOR),)

    @lower_builtin(function, VECTOR, VECTOR)
    def lower(context, builder, signature, args):
        return getattr(builder, build)(*args, flags=_FUSED)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")


@intrinsic
def spread(typingctx, value):
    """A vector with the number `value` in every lane."""

    def codegen(context, builder, signature, args):
        return _all(builder, args[0], LANES)

    return VECTOR(types.float64), codegen


@intrinsic
def load(typingctx, array, place):
    """The numbers of a contiguous float64 array from `place` on, counted over all its dimensions."""

    def codegen(context, builder, signature, args):
        return _load(builder, _element(context, builder, signature, args, 0, args[1]), _DOUBLE, LANES)

    return VECTOR(array, types.int64), codegen


@intrinsic
def load_all(typingctx, array, place):
    """A vector with the number at `place` of a contiguous float64 array, counted over all dimensions, in every lane."""

    def codegen(context, builder, signature, args):
        return _all(builder, builder.load(_element(context, builder, signature, args, 0, args[1])), LANES)

    return VECTOR(array, types.int64), codegen


@intrinsic
def total(typingctx, vector):
    """The sum of the numbers in a vector."""

    def codegen(context, builder, signature, args):
        value = args[0]
        for half in (4, 2, 1):
            lanes = ir.Constant(ir.VectorType(_INT32, LANES), [(k + half) % LANES for k in range(LANES)])
            value = builder.fadd(value, builder.shuffle_vector(value, value, lanes), flags=_FUSED)
        return builder.extract_element(value, _INT32(0))

    return types.float64(VECTOR), codegen


@intrinsic
def store(typingctx, array, place, vector):
    """Write a vector into a contiguous float64 array from `place` on, counted over all its dimensions."""

    def codegen(context, builder, signature, args):
        _store(builder, args[2], _element(context, builder, signature, args, 0, args[1]))
        return context.get_dummy_value()

    return types.none(array, types.int64, VECTOR), codegen


@intrinsic
def accumulate(typingctx, array, place, vector):
    """Add a vector to the numbers of a contiguous float64 array from `place` on, counted over all its dimensions."""

    def codegen(context, builder, signature, args):
        pointer = _element(context, builder, signature, args, 0, args[1])
        _store(builder, builder.fadd(_load(builder, pointer, _DOUBLE, LANES), args[2], flags=_FUSED), pointer)
        return context.get_dummy_value()

    return types.none(array, types.int64, VECTOR), codegen


def _element(context, builder, signature, args, array, place):
    """Pointer to an element of a contiguous array argument, counted over all its dimensions."""
    data = context.make_array(signature.args[array])(context, builder, args[array]).data
    return builder.gep(data, [place])


def _four_times(builder, row):
    """Where a row begins in a flat array of four columns; `row` is an index without sign, of 32 or 64 bits."""
    wide = row if row.type.width == _INT64.width else builder.zext(row, _INT64)
    return builder.shl(wide, ir.Constant(_INT64, 2))


def _load(builder, pointer, scalar, lanes):
    value = builder.load(builder.bitcast(pointer, ir.VectorType(scalar, lanes).as_pointer()))
    value.align = _bytes(scalar)
    return value


def _store(builder, vector, pointer):
    instruction = builder.store(vector, builder.bitcast(pointer, vector.type.as_pointer()))
    instruction.align = _bytes(vector.type.element)


def _bytes(scalar) -> int:
    return 8 if isinstance(scalar, ir.DoubleType) else 4


def _all(builder, scalar, lanes):
    """A vector with `scalar` in every lane."""
    vector = builder.insert_element(ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined), scalar, _INT32(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_INT32, lanes), [0] * lanes))


def _compressed(builder, vector, mask):
    """The lanes that the mask selects, moved to the front."""
    kind = f"v{vector.type.count}{'f64' if vector.type.element is _DOUBLE else 'i32'}"
    compress = builder.module.declare_intrinsic(
        f"llvm.experimental.vector.compress.{kind}",
        fnty=ir.FunctionType(vector.type, [vector.type, mask.type, vector.type]),
    )
    return builder.call(compress, [vector, mask, ir.Constant(vector.type, ir.Undefined)])
