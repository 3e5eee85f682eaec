"""Charges and short-range networks fitted together, to energies and forces alone.

With q the charges of the equilibration, (E + J) q + lambda = -chi with sum q = Q, and M the interaction E without the
Gaussians' own energies, U = 1/2 q M q + sum_i N(G_i, q_i). The adjoint l = -S (M q + dN/dq), where S is the inverse on
changes that keep the sum, gives the derivative by a parameter p of electronegativities or hardness,

    dU/dp = l . b,      b = dchi/dp + dJ/dp q,

without derivatives of charges. Forces are -dU/dR, so that their derivatives are -d(l . b)/dR, with

    dl/dR = -S [dE/dR (q + l) + M dq/dR + d(dN/dq)/dR],      dq/dR = -S (dE/dR q + dchi/dR),

all of them exact, so that the fit is one of least squares as any other. S. A. Ghasemi et al., Phys. Rev. B 92, 045131
(2015) fit electronegativities to energies and forces.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.system import System
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.zbl import COULOMB_EV_A
from mdnnp.training.charge_fit import ROOT, ChargeLoss, Solved, charged_part, of_chi
from mdnnp.training.derivatives import (
    CenterPass,
    Layout,
    Predictions,
    add_tangent_rows,
    center_pass,
    jacobian,
    mapped,
    predict,
)
from mdnnp.training.descriptor_store import Part, StoredDescriptors
from mdnnp.training.loss import Labels, Loss, Tolerances
from mdnnp.training.network_inputs import Inputs


class Interaction(NamedTuple):
    """Of a structure: M (N, N) eV/e^2, and dE_jk/dr_j (N, N, 3) eV/(e^2 Å)."""

    matrix: np.ndarray
    pairs: np.ndarray

    def moved(self, left: np.ndarray, v: np.ndarray) -> np.ndarray:
        """(M, N, 3): derivatives of left E v by the position of each atom, of left (M, N) and v (N,)."""
        by_first = np.einsum("ajx,j->ax", self.pairs, v)
        return left[:, :, None] * by_first + np.einsum("mj,ajx->max", left, self.pairs) * v[:, None]


def interaction(potential: FourthGeneration, system: System, matrix: np.ndarray) -> Interaction:
    """Of charges without screening; matrix : E (N, N), with the Gaussians' own energies."""
    n = len(system)
    pairs = potential.responses(system, np.eye(n), np.ones(n))[0]
    pairs[np.arange(n), np.arange(n)] = 0.0
    widths = np.array([potential.charge_model.widths[chemical_symbols[z]] for z in system.numbers])
    return Interaction(matrix - np.diag(COULOMB_EV_A / (math.sqrt(math.pi) * widths)), pairs)


class _State(NamedTuple):
    """A structure with some parameters: charges, their derivatives (N, N, 3), the short-range networks' inputs."""

    solved: Solved
    by_position: np.ndarray
    parts: list[Part]


class JointLoss(Loss):
    """The loss of energies and forces, by the weights of short-range networks, then the parameters of `charges`.

    charges : the equilibration of all structures, whose labels do not count
    stored : of the functions alone; layout, inputs : of the short-range networks, the last raw input is the charge
    Raises ValueError if there are stresses to fit.
    """

    def __init__(
        self,
        charges: ChargeLoss,
        interactions: Sequence[Interaction],
        stored: StoredDescriptors,
        layout: Layout,
        inputs: Sequence[Inputs],
        labels: Labels,
        tolerances: Tolerances,
        prior: float,
        begin: int,
        end: int,
    ):
        super().__init__(stored, layout, inputs, labels, tolerances, prior, begin, end)
        if self.want_strain:
            raise ValueError("stresses cannot be fitted")
        self.charges, self.interactions = charges, interactions

    @property
    def n_parameters(self) -> int:
        """Of networks and charges."""
        return self.layout.n_parameters + self.charges.n_parameters

    def parts(self, begin: int, end: int) -> range:
        """The structures, as all that predictions need follows from the parameters."""
        return range(begin, end)

    def predict(self, parts: range, theta: np.ndarray) -> Predictions:
        """Energies without offsets, and forces."""
        each = [self._predicted(theta, s, self._state(theta, s)) for s in parts]
        return Predictions(*(np.concatenate(own) for own in zip(*each, strict=True)))

    def jacobian(self, parts: range, theta: np.ndarray) -> tuple[Predictions, np.ndarray]:
        """Predictions and their derivatives (S + 3 A, P), as `derivatives.jacobian`."""
        predictions, rows = zip(*(self._rows(theta, s) for s in parts), strict=True)
        ordered = np.concatenate([*(r[:1] for r in rows), *(r[1:] for r in rows)])
        return Predictions(*(np.concatenate(own) for own in zip(*predictions, strict=True))), ordered

    def pulled_back(self, parts: range, theta: np.ndarray, upstream: Predictions) -> np.ndarray:
        """As `derivatives.gradient`."""
        rows = self.jacobian(parts, theta)[1]
        by_rows = [upstream.energies, upstream.forces.ravel()] if self.want_forces else [upstream.energies]
        return np.concatenate(by_rows) @ rows

    def _state(self, theta: np.ndarray, s: int) -> _State:
        c, atoms = self.charges, self.charges.atoms[s]
        solved = c.solve(theta[self.layout.n_parameters :], s)
        slopes = [p.gradient @ x.matrix.T for p, x in zip(solved.passes, c.inputs, strict=True)]
        chi_moved, chi_strained = of_chi(self.stored, s, atoms, slopes)
        q, inverse = solved.charges, solved.inverse
        by_position = -self.interactions[s].moved(inverse, q) - np.tensordot(inverse, chi_moved, 1)
        n = np.array([len(q)])
        parts = [
            mapped(charged_part(self.stored.part(e, s, s + 1), n, [own], [q], [by_position], [0.0 * chi_strained]), x)
            for e, own, x in zip(self.stored.elements, atoms, self.inputs, strict=True)
        ]
        return _State(solved, by_position, parts)

    def _predicted(self, theta: np.ndarray, s: int, state: _State) -> Predictions:
        return self._with_charges(predict(state.parts, self.layout, theta, False), s, state)

    def _with_charges(self, short: Predictions, s: int, state: _State) -> Predictions:
        """What the charges' interaction adds."""
        q, interaction = state.solved.charges, self.interactions[s]
        potential = interaction.matrix @ q
        forces = -0.5 * interaction.moved(q[None], q)[0] - np.tensordot(potential, state.by_position, 1)
        return Predictions(short.energies + 0.5 * q @ potential, short.forces + forces, short.strain)

    def _rows(self, theta: np.ndarray, s: int) -> tuple[Predictions, np.ndarray]:
        """Predictions of a structure, and their derivatives by all parameters: the energy, then forces."""
        state, c = self._state(theta, s), self.charges
        solved, q, inverse = state.solved, state.solved.charges, state.solved.inverse
        short, by_networks = jacobian(state.parts, self.layout, theta, self.want_forces, False)
        by_charge, moved = self._slope_of_charge(theta, s, state)
        interaction = self.interactions[s]
        adjoint = -inverse @ (interaction.matrix @ q + by_charge)
        own = theta[self.layout.n_parameters :]
        driving = c.driving(own, s, solved)
        rows = (adjoint @ driving)[None]
        if self.want_forces:
            moved = moved + np.tensordot(interaction.matrix, state.by_position, 1)
            by_position = -interaction.moved(inverse, q + adjoint) - np.tensordot(inverse, moved, 1)
            by_force = -np.tensordot(by_position, driving, (0, 0))
            for e, (symbol, atoms) in enumerate(zip(self.stored.elements, c.atoms[s], strict=True)):
                part = mapped(self.stored.part(symbol, s, s + 1), c.inputs[e])
                u = part.pair_gradient * adjoint[atoms][part.pair_center, None, None].astype(part.pair_gradient.dtype)
                weights, _ = c.layout.matrices(e, own)
                add_tangent_rows(part.pair_first, part.pair_center, u, solved.passes[e], weights, c.layout, e, by_force)
                hardness = ROOT * c.hardness(own)[e]
                column = np.tensordot(adjoint[atoms], state.by_position[atoms], 1)
                by_force[:, :, c.layout.n_parameters + e] -= hardness * column
            rows = np.concatenate([rows, by_force.reshape(-1, rows.shape[1])])
        return self._with_charges(short, s, state), np.concatenate(
            [by_networks, rows.astype(by_networks.dtype)], axis=1
        )

    def _slope_of_charge(self, theta: np.ndarray, s: int, state: _State) -> tuple[np.ndarray, np.ndarray]:
        """dN/dq (N,) of the short-range networks, and its derivatives by positions (N, N, 3)."""
        n = len(state.solved.charges)
        slope, moved = np.zeros(n), np.zeros((n, n, 3))
        for e, (atoms, part, x) in enumerate(zip(self.charges.atoms[s], state.parts, self.inputs, strict=True)):
            weights, biases = self.layout.matrices(e, theta)
            passed = center_pass(part.values, weights, biases, self.layout.activations)
            slope[atoms] = passed.gradient @ x.matrix[-1]
            bent = _bent(passed, weights, x.matrix[-1])
            by = np.repeat(np.arange(n), np.diff(part.pair_first))
            moved[atoms[part.pair_center], by] = np.einsum("mcf,mf->mc", part.pair_gradient, bent[part.pair_center])
        return slope, moved


def _bent(p: CenterPass, weights: Sequence[np.ndarray], along: np.ndarray) -> np.ndarray:
    """(n, f): derivatives of the networks' gradients along a direction (f,) of their inputs."""
    tangent, moved = np.broadcast_to(along, p.z[0].shape), []
    for w, slope in zip(weights, p.slope, strict=True):
        moved.append(tangent @ w)
        tangent = moved[-1] * slope
    down = np.zeros_like(p.z[-1])
    for layer in reversed(range(len(weights))):
        down = (down * p.slope[layer] + moved[layer] * p.curvature[layer] * p.back[layer]) @ weights[layer].T
    return down
