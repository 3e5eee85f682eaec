"""Relaxation of positions and cell: L-BFGS, Newton-CG with products of the Hessian, FIRE.

Unknowns are steps from the present point: r_i -> (r_i + v_i)(1 + eta), cell -> cell (1 + eta), eta symmetric, which
lower the enthalpy H = E + P V. The gradient by v_i is -F_i, that by eta is sym(-virial) + P V. The strain is counted
as a length L eta, L = sqrt(N) (V/N)^(1/3) / 2, so that it is about as stiff as the atoms.

L-BFGS and the conjugate gradients inside Newton's method are preconditioned with a spring network between near
neighbours, exp(-3 (r/r_0 - 1)) (D. Packwood et al., J. Chem. Phys. 144, 164109 (2016)), which takes long waves as stiff
as short ones. L-BFGS: J. Nocedal, Math. Comput. 35, 773 (1980). Newton-CG in a trust region: T. Steihaug, SIAM J.
Numer. Anal. 20, 626 (1983). FIRE: E. Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.spacegroup import Symmetry
from mdnnp.atoms.system import System, volume
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.base.units import EV_PER_A3_IN_GPA
from mdnnp.landscape.preconditioner import Springs
from mdnnp.potentials.interface import Potential, Results

METHODS = ("lbfgs", "newton-cg", "fire")
PRODUCT_COST = 2.3  # force evaluations that a product with the Hessian takes (docs/guide/vibrations.md)
_MOST_MOVE_A = 0.25  # of an atom in one step
_SUFFICIENT = 1e-4  # Armijo's constant
_KEPT_PAIRS = 30
_APART = 20  # times the volume of the start
_USUAL_STIFFNESS = (
    60.0  # of an atom among its neighbours, eV/Å^2: that of covalent bonds, so that first steps are short
)


@dataclass(frozen=True)
class Goal:
    """What to relax, and when to stop.

    cell : relax the cell too, towards `pressure_GPa`
    force_tolerance : eV/Å, largest force on an atom; stress_tolerance_GPa : largest component
    fixed : atoms (from 0) that do not move; with `cell`, they move with the cell only
    keep_symmetry : keep the space group of the start (needs spglib)
    keep_volume : with `cell`, relax its shape at the volume of the start; the pressure then has no effect
    most_evaluations : give up after so many evaluations, products counted as PRODUCT_COST
    """

    cell: bool = False
    pressure_GPa: float = 0.0
    force_tolerance: float = 0.01
    stress_tolerance_GPa: float = 0.05
    fixed: tuple[int, ...] = ()
    keep_symmetry: bool = False
    most_evaluations: int = 2000
    keep_volume: bool = False


class Point(NamedTuple):
    """A configuration. gradient (N, 3), with three rows more for L eta if the cell moves; stress (3, 3) GPa."""

    system: System
    results: Results
    enthalpy: float
    gradient: np.ndarray
    max_force: float
    max_stress_GPa: float


@dataclass
class Relaxation:
    """How a relaxation ended. cost: evaluations, a product counted as PRODUCT_COST; history: a Point for each step."""

    point: Point
    converged: bool
    evaluations: int
    products: int
    steps: int
    reason: str
    history: list[Point] = field(repr=False, default_factory=list)

    @property
    def cost(self) -> float:
        """Force evaluations, a product counted as PRODUCT_COST of them."""
        return self.evaluations + PRODUCT_COST * self.products

    @property
    def exit_code(self) -> int:
        """Exit status of the command: 0, or that of a PhysicsError."""
        return 0 if self.converged else PhysicsError.exit_code

    def as_dict(self) -> dict:
        """The outcome in plain numbers."""
        start, end = self.history[0], self.point
        out = {
            "converged": self.converged,
            "reason": self.reason,
            "steps": self.steps,
            "force_evaluations": self.evaluations,
            "hessian_products": self.products,
            "cost_in_force_evaluations": round(self.cost, 1),
            "energy_eV": end.results.energy,
            "enthalpy_change_eV": end.enthalpy - start.enthalpy,
            "max_force_eV_per_A": end.max_force,
        }
        if end.system.pbc.all():
            stress = -0.5 * (end.results.virial + end.results.virial.T) / volume(end.system.cell)
            out |= {"volume_A3": volume(end.system.cell), "stress_GPa": (EV_PER_A3_IN_GPA * stress).tolist()}
        return out

    def text(self) -> str:
        """The report."""
        d = self.as_dict()
        lines = [
            "",
            f"{'Converged' if self.converged else 'NOT converged: ' + self.reason}: {self.steps} steps, "
            f"{self.evaluations} evaluations of the forces and {self.products} products with the Hessian "
            f"(cost {self.cost:.1f} evaluations)",
            f"energy        {d['energy_eV']:.8f} eV, enthalpy changed by {d['enthalpy_change_eV']:.6f} eV",
            f"largest force {d['max_force_eV_per_A']:.2e} eV/Å",
        ]
        if "stress_GPa" in d:
            s = d["stress_GPa"]
            components = " ".join(f"{v:.4f}" for v in (s[0][0], s[1][1], s[2][2], s[1][2], s[0][2], s[0][1]))
            lines.append(f"stress        {components} GPa (xx yy zz yz xz xy; positive: tension)")
            lines.append(f"volume        {d['volume_A3']:.4f} Å^3")
        extrapolations = self.point.results.extrapolation.count
        if extrapolations:
            lines.append(
                f"WARNING       {extrapolations} symmetry functions are outside the range of the training data"
            )
        return "\n".join(lines)


class OutOfEvaluations(Exception):
    """The allowed number of evaluations is used up."""


class FlewApart(Exception):
    """The cell grows without end."""


class Landscape:
    """Enthalpy, gradient and Hessian of a system under a `Goal`; counts evaluations and products."""

    def __init__(self, potential: Potential, system: System, goal: Goal):
        n = len(system)
        if goal.cell and not system.pbc.all():
            raise InputError("the cell can only be relaxed if it is periodic in three directions")
        bad = [a for a in goal.fixed if not 0 <= a < n]
        if bad:
            raise InputError(f"atom {bad[0]} is to be fixed, but atoms are counted from 0 to {n - 1}")
        self.potential, self.goal, self.n_atoms = potential, goal, n
        self.free = np.ones(n, bool)
        self.free[list(goal.fixed)] = False
        self.length = np.sqrt(n) * (volume(system.cell) / n) ** (1 / 3) / 2 if goal.cell else 1.0
        self.symmetry = Symmetry.find(system) if goal.keep_symmetry else None
        self.evaluations = self.products = 0
        self._pressure = goal.pressure_GPa / EV_PER_A3_IN_GPA
        self._neighbors = potential.make_lists(0.5)

    def evaluate(self, system: System) -> Point:
        """Energy and gradient. Raises OutOfEvaluations."""
        self._spend(1.0)
        self.evaluations += 1
        results = self.potential.compute(system, self._neighbors.update(system))
        rows, enthalpy, stress = [-results.forces], results.energy, 0.0
        if self.goal.cell:
            size = volume(system.cell)
            enthalpy += self._pressure * size
            by_strain = -0.5 * (results.virial + results.virial.T) + self._pressure * size * np.eye(3)
            rows.append(by_strain / self.length)
        gradient = self.project(np.concatenate(rows))
        if self.goal.cell:
            stress = np.abs(gradient[self.n_atoms :]).max() * self.length / size * EV_PER_A3_IN_GPA
        force = np.sqrt(np.square(gradient[: self.n_atoms]).sum(axis=1).max())
        return Point(system, results, enthalpy, gradient, float(force), float(stress))

    def done(self, point: Point) -> bool:
        """Whether the largest force (eV/Å) and stress (GPa) are within the goal."""
        return point.max_force <= self.goal.force_tolerance and point.max_stress_GPa <= self.goal.stress_tolerance_GPa

    def project(self, x: np.ndarray) -> np.ndarray:
        """The vector without the components that may not move."""
        x = x.copy()
        if self.symmetry is not None:
            x[: self.n_atoms] = self.symmetry.of_vectors(x[: self.n_atoms])
            if self.goal.cell:
                x[self.n_atoms :] = self.symmetry.of_strain(x[self.n_atoms :])
        if self.goal.keep_volume:
            x[self.n_atoms :] -= np.trace(x[self.n_atoms :]) / 3 * np.eye(len(x) - self.n_atoms, 3)
        x[: self.n_atoms][~self.free] = 0.0
        return x

    def moved(self, system: System, step: np.ndarray) -> System:
        """The system after a step."""
        positions, cell = system.positions + step[: self.n_atoms], system.cell
        if self.goal.cell:
            change = np.eye(3) + step[self.n_atoms :] / self.length
            if self.goal.keep_volume:
                change /= np.cbrt(np.linalg.det(change))
            positions, cell = positions @ change, cell @ change
        return system._replace(positions=positions, cell=cell)

    def product(self, point: Point, p: np.ndarray) -> np.ndarray:
        """The Hessian of the enthalpy times a direction, up to terms with the gradient. Raises OutOfEvaluations."""
        self._spend(PRODUCT_COST)
        self.products += 1
        neighbors = self._neighbors.update(point.system)
        if not self.goal.cell:
            return self.project(self.potential.hessian_vector_product(point.system, p, neighbors))
        v, eta = p[: self.n_atoms], p[self.n_atoms :] / self.length
        forces_t, virial_t = self.potential.results_derivative(point.system, v, eta, neighbors, point.results)
        size = volume(point.system.cell)
        by_strain = -0.5 * (virial_t + virial_t.T) + self._pressure * size * np.trace(eta) * np.eye(3)
        return self.project(np.concatenate([-forces_t, by_strain / self.length]))

    def longest_move(self, step: np.ndarray) -> float:
        """The longest move of an atom in a step, Å; a strain of 0.03 counts as one of _MOST_MOVE_A."""
        longest = np.sqrt(np.square(step[: self.n_atoms]).sum(axis=1).max(initial=0.0))
        strain = np.abs(step[self.n_atoms :]).max(initial=0.0) / self.length
        return float(max(longest, strain / 0.03 * _MOST_MOVE_A))

    def _spend(self, cost):
        if self.evaluations + PRODUCT_COST * self.products + cost > self.goal.most_evaluations:
            raise OutOfEvaluations


def relax(
    potential: Potential,
    system: System,
    goal: Goal | None = None,
    method: str = "lbfgs",
    each: Callable[[Landscape, Point], None] = lambda landscape, point: None,
) -> Relaxation:
    """Relax a system; `each` is called at the start and after every step that was taken.

    Raises InputError for a goal that makes no sense for this system. Not to converge is no error: see `converged`.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    landscape = Landscape(potential, system, goal or Goal())
    history: list[Point] = []

    def keep(point):
        history.append(point)
        each(landscape, point)

        if landscape.goal.cell and volume(point.system.cell) > _APART * volume(system.cell):
            raise FlewApart

    minimise = {"lbfgs": _lbfgs, "newton-cg": _newton, "fire": _fire}[method]
    try:
        keep(landscape.evaluate(system))
        reason = minimise(landscape, history, keep)
    except OutOfEvaluations:
        reason = f"gave up after {landscape.goal.most_evaluations} evaluations"
    except FlewApart:
        reason = f"the system flies apart: its volume is more than {_APART} times that of the start"
    converged = landscape.done(history[-1])
    return Relaxation(
        history[-1], converged, landscape.evaluations, landscape.products, len(history) - 1,
        "converged" if converged else reason, history,
    )  # fmt: skip


def _dot(a, b) -> float:
    return float(np.vdot(a, b))


def _lbfgs(landscape: Landscape, history: list[Point], keep) -> str:
    springs = Springs(history[-1].system, landscape.potential.cutoff, landscape.free)
    pairs: deque = deque(maxlen=_KEPT_PAIRS)
    stiffness = _USUAL_STIFFNESS / springs.stiffness  # eV/Å^2, of the springs; after one step it is measured
    while not landscape.done(history[-1]):
        point = history[-1]
        step = _two_loops(landscape, springs, point.gradient, pairs, stiffness)
        slope = _dot(step, point.gradient)
        if slope >= 0.0:
            pairs.clear()
            step = -landscape.project(springs.solve(point.gradient)) / stiffness
            slope = _dot(step, point.gradient)
        reached, taken = _backtrack(landscape, point, step, slope)
        if reached is None:
            if not pairs:
                return "no step along the forces lowers the energy: the potential is not smooth here"
            pairs.clear()
            continue
        y = reached.gradient - point.gradient
        if _dot(taken, y) > 1e-12 * np.sqrt(_dot(taken, taken) * _dot(y, y)):
            pairs.append((taken, y))
        keep(reached)
    return "converged"


def _two_loops(landscape, springs, gradient, pairs, stiffness):
    q, alphas = gradient.copy(), []
    for s, y in reversed(pairs):
        a = _dot(s, q) / _dot(s, y)
        alphas.append(a)
        q -= a * y
    if pairs:
        s, y = pairs[-1]
        solved = landscape.project(springs.solve(y))
        z = landscape.project(springs.solve(q)) * (_dot(s, y) / _dot(y, solved))
    else:
        z = landscape.project(springs.solve(q)) / stiffness
    for (s, y), a in zip(pairs, reversed(alphas), strict=True):
        z += s * (a - _dot(y, z) / _dot(s, y))
    return -z


def _backtrack(landscape, point, step, slope):
    """The first point along a step that is low enough, and the step taken; None if there is none."""
    longest = landscape.longest_move(step)
    scale = min(1.0, _MOST_MOVE_A / longest)
    noise = 1e-13 * (abs(point.enthalpy) + 1.0)
    for _ in range(8):
        reached = landscape.evaluate(landscape.moved(point.system, scale * step))
        rise = reached.enthalpy - point.enthalpy
        if rise <= _SUFFICIENT * scale * slope + noise:
            return reached, scale * step
        # the minimum of the parabola through both energies and the slope
        scale *= float(np.clip(-0.5 * scale * slope / (rise - scale * slope), 0.1, 0.5))
    return None, None


def _newton(landscape: Landscape, history: list[Point], keep) -> str:
    springs = Springs(history[-1].system, landscape.potential.cutoff, landscape.free)
    reach = _MOST_MOVE_A
    while not landscape.done(history[-1]):
        point = history[-1]
        step, fall, at_boundary = _steihaug(landscape, springs, point, reach)
        reached = landscape.evaluate(landscape.moved(point.system, step))
        gain = point.enthalpy - reached.enthalpy
        noise = 1e-13 * (abs(point.enthalpy) + 1.0)
        ratio = 1.0 if abs(gain) < noise and fall < 10 * noise else gain / fall
        if ratio < 0.25:
            reach = 0.25 * landscape.longest_move(step)
        elif ratio > 0.75 and at_boundary:
            reach = min(2.0 * reach, 4 * _MOST_MOVE_A)
        if ratio > _SUFFICIENT:
            keep(reached)
        elif reach < 1e-8:
            return "no step along the forces lowers the energy: the potential is not smooth here"
    return "converged"


def _steihaug(landscape, springs, point, reach):
    """Step towards the minimum of the quadratic model within moves of `reach`, its predicted fall, whether it hit."""
    g = point.gradient
    z, bent = np.zeros_like(g), np.zeros_like(g)  # step, Hessian times step
    r = g.copy()
    solved = landscape.project(springs.solve(r))
    d, rz = -solved, _dot(r, solved)
    # loose far away, tight enough in the end that one step more is not needed
    wanted = min(0.3, np.sqrt(point.max_force / 5.0)) * np.linalg.norm(g)
    wanted = max(wanted, 0.3 * landscape.goal.force_tolerance)
    hit = False
    for _ in range(g.size):
        hd = landscape.product(point, d)
        curvature = _dot(d, hd)
        step = rz / curvature if curvature > 0.0 else np.inf
        room = _room(landscape, z, d, reach)
        if step >= room:
            z, bent, hit = z + room * d, bent + room * hd, True
            break
        z, bent, r = z + step * d, bent + step * hd, r + step * hd
        if np.linalg.norm(r) < wanted:
            break
        solved = landscape.project(springs.solve(r))
        rz, before = _dot(r, solved), rz
        d = -solved + (rz / before) * d
    return z, -(_dot(g, z) + 0.5 * _dot(z, bent)), hit


def _room(landscape, z, d, reach) -> float:
    """How far one can go from z along d until a move is `reach`, by bisection."""
    high = reach / max(landscape.longest_move(d), 1e-300)
    while landscape.longest_move(z + high * d) < reach:
        high *= 2.0
    low = 0.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if landscape.longest_move(z + middle * d) < reach else (low, middle)
    return low


def _fire(landscape: Landscape, history: list[Point], keep) -> str:
    dt, mixing, good = 0.1, 0.1, 0
    v = np.zeros_like(history[-1].gradient)
    while not landscape.done(history[-1]):
        point = history[-1]
        f = -point.gradient
        if _dot(f, v) > 0.0:
            v = (1.0 - mixing) * v + mixing * np.linalg.norm(v) / np.linalg.norm(f) * f
            good += 1
            if good > 5:
                dt, mixing = min(1.1 * dt, 0.5), 0.99 * mixing
        else:
            v, dt, mixing, good = np.zeros_like(v), 0.5 * dt, 0.1, 0
        v = v + dt * f
        step = dt * v
        step *= min(1.0, _MOST_MOVE_A / max(landscape.longest_move(step), 1e-300))
        keep(landscape.evaluate(landscape.moved(point.system, step)))
    return "converged"
