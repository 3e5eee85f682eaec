"""Potentials: from a configuration to energy, forces and virial."""

from typing import NamedTuple

import numpy as np


class Extrapolation(NamedTuple):
    """Symmetry functions that left the range of `scaling.data` in one evaluation.

    count : how many (atom, function) pairs did, exact
    atom, function : (n,) atom (from 0, order of the system) and function (from 1, the potential's order)
    value, lower, upper : (n,) raw value of the function and its bounds
    The arrays list at most the first few events (see `MAX_EVENTS`), by atom.
    """

    count: int
    atom: np.ndarray
    function: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


class Results(NamedTuple):
    """What one evaluation gives.

    energy : eV, offsets included
    atomic_energies : (N,) eV, offsets included; they sum to the energy
    forces : (N, 3) eV/Å
    virial : (3, 3) eV, minus the strain derivative dE/d(strain); stress = -virial / volume (positive: tension)
    atomic_virials : (N, 3, 3) eV, W_i = sum_j r_ij (x) dE_j/dr_ji, not symmetric; (0, 3, 3) unless asked for
    extrapolation : see `Extrapolation`
    """

    energy: float
    atomic_energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray
    atomic_virials: np.ndarray
    extrapolation: Extrapolation
