"""Elementary functions that inline and vectorise inside compiled loops.

The C library's exp, tanh, sin and cos are called one value at a time and keep a loop from being vectorised.
These are accurate to about one unit in the last place on the domains stated.
"""

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mdnnp.base.compiled.jit import njit_fast

_LOG2E = 1.4426950408889634
# ln 2 as the sum of two numbers, the first with its last bits zero, so that n * _LN2_HIGH is exact.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_LN2_LOW_SINGLE = -1.90465429995776810e-9  # ln 2 minus its rounding to single precision; products are exact in _fma


@intrinsic
def _is_single(typingctx, x):
    """Whether x is of single precision: a constant, so that the compiler drops the branch not taken."""

    def codegen(context, builder, signature, args):
        return ir.Constant(ir.IntType(1), int(x == types.float32))

    return types.boolean(x), codegen


@intrinsic
def _power_of_two(typingctx, n, x):
    """2.0**n in the precision of x, for an int32 n whose power is a normal number, by assembling the exponent bits."""

    def codegen(context, builder, signature, args):
        fraction_bits, bias = (52, 1023) if x == types.float64 else (23, 127)
        integer = ir.IntType(x.bitwidth)
        biased = builder.add(builder.sext(args[0], integer), ir.Constant(integer, bias))
        return builder.bitcast(builder.shl(biased, ir.Constant(integer, fraction_bits)), context.get_value_type(x))

    return x(types.int32, x), codegen


@intrinsic
def _round(typingctx, x):
    """Nearest integer, as a real number."""

    def codegen(context, builder, signature, args):
        rint = builder.module.declare_intrinsic("llvm.rint", [args[0].type])
        return builder.call(rint, [args[0]])

    return x(x), codegen


@intrinsic
def _fma(typingctx, a, b, c):
    """a * b + c with one rounding; unlike a plain expression, never reassociated."""

    def codegen(context, builder, signature, args):
        fma = builder.module.declare_intrinsic("llvm.fma", [args[0].type] * 3)
        return builder.call(fma, args)

    return a(a, a, a), codegen


@intrinsic
def _guess_inverse_sqrt(typingctx, x):
    """1/sqrt(x) to 3.5 %, by halving and negating the exponent bits; magic numbers of C. Lomont (2003)."""

    def codegen(context, builder, signature, args):
        integer = ir.IntType(x.bitwidth)
        magic = 0x5FE6EB50C7B537A9 if x == types.float64 else 0x5F375A86
        bits = builder.lshr(builder.bitcast(args[0], integer), ir.Constant(integer, 1))
        return builder.bitcast(builder.sub(ir.Constant(integer, magic), bits), args[0].type)

    return x(x), codegen


@njit_fast
def inverse_sqrt(x):
    """1/sqrt(x) for normal x > 0 (2 ulp): Newton's iteration, without the slow vector square root and division."""
    y = _guess_inverse_sqrt(x)
    half = 0.5 * x
    y = y * (1.5 - half * y * y)
    y = y * (1.5 - half * y * y)
    if not _is_single(x):
        y = y * (1.5 - half * y * y)
    # The last step in residual form, which does not amplify rounding.
    e = _fma(-half * y, y, 0.5)
    return _fma(y, e, y)


@njit_fast
def exp(x):
    """e**x for x <= 700 (1 ulp); 0 below -708, where the result would be subnormal.

    In single precision for x <= 88 (4 ulp), and 0 below -60, so that products with other small factors do not become
    subnormal either: they would take a hundred times as long.
    """
    least = -60.0 if _is_single(x) else -708.0
    clamped = max(x, least)
    n = _round(clamped * _LOG2E)
    low = _LN2_LOW_SINGLE if _is_single(x) else _LN2_LOW
    r = _fma(n, -low, _fma(n, -_LN2_HIGH, clamped))
    if _is_single(x):  # coefficients of Cephes (S. L. Moshier)
        p = 1.9875691500e-4
        p = p * r + 1.3981999507e-3
        p = p * r + 8.3334519073e-3
        p = p * r + 4.1665795894e-2
        p = p * r + 1.6666665459e-1
        p = p * r + 5.0000001201e-1
    else:  # near-minimax polynomial on |r| <= ln(2)/2, error 3e-18 (Chebyshev fit in 40 digits)
        p = 2.51100492048186598e-8
        p = p * r + 2.76326547225277919e-7
        p = p * r + 2.75572408872298686e-6
        p = p * r + 2.4801485441561313e-5
        p = p * r + 1.98412698900764028e-4
        p = p * r + 1.38888889523528629e-3
        p = p * r + 8.33333333331958962e-3
        p = p * r + 4.16666666664879525e-2
        p = p * r + 1.66666666666666808e-1
        p = p * r + 0.50000000000000184
    p = p * r + 1.0
    p = p * r + 1.0
    result = p * _power_of_two(numba.int32(n), x)
    return result if x >= least else 0.0


@njit_fast
def erfc_exp(x):
    """erfc x and exp(-x^2) for x >= 0, to 2e-15 of either.

    (1 + 2 x) exp(x^2) erfc x is a polynomial in (x - K) / (x + K): M. M. Shepherd, J. G. Laframboise, Math. Comp. 36,
    249 (1981). Chebyshev fit in 60 digits.
    """
    gauss = exp(-x * x)
    t = (x - 3.75) / (x + 3.75)
    p = 1.8146586347568264e-08
    p = p * t + 8.445718156212648e-09
    p = p * t - 2.1733129827231948e-07
    p = p * t - 2.73966724754976e-08
    p = p * t + 1.7025281995521032e-06
    p = p * t - 1.0089944832421726e-06
    p = p * t - 1.140752939512999e-05
    p = p * t + 2.241067134951887e-05
    p = p * t + 5.16316440213531e-05
    p = p * t - 0.0002901666872311317
    p = p * t + 0.0002937189195419086
    p = p * t + 0.0017556296496830366
    p = p * t - 0.009746580513233495
    p = p * t + 0.028362276728258296
    p = p * t - 0.05869339849386446
    p = p * t + 0.09230432122968073
    p = p * t - 0.10880393014616146
    p = p * t + 0.0822767384869481
    p = p * t + 0.0035854154855242946
    p = p * t - 0.14024059858550342
    p = p * t + 1.2375126308378275
    return gauss * p / (1.0 + 2.0 * x), gauss


@njit_fast
def tanh_unit(u):
    """(p, q) with tanh u = p/q for 0 <= u <= 1, without loss of relative accuracy at small u.

    The caller divides, as it may need 1/tanh too. Lambert's continued fraction u/(1 + u^2/(3 + u^2/(5 + ...))) to
    depth 9, truncation error 3e-17; in single precision to depth 5, 6e-8.
    """
    z = u * u
    if _is_single(u):
        return u * ((z + 105.0) * z + 945.0), (15.0 * z + 420.0) * z + 945.0
    num = (((z + 990.0) * z + 135135.0) * z + 4729725.0) * z + 34459425.0
    den = (((45.0 * z + 13860.0) * z + 945945.0) * z + 16216200.0) * z + 34459425.0
    return u * num, den


@njit_fast
def sin_eighth(u):
    """sin u for |u| <= pi/4 (near-minimax polynomial, error 3e-18 relative)."""
    z = u * u
    p = 1.58947366518490953e-10
    p = p * z - 2.5050716974102745e-8
    p = p * z + 2.75573133764001291e-6
    p = p * z - 1.98412698286503e-4
    p = p * z + 8.33333333332036246e-3
    p = p * z - 1.66666666666666167e-1
    return p * z * u + u


@njit_fast
def cos_eighth(u):
    """cos u for |u| <= pi/4 (near-minimax polynomial, error 3e-20)."""
    z = u * u
    p = -1.13533796382975741e-11
    p = p * z + 2.0875582380663953e-9
    p = p * z - 2.75573130977900863e-7
    p = p * z + 2.4801587283881153e-5
    p = p * z - 1.38888888888610946e-3
    p = p * z + 4.16666666666664524e-2
    return (p * z - 0.5) * z + 1.0
