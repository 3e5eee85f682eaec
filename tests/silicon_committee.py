"""A committee of made-up potentials for silicon: a common part that binds, and a part of each member's own."""

import numpy as np

from mdnnp.potentials.hdnnp.files import write_potential
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel
from mdnnp.potentials.hdnnp.networks import Network

FUNCTIONS = tuple(
    sorted(
        [
            *(
                SymmetryFunction("Si", 2, ("Si",), 5.0, eta=eta, rs=rs)
                for eta, rs in ((0.3, 0.0), (2.0, 2.4), (2.0, 3.2))
            ),
            *(SymmetryFunction("Si", 3, ("Si", "Si"), 4.0, eta=0.1, lam=lam, zeta=2.0) for lam in (-1.0, 1.0)),
            SymmetryFunction("Si", 9, ("Si", "Si"), 4.5, eta=0.05, lam=1.0, zeta=4.0),
        ],
        key=SymmetryFunction.sort_key,
    )
)


def make_model(seed=0, spread=0.05, functions=FUNCTIONS, element="Si", **changes) -> HDNNPModel:
    """A network of random weights of which a share `spread` depends on the seed."""
    common, own = np.random.default_rng(100), np.random.default_rng(seed)
    n = len(functions)

    def draw(*shape):
        return (1 - spread) * common.normal(size=shape) + spread * own.normal(size=shape)

    network = Network((draw(n, 8) / n**0.5, 0.4 * draw(8, 1)), (draw(8) * 0.5, draw(1) * 0.1), "tl")
    scaling = np.column_stack([np.zeros(n), np.linspace(1, 6, n) + 0.1 * seed, np.linspace(0.5, 3, n), np.ones(n)])
    parts = {element: ElementModel(tuple(functions), scaling, network, atom_energy=-100.0 - 0.01 * seed)}
    defaults = {"cutoff_type": 6, "cutoff_alpha": 0.0, "scaling_mode": "scalecenter"}
    return HDNNPModel(parts, **(defaults | {"length_unit": "Angstrom", "energy_unit": "eV"} | changes))


def write_committee(path, n=3, **options):
    """Directory with member-1 .. member-n."""
    path.mkdir(exist_ok=True)
    for k in range(1, n + 1):
        write_potential(make_model(k, **options), path / f"member-{k}")
    return path
