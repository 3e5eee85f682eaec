"""The parameters of a high-dimensional neural network potential, as its files state them.

A record without behaviour: `n2p2` reads and writes it, `potential.HDNNP` computes with it.
"""

from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers

from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.networks import Network

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

    def __post_init__(self) -> None:
        given = list(self.elements)
        if given != sorted(given, key=atomic_numbers.__getitem__):
            raise ValueError(f"elements must come in order of atomic number, got {' '.join(given)}")


@dataclass(frozen=True)
class ChargeModel:
    """The charges of an HDNNP, in the native units of its `HDNNPModel`.

    generation : "4G", charges by equilibration; or from networks: "Q" (n2p2), "3G" (RuNNer)
    networks : symbol -> electronegativity (energy per e), or the charge itself; a network of the same scaled functions
    hardness : symbol -> energy per e^2, of 4G; widths : symbol -> width of the Gaussian, a point if it is missing
    The short-range networks of 4G and Q have one input more, the last: the atom's charge times `conv_charge`.
    screening : inner and outer radius and the core ("c", "p1" .. "p4", "e") of the screening of near pairs; or None
    four_pi_epsilon : 4 pi eps_0, e^2 per energy and length
    """

    networks: dict[str, Network]
    hardness: dict[str, float]
    widths: dict[str, float]
    screening: tuple[float, float, str] | None = None
    four_pi_epsilon: float = 1.0
    conv_charge: float = 1.0
    generation: str = "4G"

    @property
    def extra_inputs(self) -> int:
        """Inputs of the short-range networks that are no symmetry functions: 1 or 0."""
        return 0 if self.generation == "3G" else 1


def scaling_coefficients(element: ElementModel, model: HDNNPModel) -> tuple[np.ndarray, np.ndarray]:
    """(factor, offset), each (n_functions,), of what the network sees: scaled G = factor * G + offset.

    A function without spread (min = max, or sigma = 0, whichever the scaling mode divides by) has no finite
    factor; its scaled value is the constant scale_min: factor 0, offset scale_min. n2p2 divides by zero there.
    """
    low, high, mean, sigma = element.scaling.T
    if model.scaling_mode == "none":
        return np.ones(len(low)), np.zeros(len(low))
    if model.scaling_mode == "center":
        return np.ones(len(low)), -mean
    spread = sigma if model.scaling_mode == "scalesigma" else high - low
    origin = low if model.scaling_mode == "scale" else mean
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        factor = (model.scale_max - model.scale_min) / spread
    factor = np.where(np.isfinite(factor), factor, 0.0)
    return factor, model.scale_min - factor * origin


def without_spread(element: ElementModel, model: HDNNPModel) -> np.ndarray:
    """Indices (from 0) of the functions that reach the network as a constant: see `scaling_coefficients`."""
    return np.flatnonzero(scaling_coefficients(element, model)[0] == 0.0)
