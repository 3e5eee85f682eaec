"""Atom-centred symmetry functions: their definitions, and their order in a potential.

Definitions: J. Behler, J. Chem. Phys. 134, 074106 (2011) for types 2, 3, 9; M. Gastegger et al.,
J. Chem. Phys. 148, 241709 (2018) for the weighted types 12, 13; M. P. Bircher, A. Singraber, C. Dellago,
Mach. Learn.: Sci. Technol. 2, 035026 (2021) for the compact types 20-25. Numbering as in n2p2.
"""

from dataclasses import dataclass, replace

from ase.data import atomic_numbers

RADIAL = frozenset({2, 12, 20, 23})
ANGULAR = frozenset({3, 9, 13, 21, 22, 24, 25})
NARROW = frozenset({3, 13, 21, 24})  # angular functions with a factor of r_jk
WEIGHTED = frozenset({12, 13, 23, 24, 25})  # all neighbours, weighted with their atomic numbers
COMPACT = frozenset({20, 21, 22, 23, 24, 25})
TYPES = RADIAL | ANGULAR

# Names of the cutoff types 0-8, with the number of continuous derivatives at the cutoff radius (None: all).
CUTOFF_NAMES = ("hard", "cos", "tanhu", "tanh", "exp", "poly1", "poly2", "poly3", "poly4")
CUTOFF_SMOOTHNESS = (-1, 1, 2, 2, None, 1, 2, 3, 4)  # k of C^k; -1: the function itself jumps
LARGEST_CUTOFF = 100.0  # Å or Bohr: no potential reaches so far, and neighbours would fill the memory
CORE_NAMES = ("p1", "p2", "p3", "p4", "e", "p1a", "p2a", "p3a", "p4a")


@dataclass(frozen=True)
class SymmetryFunction:
    """One symmetry function, in the potential's native length unit and degrees.

    center : symbol of the centre's element
    type : 2, 3, 9, 12, 13 or 20-25
    neighbors : symbols of the neighbours' elements: one (radial), two in order of atomic number (angular),
        none (weighted types)
    cutoff : r_c; eta in 1/length^2; rs, rl in length; lam and zeta dimensionless; theta_l, theta_r in degrees;
        subtype: name of a compact core. Parameters that the type does not have keep their defaults.
    """

    center: str
    type: int
    neighbors: tuple[str, ...]
    cutoff: float
    eta: float = 0.0
    rs: float = 0.0
    lam: float = 0.0
    zeta: float = 0.0
    rl: float = 0.0
    theta_l: float = 0.0
    theta_r: float = 0.0
    subtype: str = ""

    def in_unit(self, length: float) -> "SymmetryFunction":
        """The same function in another unit of length, of which its own is `length`."""
        return replace(
            self,
            cutoff=self.cutoff * length,
            eta=self.eta / length**2,
            rs=self.rs * length,
            rl=self.rl * length,
        )

    def sort_key(self) -> tuple:
        """Key that puts the functions of one centre into the potential's order (n2p2's, not the file's)."""
        f = self
        elements = tuple(atomic_numbers[s] for s in f.neighbors)
        head = (atomic_numbers[f.center], f.type)
        if f.type == 2:
            return (*head, f.cutoff, f.eta, f.rs, *elements)
        if f.type in (3, 9):
            return (*head, f.cutoff, f.eta, f.rs, f.zeta, f.lam, *elements)
        if f.type == 12:
            return (*head, f.cutoff, f.eta, f.rs)
        if f.type == 13:
            return (*head, f.cutoff, f.eta, f.rs, f.zeta, f.lam)
        core = f.subtype.encode()
        if f.type in (20, 23):
            return (*head, core, *elements, f.cutoff, f.rl)
        return (*head, core, *elements, f.cutoff, f.rl, f.theta_l, f.theta_r)
