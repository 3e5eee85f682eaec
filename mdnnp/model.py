"""The parameters of a high-dimensional neural network potential, as its files state them.

A record without behaviour: `n2p2` reads and writes it, `potential.HDNNP` computes with it.
"""

from dataclasses import dataclass

import numpy as np

from mdnnp.acsf.functions import SymmetryFunction
from mdnnp.mlp import Network

SCALING_MODES = ("none", "scale", "center", "scalecenter", "scalesigma")


@dataclass(frozen=True)
class ElementModel:
    """One element's part of a potential.

    functions : symmetry functions in the potential's order (`SymmetryFunction.sort_key`)
    scaling : (n_functions, 4) float64: min, max, mean, sigma of each raw function (NaN where sigma is not given)
    network : the element's network; n_functions inputs, one output
    atom_energy : energy offset of the element, native energy unit
    """

    functions: tuple[SymmetryFunction, ...]
    scaling: np.ndarray
    network: Network
    atom_energy: float = 0.0


@dataclass(frozen=True)
class HDNNPModel:
    """A complete short-range HDNNP in its native units.

    elements : symbol -> ElementModel, in order of atomic number
    cutoff_type, cutoff_alpha : cutoff function 0-8 and relative inner cutoff, of all non-compact functions
    scaling_mode : one of SCALING_MODES; scale_min, scale_max : target range
    mean_energy, conv_energy, conv_length : normalization as n2p2 defines it; (0, 1, 1) without, `normalized` False
    length_unit, energy_unit : names of the native units (see `units`)
    source : where the model was read from, for messages
    """

    elements: dict[str, ElementModel]
    cutoff_type: int
    cutoff_alpha: float
    scaling_mode: str
    length_unit: str
    energy_unit: str
    scale_min: float = 0.0
    scale_max: float = 1.0
    normalized: bool = False
    mean_energy: float = 0.0
    conv_energy: float = 1.0
    conv_length: float = 1.0
    source: str = "potential"
