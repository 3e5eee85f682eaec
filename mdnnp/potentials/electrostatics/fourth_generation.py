"""Fourth-generation neural network potentials (4G-HDNNP): charges by equilibration, which the short-range networks see.

T. W. Ko, J. A. Finkler, S. Goedecker, J. Behler, Nat. Commun. 12, 398 (2021). Symmetry functions G give
electronegativities chi(G); equilibration gives charges q; E = 1/2 q (E + S) q + sum_i N_e(G_i, q_i), where S takes
Gaussians' own energies and near pairs away (`Coulomb.screened`).

Forces need no derivatives of charges. With dE/dq at fixed positions and A l + mu = -dE/dq, sum l = 0, the Lagrangian
L = E + l (A q + chi) has no derivative by q, so that its derivatives by G and positions are those of the energy. If q
and l are solved for with an error e, L is right to order e^2, its derivatives to order e.
"""

import copy
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.neighbors import NeighborList
from mdnnp.atoms.system import System
from mdnnp.base import units
from mdnnp.base.errors import InputError, MdnnpWarning
from mdnnp.potentials.electrostatics.coulomb import (
    PRECISION,
    Coulomb,
    Screening,
    charged_cell,
    check_boundaries,
    one_blas_thread,
    real_space_cutoff,
)
from mdnnp.potentials.electrostatics.equilibration import TOLERANCE, Equilibration, is_dense
from mdnnp.potentials.hdnnp.files.reader import read_charged
from mdnnp.potentials.hdnnp.model import ChargeModel, HDNNPModel, scaling_coefficients
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.interface import Extrapolation, Neighbors, Potential, Results
from mdnnp.potentials.smoothness import Ingredient, order_name
from mdnnp.potentials.zbl import COULOMB_EV_A

# For each core of a screening: the envelope's kind in `hdnnp.functions.shapes`, and k of C^k at both radii. The core e
# is flat to all orders at the outer radius, but has a second derivative at the inner one.
_CORES = {"c": (1, 1), "p1": (5, 1), "p2": (6, 2), "p3": (7, 3), "p4": (8, 4), "e": (4, 1)}


# A second list costs more than a longer one, up to this ratio of the cutoffs.
_ONE_LIST = 1.25


_NAMES = {"4G": "4G-HDNNP", "Q": "Q-HDNNP", "3G": "3G-HDNNP"}
_WAYS = {
    "4G": "by equilibration (fourth generation)",
    "Q": "by networks, seen by the short-range networks (Q)",
    "3G": "by networks (third generation)",
}
_MEMORY = "charges"
_AHEAD = ((1.0,), (-1.0, 2.0), (1.0, -3.0, 3.0), (-1.0, 4.0, -6.0, 4.0))  # weights of the last values, the oldest first


class _Charged(NamedTuple):
    """What follows from the outputs of the networks of the charges.

    charges (N,) e; energies (N,) eV; by_values (N, n), by_outputs (N,) : derivatives of the energy, by the raw
    functions and those outputs; forces (N, 3) eV/Å and virial (3, 3) eV of the charges' interaction
    """

    charges: np.ndarray
    energies: np.ndarray
    by_values: np.ndarray
    by_outputs: np.ndarray
    forces: np.ndarray
    virial: np.ndarray


class FourthGeneration(Potential):
    """A potential of the fourth generation, or of the third, whose networks give the charges themselves.

    short : functions, scaling and short-range networks, whose last input is the charge
    charges : their networks, hardness, widths, screening
    total_charge : e, of every system that is computed, whatever it says; may be set at any time. None: `System.charge`.
        A periodic system that is not neutral has a uniform background
    solver, charge_tolerance : see `Equilibration`; may be set at any time. Ewald sums are three times as exact
    products : of the matrix with a vector, which all solutions since `begin` took
    """

    has_charges = True

    def __init__(
        self,
        short: HDNNPModel,
        charges: ChargeModel,
        total_charge: float | None = None,
        solver: str = "auto",
        charge_tolerance: float = TOLERANCE,
    ):
        self.source, self.charge_model, self.total_charge = short.source, charges, total_charge
        self._short = HDNNP(short)
        self.numbers = self._short.numbers
        self.solver, self.charge_tolerance, self.products = solver, charge_tolerance, 0
        length, self._energy = units.length_in_angstrom(short.length_unit), units.energy_in_ev(short.energy_unit)
        self._coulomb = length * self._energy / charges.four_pi_epsilon
        elements = list(short.elements)
        self._widths, self._hardness = np.zeros(max(self.numbers) + 1), np.zeros(max(self.numbers) + 1)
        self._widths[list(self.numbers)] = [charges.widths.get(s, 0.0) * length for s in elements]
        self._hardness[list(self.numbers)] = [charges.hardness.get(s, 0.0) * self._energy for s in elements]
        self._screening = None
        if charges.screening is not None:
            inner, outer, core = charges.screening
            self._screening = Screening(_CORES[core][0], inner * length, outer * length)
        self._end_sums_at(PRECISION)
        self._history: tuple[np.ndarray, ...] = ()
        self._before: tuple[np.ndarray, ...] = ()
        self._remembers = False

    def _end_sums_at(self, precision: float) -> None:
        """Let Ewald sums be so exact, where the charges' tolerance asks for it."""
        far = real_space_cutoff(float(self._widths.max()), precision, least_A=0.0)
        outer = 0.0 if self._screening is None else self._screening.outer_A
        self._far = self.cutoff = max(self._short.cutoff, far, outer)
        self._precision = precision

    @classmethod
    def read(cls, path: Path, length_unit: str | None = None, energy_unit: str | None = None) -> "FourthGeneration":
        """Read an n2p2 directory. Raises InputError and FileError as `hdnnp.files.reader.read_charged`.

        Warns (MdnnpWarning) of a Coulomb constant that is not that of the units.
        """
        potential = cls(*read_charged(path, length_unit, energy_unit))
        names = ("input.nn", "scaling.data", "mdnnp.toml")
        each = (sorted(path.glob(f"{kind}.*.data")) for kind in ("weights", "weightse", "hardness"))
        potential.files = (*(path / n for n in names if (path / n).exists()), *(file for some in each for file in some))
        if abs(potential._coulomb / COULOMB_EV_A - 1.0) > 1e-3:
            model, known = potential._short.model, potential._coulomb / COULOMB_EV_A
            warnings.warn(
                f"{path / 'input.nn'}: four_pi_epsilon = {potential.charge_model.four_pi_epsilon:g} in "
                f"{model.length_unit} and {model.energy_unit} makes the Coulomb energy {known:.4g} times what it is in "
                f"nature; are the units right? (e, {model.length_unit}, {model.energy_unit}: "
                f"{potential.charge_model.four_pi_epsilon * known:.6g})",
                MdnnpWarning,
                stacklevel=2,
            )
        return potential

    # --- computing -----------------------------------------------------------------------------------------

    def offsets(self, numbers: np.ndarray) -> np.ndarray:
        """(N,) eV: atomic offsets and mean energies."""
        return self._short.offsets(numbers)

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """Å, of the symmetry functions and of the real-space sum."""
        return (self._far,) if self._far <= _ONE_LIST * self._short.cutoff else (self._short.cutoff, self._far)

    def compute(self, system: System, neighbors: Neighbors | None = None, *, atomic_virials: bool = False) -> Results:
        """Energy, forces, virial and charges.

        An atomic energy is that of the network and half of the charge's in the potential of all. There are no
        per-atom virials: those of a global energy are a choice.
        Raises InputError for elements that it lacks and for one or two periodic directions, PhysicsError if the
        charges do not converge.
        """
        check_boundaries(system, self.source)
        total = self._total(system)
        if not math.isfinite(total):
            raise InputError(f"{self.source}: total_charge must be a number, found {total}")
        lists = self.neighbors_of(system, neighbors)
        near, far = (lists, lists) if isinstance(lists, NeighborList) else (lists[0], lists[-1])
        values = self._short.descriptors(system, near)
        outputs, slopes = self._of_charges(system.numbers, values)
        follow = self._equilibrated if self.charge_model.generation == "4G" else self._shifted
        found = follow(system, far, total, values, outputs)
        by_values = found.by_values + found.by_outputs[:, None] * slopes
        results = self._short.pull_back(system, near, by_values, found.energies)
        return results._replace(
            forces=results.forces + found.forces, virial=results.virial + found.virial, charges=found.charges
        )

    def _equilibrated(self, system: System, far: NeighborList, total: float, values, chi) -> "_Charged":
        """Fourth generation: charges of electronegativities chi (N,) eV/e."""
        hardness = self._hardness[system.numbers]
        coulomb = self._coulomb_of(system, far)
        equilibration = Equilibration(coulomb, hardness, self.solver, self.charge_tolerance, source=self.source)
        field, adjoint_field = self._expected(len(system))
        charges, image, field, products = equilibration.solution(-chi, total, field)
        screened = coulomb.screened(charges)
        energies, by_values, by_charges = self._short_range(system.numbers, values, charges)
        acting = image - hardness * charges + screened.potential
        largest = float(np.abs(acting).max())
        adjoint, _, adjoint_field, more = equilibration.solution(-(acting + by_charges), 0.0, adjoint_field, largest)
        self.products += products + more
        self._note(field, adjoint_field)
        residual = image + chi
        energies = energies + 0.5 * charges * acting + adjoint * (residual - residual.mean())
        pairs = coulomb.product(0.5 * charges + adjoint, charges)
        forces, virial = pairs.forces + screened.forces, pairs.virial + screened.virial
        return _Charged(charges, energies, by_values, adjoint, forces, virial)

    def _shifted(self, system: System, far: NeighborList, total: float, values, charges) -> "_Charged":
        """Third generation: charges (N,) e of networks, all shifted alike so that they add up to the total."""
        charges = charges + (total - charges.sum()) / len(charges)
        coulomb = self._coulomb_of(system, far)
        pairs, screened = coulomb.energy(charges), coulomb.screened(charges)
        energies, by_values, by_charges = self._short_range(system.numbers, values, charges)
        acting = pairs.potential + screened.potential
        slope = acting + by_charges
        forces, virial = pairs.forces + screened.forces, pairs.virial + screened.virial
        return _Charged(charges, energies + 0.5 * charges * acting, by_values, slope - slope.mean(), forces, virial)

    def _coulomb_of(self, system: System, far: NeighborList) -> Coulomb:
        """The charges' interaction, to rounding where it is a matrix, else as a run needs it."""
        precision = self._precision
        if not is_dense(len(system), self.solver):
            precision = max(precision, 0.3 * self.charge_tolerance)
        return Coulomb(
            system, self._widths[system.numbers], far, self._far, self._coulomb, self._screening, precision,
            source=self.source,
        )  # fmt: skip

    def converged(self) -> "FourthGeneration":
        """As `Potential.converged`."""
        exact = copy.copy(self)
        exact.charge_tolerance = min(self.charge_tolerance, 1e-13)
        exact._end_sums_at(1e-14)
        return exact

    @property
    def remembers(self) -> bool:
        """If charges are those of equations."""
        return self.charge_model.generation == "4G"

    def begin(self, memory: Mapping[str, np.ndarray] | None = None) -> None:
        """As `Potential.begin`."""
        self._history, self._remembers = tuple((memory or {}).get(_MEMORY, ())), True
        self._before, self.products = self._history, 0

    def memory(self) -> dict[str, np.ndarray]:
        """As `Potential.memory`: fields (k, 2, N) of charges and adjoint, of the evaluations before the last."""
        return {_MEMORY: np.array(self._before)} if self._before else {}

    def _expected(self, n: int) -> tuple[np.ndarray | float, np.ndarray | float]:
        """Fields of charges and adjoint (N,) to which the last ones lead, on a polynomial in time; zero without any."""
        past = [one for one in self._history if one.shape == (2, n)]
        if not past:
            return 0.0, 0.0
        field, adjoint_field = sum(
            (weight * one for weight, one in zip(_AHEAD[len(past) - 1], past, strict=True)), start=np.zeros((2, n))
        )
        return field, adjoint_field

    def _note(self, field: np.ndarray, adjoint_field: np.ndarray) -> None:
        if self._remembers:
            self._before = self._history
            self._history = (*self._history, np.stack([field, adjoint_field]))[-len(_AHEAD) :]

    def _total(self, system: System) -> float:
        return system.charge if self.total_charge is None else self.total_charge

    def _of_charges(self, numbers: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """chi (N,) eV/e, or charges (N,) e, of the networks, and derivatives by the raw functions (N, n)."""
        model = self.charge_model
        outputs, by_inputs, factors = self._of_networks(model.networks.values(), numbers, values, None)
        unit = self._energy if model.generation == "4G" else 1.0
        return outputs * unit, by_inputs[:, :-1] * factors * unit

    def _short_range(self, numbers, values, charges) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energies (N,) eV, derivatives by the raw functions (N, n) eV and by the charges (N,) eV/e."""
        model = self._short.model
        networks, scale = [part.network for part in model.elements.values()], self._energy / model.conv_energy
        conv = self.charge_model.conv_charge
        seen = charges * conv if self.charge_model.extra_inputs else None
        energies, by_inputs, factors = self._of_networks(networks, numbers, values, seen)
        return energies * scale, by_inputs[:, :-1] * factors * scale, by_inputs[:, -1] * (conv * scale)

    def _of_networks(self, networks, numbers, values, last) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Outputs (N,), derivatives (N, n + 1) by scaled functions and last input, factors of scaling (N, n)."""
        outputs, derivatives = np.zeros(len(numbers)), np.zeros((len(numbers), values.shape[1] + 1))
        factors = np.zeros_like(values)
        model = self._short.model
        for z, part, network in zip(self.numbers, model.elements.values(), networks, strict=True):
            atoms, n = np.flatnonzero(numbers == z), len(part.functions)
            factor, shift = scaling_coefficients(part, model)
            inputs = values[atoms, :n] * factor + shift
            if last is not None:
                inputs = np.concatenate([inputs, last[atoms, None]], axis=1)
            with one_blas_thread():
                outputs[atoms], gradient = network.gradient(inputs)
            derivatives[np.ix_(atoms, np.arange(n))] = gradient[:, :n]
            if last is not None:
                derivatives[atoms, -1] = gradient[:, n]
            factors[np.ix_(atoms, np.arange(n))] = factor
        return outputs, derivatives, factors

    # --- what a fit needs ---------------------------------------------------------------------------------

    def hardness_matrix(self, system: System) -> np.ndarray:
        """(N, N) eV/e^2: the matrix A of the equilibration, without the hardness."""
        return self._coulomb_of(system, self._far_of(system)).matrix()

    def responses(self, system: System, left: np.ndarray, charges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Forces (M, N, 3) and virials (M, 3, 3) of left_m E q, m < M, of left (M, N) and charges q (N,)."""
        coulomb = self._coulomb_of(system, self._far_of(system))
        products = [coulomb.product(one, charges) for one in left]
        return np.array([p.forces for p in products]), np.array([p.virial for p in products])

    def _far_of(self, system: System) -> NeighborList:
        lists = self.neighbors_of(system)
        return lists if isinstance(lists, NeighborList) else lists[-1]

    # --- description ---------------------------------------------------------------------------------------

    @property
    def reach(self) -> float:
        """Infinite: every charge depends on all atoms."""
        return np.inf

    @property
    def hdnnp(self) -> HDNNP:
        """Its symmetry functions, for what looks at them; the energy of this part alone means nothing."""
        return self._short

    @property
    def kind(self) -> str:
        """The model and its units."""
        model = self._short.model
        return f"{_NAMES[self.charge_model.generation]} in {model.length_unit}, {model.energy_unit}"

    def radii(self) -> list[float]:
        """Those of the symmetry functions and of the screening, Å. The Ewald sum has none."""
        screening = [] if self._screening is None else [self._screening.inner_A, self._screening.outer_A]
        return sorted({*self._short.radii(), *screening})

    def ingredients(self) -> list[Ingredient]:
        """Those of functions and networks, and the screening; the Coulomb energy itself has all derivatives."""
        found = set(self._short.ingredients())
        if self.charge_model.screening is not None:
            core = self.charge_model.screening[2]
            remedy = "choose a core of p2, p3 or p4, and refit"
            found.add(Ingredient(_CORES[core][1], f"core {core} of the screening of near charges", remedy))
        return sorted(found)

    def function_ingredients(self) -> dict[str, tuple[Ingredient, ...]]:
        """For each element, what limits each of its symmetry functions."""
        return self._short.function_ingredients()

    def all_extrapolations(self, system: System, results: Results) -> Extrapolation:
        """All functions out of range, with all their values."""
        return self._short.all_extrapolations(system, results)

    def remarks(self, system: System, results: Results) -> list[str]:
        """Whether a periodic system is charged, or the energy is far from those of the training set."""
        charged = charged_cell(self._total(system)) if system.pbc.any() else []
        return [*charged, *self._short.remarks(system, results)]

    def describe(self) -> list[str]:
        """The charges, and what is said of the symmetry functions."""
        charges, model = self.charge_model, self._short.model
        screening = "none"
        if charges.screening is not None:
            inner, outer, core = charges.screening
            screening = f"no charges act within {inner:g}, all beyond {outer:g} {model.length_unit}, core {core}, "
            screening += f"{order_name(_CORES[core][1])} there"
        total = "that of the structure" if self.total_charge is None else f"{self.total_charge:g} e"
        lines = [
            f"Charges       {_WAYS[charges.generation]}, total charge {total}",
            f"Screening     {screening}",
            f"Real space    {self._far:.6g} Å, of the Ewald sum of periodic systems",
            "",
            f"{'Charges':<9}{'nodes':<20}{'width / ' + model.length_unit:>18}   hardness / {model.energy_unit}",
        ]
        for symbol, network in charges.networks.items():
            nodes = "-".join(str(n) for n in [len(network.weights[0]), *(w.shape[1] for w in network.weights)])
            width, hardness = charges.widths.get(symbol, 0.0), charges.hardness.get(symbol, "-")
            lines.append(f"{symbol:<9}{nodes:<20}{width or 'a point':>18}   {hardness}")
        own = self._short.describe()
        return [own[0].replace("(HDNNP)", f"({_NAMES[charges.generation]})"), *own[1:], "", *lines]
