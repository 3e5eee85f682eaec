"""Vector operations that the compiler does not make out of plain loops.

They are written in LLVM's terms, for vectors of any width that the machine has: nothing here is of one processor.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 8
_INT8, _INT32, _INT64, _DOUBLE = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()


@intrinsic
def keep_near(typingctx, x, y, z, extra, start, end, xj, yj, zj, limit, squares, found):
    """Append the squared distances from (xj, yj, zj) that are below `limit` at squares[found:]; which, as bits.

    Of the points start .. end - 1, those in the vector that begins at `start` rounded down to LANES are looked at;
    `extra` is added to their squares. Writes LANES numbers, of which the first ones count.
    """

    def codegen(context, builder, signature, args):
        vectors = _Vectors(context, builder, signature, args)
        begin = builder.and_(args[4], ir.Constant(_INT64, -LANES))
        square = vectors.load(3, begin)
        for axis in range(3):
            side = builder.fsub(vectors.load(axis, begin), _all(builder, args[6 + axis]))
            square = builder.fadd(square, builder.fmul(side, side, flags=("contract",)), flags=("contract",))
        counted = ir.Constant(ir.VectorType(_INT32, LANES), list(range(LANES)))
        own = builder.add(counted, _all(builder, builder.trunc(begin, _INT32)))
        kept = builder.fcmp_ordered("<", square, _all(builder, args[9]))
        for sign, bound in ((">=", args[4]), ("<", args[5])):
            inside = builder.icmp_unsigned(sign, own, _all(builder, builder.trunc(bound, _INT32)))
            kept = builder.and_(kept, inside)
        vectors.store(_compressed(builder, square, kept), 10, args[11])
        return builder.zext(builder.bitcast(kept, _INT8), _INT64)

    return types.int64(x, y, z, extra, start, end, xj, yj, zj, limit, squares, found), codegen


@intrinsic
def append(typingctx, lanes, factor, source, first, target, found):
    """Write factor * source[first:] at target[found:], of a vector only the lanes whose bits are set."""

    def codegen(context, builder, signature, args):
        vectors = _Vectors(context, builder, signature, args)
        product = builder.fmul(vectors.load(2, args[3]), _all(builder, args[1]))
        vectors.store(_compressed(builder, product, _mask(builder, args[0])), 4, args[5])
        return context.get_dummy_value()

    return types.none(lanes, types.float64, source, first, target, found), codegen


@intrinsic
def append_all(typingctx, value, target, found):
    """Write `value` in all lanes of a vector at target[found:]."""

    def codegen(context, builder, signature, args):
        _Vectors(context, builder, signature, args).store(_all(builder, args[0]), 1, args[2])
        return context.get_dummy_value()

    return types.none(value, target, found), codegen


@intrinsic
def count_bits(typingctx, lanes):
    """How many bits are set."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return lanes(lanes), codegen


@intrinsic
def add_edges(typingctx, lanes, t, along_j, along_k, along_jk, k, x, y, z, xj, yj, zj, dx, dy, dz, alpha, own):
    """Add the edge gradients of triplets t, t + 1, ... of one j and the neighbours of vector `k` whose bits are set.

    At the neighbours k: subtracts along_jk (xj, yj, zj) from dx, dy, dz and adds along_k to alpha; at j, a vector of
    partial sums in each row of own (4, LANES): subtracts along_jk (x, y, z) and adds along_j.
    """

    def codegen(context, builder, signature, args):
        vectors, mask = _Vectors(context, builder, signature, args), _mask(builder, args[0])
        k, fused = args[5], ("contract",)
        along_j, along_k, m = (vectors.spread(array, args[1], mask) for array in (2, 3, 4))
        for axis in range(3):
            for vector, target, place in (
                (vectors.load(6 + axis, k), 16, ir.Constant(_INT64, axis * LANES)),
                (_all(builder, args[9 + axis]), 12 + axis, k),
            ):
                product = builder.fmul(m, vector, flags=fused)
                vectors.store(builder.fsub(vectors.load(target, place), product, flags=fused), target, place)
        for along, target, place in ((along_j, 16, ir.Constant(_INT64, 3 * LANES)), (along_k, 15, k)):
            vectors.store(builder.fadd(vectors.load(target, place), along), target, place)
        return context.get_dummy_value()

    return types.none(lanes, t, along_j, along_k, along_jk, k, x, y, z, xj, yj, zj, dx, dy, dz, alpha, own), codegen


class _Vectors:
    """Vectors of LANES doubles in the array arguments of an intrinsic, which may hold them in single precision.

    Places are counted over all dimensions of an array.
    """

    def __init__(self, context, builder, signature, args):
        self.context, self.builder, self.signature, self.args = context, builder, signature, args

    def load(self, array: int, place):
        value = self.builder.load(self._pointer(array, place))
        value.align = self._bytes(array)
        return self._double(value)

    def store(self, vector, array: int, place) -> None:
        if self._bytes(array) == 4:
            vector = self.builder.fptrunc(vector, ir.VectorType(ir.FloatType(), LANES))
        self.builder.store(vector, self._pointer(array, place)).align = self._bytes(array)

    def spread(self, array: int, place, mask):
        """The numbers from `place` on, in turn, in the lanes that the mask selects; 0 in the others."""
        pointer = self._pointer(array, place)
        vector = pointer.type.pointee
        expand = self.builder.module.declare_intrinsic(
            f"llvm.masked.expandload.v{LANES}f{8 * self._bytes(array)}",
            fnty=ir.FunctionType(vector, [vector.element.as_pointer(), mask.type, vector]),
        )
        first = self.builder.bitcast(pointer, vector.element.as_pointer())
        return self._double(self.builder.call(expand, [first, mask, ir.Constant(vector, None)]))

    def _double(self, vector):
        wanted = ir.VectorType(_DOUBLE, LANES)
        return vector if vector.type == wanted else self.builder.fpext(vector, wanted)

    def _bytes(self, array: int) -> int:
        return self.signature.args[array].dtype.bitwidth // 8

    def _pointer(self, array: int, place):
        kind = self.signature.args[array]
        data = self.context.make_array(kind)(self.context, self.builder, self.args[array]).data
        if place.type.width < _INT64.width:  # an index without sign
            place = self.builder.zext(place, _INT64)
        vector = ir.VectorType(self.context.get_value_type(kind.dtype), LANES)
        return self.builder.bitcast(self.builder.gep(data, [place]), vector.as_pointer())


def _mask(builder, lanes):
    """Bits as a vector of conditions."""
    return builder.bitcast(builder.trunc(lanes, _INT8), ir.VectorType(ir.IntType(1), LANES))


def _all(builder, scalar):
    """A vector with `scalar` in every lane."""
    vector = builder.insert_element(ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined), scalar, _INT32(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES))


def _compressed(builder, vector, mask):
    """The lanes that the mask selects, moved to the front."""
    compress = builder.module.declare_intrinsic(
        f"llvm.experimental.vector.compress.v{LANES}f64",
        fnty=ir.FunctionType(vector.type, [vector.type, mask.type, vector.type]),
    )
    return builder.call(compress, [vector, mask, ir.Constant(vector.type, ir.Undefined)])
