"""The D3(BJ) dispersion correction, by the library `dftd3`, as a term of a sum.

S. Grimme, J. Antony, S. Ehrlich, H. Krieg, J. Chem. Phys. 132, 154104 (2010); damping: S. Grimme, S. Ehrlich, L.
Goerigk, J. Comput. Chem. 32, 1456 (2011). Coordination numbers and three-body energies make it a potential of many
bodies whose sums reach far: it takes no neighbour list, and its second derivatives are differences.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from mdnnp.atoms.system import System, complete_cell
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.base.units import energy_in_ev, length_in_angstrom
from mdnnp.potentials.interface import Neighbors, Potential, Results, check_elements
from mdnnp.potentials.keys import check_keys

_MOST_Z = 94
_USUAL_A = 12.0  # within which most of the energy is: the size of what checks cut out
# Where C6 = 300 au gives force constants 42 C6 / r^8 of 1e-4 eV/Å^2, far below those of soft molecular crystals.
_NEAR_A = 10.0
_BOHR_A, _HARTREE_EV = length_in_angstrom("Bohr"), energy_in_ev("Hartree")
_ENDS = f"{60 * _BOHR_A:.1f} Å (pairs) and {40 * _BOHR_A:.1f} Å (triples, coordination)"


class D3(Potential):
    """Dispersion energy with Becke-Johnson damping for a density functional.

    functional : name that `dftd3` knows, as "pbe", "revpbe", "rpbe", "b3lyp"
    three_body : add the Axilrod-Teller-Muto energy (the library's s9 = 1), as "D3(BJ)-ATM"
    Sums end at 60 bohr (pairs) and 40 bohr (triples, coordination) without a switch, where the energy jumps by
    some 1e-8 eV an atom. The library's forces and virial leave the jumps out: the pressure of silicon is off by
    0.005 GPa. Raises InputError without `dftd3` or for a functional that it does not know.
    """

    def __init__(self, functional: str, three_body: bool = False, source: str = "D3"):
        try:
            from dftd3.interface import RationalDampingParam
        except ImportError:
            raise InputError(f"{source}: the dispersion correction needs dftd3: pip install dftd3") from None
        try:
            self._damping = RationalDampingParam(method=functional, atm=three_body)
        except (RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"{source}: dftd3 has no parameters for functional {functional!r}: {error}") from None
        self.functional, self.three_body, self.source = functional, three_body, source
        self.numbers, self.cutoff = tuple(range(1, _MOST_Z + 1)), _USUAL_A
        self.unswitched = f"dftd3 ends the sums of D3(BJ) at {_ENDS}, without a switch"

    @classmethod
    def from_table(cls, table: dict, source: str) -> "D3":
        """From the keys of a potential file: functional, three_body. Raises InputError."""
        check_keys(table, {"functional", "three_body"}, source)
        functional, three_body = table.get("functional"), table.get("three_body", False)
        if not isinstance(functional, str):
            raise InputError(f'{source}: needs functional = "pbe" or another name, found {functional!r}')
        if not isinstance(three_body, bool):
            raise InputError(f"{source}: three_body must be true or false, found {three_body!r}")
        return cls(functional, three_body, source)

    def compute(self, system: System, neighbors: Neighbors | None = None, *, atomic_virials: bool = False) -> Results:
        """Energy, forces and virial; atomic energies are halves of the pairs' and thirds of the triples'.

        There are no per-atom virials. Raises InputError for elements beyond plutonium.
        """
        check_elements(self, system.numbers)
        from dftd3.interface import DispersionModel

        cell = complete_cell(system.cell, system.pbc) if system.pbc.any() else None
        with threadpool_limits(1, user_api="openmp"):  # sums of several threads have no fixed order
            model = DispersionModel(
                system.numbers, system.positions / _BOHR_A, None if cell is None else cell / _BOHR_A, system.pbc
            )
            found = model.get_dispersion(self._damping, grad=True)
            pairs = model.get_pairwise_dispersion(self._damping)
        energy = float(found["energy"]) * _HARTREE_EV
        if not np.isfinite(energy):
            raise PhysicsError(f"{self.source}: the dispersion energy is not finite; do two atoms overlap?")
        each = sum(pairs[name].sum(axis=1) for name in ("additive pairwise energy", "non-additive pairwise energy"))
        return Results(
            energy=energy,
            atomic_energies=each * _HARTREE_EV,
            forces=-found["gradient"] * (_HARTREE_EV / _BOHR_A),
            virial=-found["virial"] * _HARTREE_EV,
            atomic_virials=np.empty((0, 3, 3)),
        )

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """None: the library finds its neighbours itself."""
        return ()

    @property
    def reach(self) -> float:
        """Infinite, for what is exact within a reach: coordination numbers and pairs reach 100 bohr together."""
        return np.inf

    @property
    def near_reach(self) -> float:
        """Å: beyond it force constants are below 1e-4 eV/Å^2."""
        return _NEAR_A

    def radii(self) -> list[float]:
        """None: there is no cutoff to test."""
        return []

    @property
    def kind(self) -> str:
        """D3(BJ) and its functional."""
        return f"D3(BJ){'-ATM' if self.three_body else ''} for {self.functional}"

    def describe(self) -> list[str]:
        """Functional, library and cutoffs."""
        from importlib.metadata import version

        return [
            f"Potential     {self.source} ({self.kind})",
            f"Library       dftd3 {version('dftd3')}",
            f"Cutoff        {_ENDS}, without a switch",
        ]
