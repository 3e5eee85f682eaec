"""Do the error bars of transport coefficients cover the truth? Green-Kubo integrals of processes that are known.

    python analysis/green_kubo_errors.py [--runs 100] [--seed 0]

Five components of an Ornstein-Uhlenbeck process with two decays, as of a liquid's stress: a fast one (5 samples) and a
weak one that is six times slower (30 samples, a sixth of the variance of the fast one). For runs of several lengths
it prints the bias and the scatter of the integral, the median error bar, and how often one and two of them cover the
truth (68 and 95 % of normal deviates); the same for cepstral analysis (L. Ercole, A. Marcolongo, S. Baroni, Sci. Rep.
7, 15835 (2017); number of coefficients by Akaike's criterion), which the program does not use. Takes ten seconds.
"""

import argparse
import math

import numpy as np
from scipy.signal import lfilter
from scipy.special import digamma, polygamma

from mdnnp.analysis import green_kubo

FAST, SLOW, WEIGHT, COMPONENTS, LONGEST_LAG = 1 / 5, 1 / 30, 0.16, 5, 400
LENGTHS = (1000, 4000, 20_000)


def process(rng: np.random.Generator, n: int, rate: float) -> np.ndarray:
    """(n, COMPONENTS) samples, variance one, in equilibrium from the first."""
    a = math.exp(-rate)
    noise = rng.standard_normal((n + round(20 / rate), COMPONENTS)) * math.sqrt(1 - a * a)
    return lfilter([1.0], [1.0, -a], noise, axis=0)[-n:]


def integral(rate: float) -> float:
    """Of exp(-rate t), by trapezoids."""
    return 0.5 + math.exp(-rate) / (1 - math.exp(-rate))


def plateau(series: np.ndarray) -> tuple[float, float]:
    """The program's integral and its error bar."""
    lag = min(len(series) // 10, LONGEST_LAG)
    return green_kubo(series, 1.0, 1.0, float(lag), ("c", "i / u", "i"))["i"].numbers["i"]


def cepstral(series: np.ndarray) -> tuple[float, float]:
    """Half of the spectrum at zero from the fewest coefficients of its logarithm, and the error bar of theory."""
    n, components = series.shape
    power = np.mean(np.abs(np.fft.rfft(series - series.mean(axis=0), axis=0)) ** 2, axis=1) / n
    power[0] = power[1]
    c = np.fft.irfft(np.log(power), n)[: n // 2 + 1]
    variance = polygamma(1, components)
    left_out = np.cumsum(np.square(c[::-1]))[::-1]
    kept = 1 + int(np.argmin(left_out[1:] * n / variance + 2 * np.arange(1, len(c))))
    level = c[0] + 2 * c[1:kept].sum() - digamma(components) + math.log(components)
    value = 0.5 * math.exp(level)
    return value, value * math.sqrt(variance * (4 * kept - 2) / n)


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100, help="of each length")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, truth = np.random.default_rng(options.seed), integral(FAST) + WEIGHT * integral(SLOW)
    print(f"{'slow decays':>11} {'estimate':>9} {'bias':>7} {'scatter':>8} {'error bar':>10} {'one':>6} {'two':>6}")
    for n in LENGTHS:
        runs = [process(rng, n, FAST) + math.sqrt(WEIGHT) * process(rng, n, SLOW) for _ in range(options.runs)]
        for name, estimate in (("plateau", plateau), ("cepstral", cepstral)):
            value, error = np.array([estimate(s) for s in runs]).T
            z = np.abs(value - truth) / error
            print(
                f"{n * SLOW:>11.0f} {name:>9} {value.mean() / truth - 1:>7.3f} {value.std() / truth:>8.3f} "
                f"{np.median(error) / truth:>10.3f} {np.mean(z < 1):>6.2f} {np.mean(z < 2):>6.2f}"
            )


if __name__ == "__main__":
    main()
