"""Charges that belong to the elements, as a potential or a term of a sum."""

import math
from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers

from mdnnp.atoms.neighbors import NeighborList
from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError
from mdnnp.potentials.electrostatics.coulomb import (
    PRECISION,
    Coulomb,
    charged_cell,
    check_boundaries,
    real_space_cutoff,
)
from mdnnp.potentials.interface import Neighbors, Potential, Results
from mdnnp.potentials.keys import check_keys, check_number


class FixedCharges(Potential):
    """Coulomb energy of a charge for each element; energies of Gaussians with themselves are left out.

    charges_e : symbol -> charge; they need not add up to zero, see `coulomb`
    widths_A : symbol -> width of a Gaussian charge; those not given are points
    Raises InputError for unknown elements, values that are not finite, and negative widths.
    """

    has_charges = True

    def __init__(
        self, charges_e: Mapping[str, float], widths_A: Mapping[str, float] | None = None, source: str = "charges"
    ):
        widths_A = widths_A or {}
        if not charges_e:
            raise InputError(f"{source}: needs a charge for each element, as in charges_e = {{ Na = 1, Cl = -1 }}")
        for symbol, value in (*charges_e.items(), *widths_A.items()):
            if symbol not in atomic_numbers or symbol == "X":
                raise InputError(f"{source}: unknown element {symbol!r}")
            if not math.isfinite(value):
                raise InputError(f"{source}: {symbol} = {value} is not finite")
        for symbol, width in widths_A.items():
            if symbol not in charges_e:
                raise InputError(f"{source}: {symbol} has a width, but no charge")
            if width < 0.0:
                raise InputError(f"{source}: the width of {symbol} must not be negative, found {width:g} Å")
        self.charges_e = dict(sorted(charges_e.items(), key=lambda item: atomic_numbers[item[0]]))
        self.widths_A = {symbol: float(widths_A.get(symbol, 0.0)) for symbol in self.charges_e}
        self.numbers, self.source = tuple(atomic_numbers[symbol] for symbol in self.charges_e), source
        self._charge, self._width = np.zeros(max(self.numbers) + 1), np.zeros(max(self.numbers) + 1)
        self._charge[list(self.numbers)] = list(self.charges_e.values())
        self._width[list(self.numbers)] = list(self.widths_A.values())
        self.cutoff = real_space_cutoff(float(self._width.max()))

    @classmethod
    def from_table(cls, table: dict, source: str) -> "FixedCharges":
        """From the keys of a potential file: charges_e and widths_A, tables by element. Raises InputError."""
        check_keys(table, {"charges_e", "widths_A"}, source)
        for name in ("charges_e", "widths_A"):
            own = table.get(name, {})
            if not isinstance(own, dict):
                raise InputError(f"{source}: {name} must be a table such as {{ Na = 1, Cl = -1 }}, found {own!r}")
            for symbol, value in own.items():
                check_number(f"{name}.{symbol}", value, source)
        return cls(table.get("charges_e", {}), table.get("widths_A"), source)

    def compute(self, system: System, neighbors: Neighbors | None = None, *, atomic_virials: bool = False) -> Results:
        """Energy, forces, virial, charges; an atomic energy is half of that of the charge in the potential of all.

        There are no per-atom virials. Raises InputError for other elements and for one or two periodic directions.
        """
        check_boundaries(system, self.source)
        own = self.neighbors_of(system, neighbors)
        (listed,) = (own,) if isinstance(own, NeighborList) else own
        charges = self._charge[system.numbers]
        coulomb = Coulomb(system, self._width[system.numbers], listed, self.cutoff, source=self.source)
        whole = coulomb.energy(charges)
        energies = 0.5 * charges * (whole.potential - coulomb.self_potential * charges)
        return Results(
            float(energies.sum()), energies, whole.forces, whole.virial, np.empty((0, 3, 3)), charges=charges
        )

    @property
    def reach(self) -> float:
        """Infinite."""
        return np.inf

    @property
    def kind(self) -> str:
        """Fixed charges."""
        return "fixed charges"

    def radii(self) -> list[float]:
        """None: the Ewald sum ends where nothing is left."""
        return []

    def remarks(self, system: System, results: Results) -> list[str]:
        """Whether a periodic system is charged."""
        total = float(self._charge[system.numbers].sum())
        return charged_cell(total) if system.pbc.any() else []

    def describe(self) -> list[str]:
        """Charges and widths."""
        lines = [
            f"Potential     {self.source} (fixed charges)",
            "Units         Angstrom, eV",
            f"Real space    {self.cutoff:.6g} Å, of the Ewald sum of periodic systems, which ends at {PRECISION:g}",
        ]
        for symbol, charge in self.charges_e.items():
            width = self.widths_A[symbol]
            lines.append(f"{symbol:<13} {charge:+g} e, " + (f"Gaussian of width {width:g} Å" if width else "a point"))
        return lines
