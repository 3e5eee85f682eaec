"""How well do ways of choosing symmetry functions serve? Errors on held-out structures, for one element.

    python analysis/function_selection.py DATA.xyz --cutoff 5.0 [-n 16 24 32 48] [-o figure.png]

Every fifth structure is held out; functions are chosen, and models fitted, on the others. Two models: one linear in
the functions, and a network whose hidden layer of tanh nodes has fixed random weights, so that both fits are linear
least squares of forces and energies and no optimiser blurs the comparison (G.-B. Huang et al., Neurocomputing 70, 489
(2006)).
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np

from mdnnp.base.report.style import STYLE
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import cost, default_functions, pool
from mdnnp.training.dataset import read_labelled
from mdnnp.training.selection import sample, select_functions

NODES = 250
WAYS = {
    "labels": {"method": "labels"},
    "labels, no discount": {"method": "labels", "sharing": 1.0},
    "spread": {"method": "spread"},
    "CUR": {"method": "cur"},
    "farthest point": {"method": "farthest"},
}


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--cutoff", type=float, required=True, help="Å")
    parser.add_argument("-n", type=int, nargs="+", default=[16, 24, 32, 48], help="numbers of functions")
    parser.add_argument("--max-zeta", type=int, default=4)
    parser.add_argument("--atoms", type=int, default=2500, help="atoms to fit on; half as many to test on")
    parser.add_argument("-o", "--output", help="figure to write")
    arguments = parser.parse_args()
    structures = read_labelled(arguments.data)
    (symbol,) = {s for x in structures for s in symbols(x)}
    held_out = sample(structures[2::5], arguments.atoms // 2)
    known = sample([s for k, s in enumerate(structures) if k % 5 != 2], arguments.atoms)
    candidates = pool([symbol], arguments.cutoff, max_zeta=arguments.max_zeta)
    print(f"{symbol}: {len(known)} structures to fit, {len(held_out)} held out, {len(candidates[symbol])} candidates")
    print(f"{'way':22}{'n':>4}{'sets of moments':>17}   {'linear':^20}   {'random network':^20}")
    print(f"{'':43}   {'F eV/Å':>9} {'E meV/atom':>10}   {'F eV/Å':>9} {'E meV/atom':>10}")
    results = {}

    def report(name, functions):
        linear, network = (errors(known, held_out, functions, symbol, nodes) for nodes in (0, NODES))
        own = cost(functions[symbol])
        results.setdefault(name, []).append((own.functions, network[0]))
        print(
            f"{name:22}{own.functions:4}{own.moment_sets:17}   {linear[0]:9.4f} {linear[1]:10.2f}   "
            f"{network[0]:9.4f} {network[1]:10.2f}",
            flush=True,
        )

    for radial, angular in ((6, 2), (9, 3), (10, 4), (14, 6)):
        grid = default_functions([symbol], arguments.cutoff, radial=radial, angular=angular,
                                 max_zeta=arguments.max_zeta)  # fmt: skip
        report("grid", grid)
    for name, settings in WAYS.items():
        for n in arguments.n:
            report(name, select_functions(known, candidates, n, **settings).functions)
    if arguments.output:
        draw(results, symbol, arguments.output)


def symbols(structure):
    """Chemical symbols of a structure."""
    from ase.data import chemical_symbols

    return {chemical_symbols[z] for z in structure.system.numbers}


def errors(known, held_out, functions, symbol, nodes):
    """Root mean square errors on `held_out` of forces, eV/Å, and energies, meV/atom; mean of two random networks."""
    found = []
    for seed in range(2 if nodes else 1):
        model = RandomNetwork(functions, symbol, known, nodes, seed)
        a, y, n_energies = model.equations(known)
        size = np.linalg.norm(a, axis=0)
        left, s, right = np.linalg.svd((a / size).T @ (a / size), hermitian=True)
        weights = right.T @ ((left.T @ ((a / size).T @ y)) / (s + 1e-10 * s[0])) / size
        a, y, n_energies = model.equations(held_out)
        residual = a @ weights - y
        e, f = residual[:n_energies] / model.energy_weight, residual[n_energies:]
        found.append((np.sqrt(np.mean(f**2)), 1000 * np.sqrt(np.mean(e**2))))
    return np.mean(found, axis=0)


class RandomNetwork:
    """sum_k w_k tanh(a_k.x + b_k) + w.x + c of scaled functions x, with random a and b: linear in the weights."""

    def __init__(self, functions, symbol, known, nodes, seed):
        self.descriptors, self.symbol, self.energy_weight = Descriptors(functions), symbol, 10.0
        g = np.concatenate([self.descriptors.values(s.system)[symbol] for s in known])
        self.mean, self.spread = g.mean(axis=0), g.std(axis=0)
        self.offset = np.mean([s.energy_eV / len(s.system) for s in known])
        rng = np.random.default_rng(seed)
        self.a = rng.standard_normal((g.shape[1], nodes))
        self.a *= 0.5 / np.std((g - self.mean) / self.spread @ self.a, axis=0) if nodes else 1.0
        self.b = rng.uniform(-1, 1, nodes)

    def equations(self, structures):
        """Rows and right-hand side: energies per atom, weighted, then forces; and the number of energies."""
        energy, force, labels, forces = [], [], [], []
        for s in structures:
            edges = self.descriptors.edges(s.system)
            jacobian = self.descriptors.jacobian(s.system, self.symbol, edges)
            x = (jacobian.values - self.mean) / self.spread
            p = np.tanh(x @ self.a + self.b)
            dx = jacobian.gradients / self.spread
            rows = np.concatenate([dx, (dx @ self.a) * (1 - p**2)[edges.i][:, None, :]], axis=2)
            out = np.zeros((len(s.system), 3, rows.shape[2]))
            np.add.at(out, edges.i, rows)
            np.subtract.at(out, edges.j, rows)
            constant = np.zeros((3 * len(s.system), 1))
            force.append(np.concatenate([constant, out.reshape(len(constant), -1)], axis=1))
            energy.append(np.concatenate([[1.0], x.mean(axis=0), p.mean(axis=0)]))
            labels.append(s.energy_eV / len(s.system) - self.offset)
            forces.append(s.forces.ravel())
        rows = np.concatenate([self.energy_weight * np.array(energy), *force])
        return rows, np.concatenate([self.energy_weight * np.array(labels), *forces]), len(labels)


def draw(results, symbol, path):
    """Held-out force error of the random network against the number of functions."""
    plt.rcParams.update(STYLE)
    figure, axes = plt.subplots(figsize=(5.0, 3.6), constrained_layout=True)
    for marker, (name, points) in zip("sovD^x", results.items(), strict=False):
        n, error = np.array(sorted(points)).T
        axes.plot(n, 1000 * error, marker=marker, ms=5, lw=1.2, label="default grid" if name == "grid" else name)
    axes.set(xlabel="Number of symmetry functions", ylabel="Held-out force error (meV/Å)", title=symbol, ylim=(0, None))
    axes.legend(fontsize=8)
    figure.savefig(path)


if __name__ == "__main__":
    main()
