"""Molecular dynamics with Behler-Parrinello high-dimensional neural network potentials.

    from mdnnp import load_potential, make_system
    potential = load_potential("my_potential", length_unit="Bohr", energy_unit="Hartree")
    results = potential.compute(make_system(positions, numbers, cell, pbc=True))

Names are imported when they are first used, so that `import mdnnp` stays light.
"""

from importlib import import_module

__version__ = "0.1.0"

_EXPORTS = {
    "load_potential": "mdnnp.potentials.load",
    "HDNNP": "mdnnp.potentials.hdnnp.potential",
    "LennardJones": "mdnnp.potentials.lennard_jones",
    "Results": "mdnnp.potentials.interface",
    "Potential": "mdnnp.potentials.interface",
    "TotalPotential": "mdnnp.potentials.total",
    "Committee": "mdnnp.potentials.committee",
    "ZBL": "mdnnp.potentials.zbl",
    "System": "mdnnp.atoms.system",
    "make_system": "mdnnp.atoms.system",
    "neighbor_list": "mdnnp.atoms.neighbors",
    "VerletList": "mdnnp.atoms.neighbors",
    "read_structures": "mdnnp.atoms.read",
    "set_threads": "mdnnp.base.compiled.jit",
    "Trajectory": "mdnnp.trajectory",
    "Descriptors": "mdnnp.potentials.hdnnp.functions.descriptors",
    "default_functions": "mdnnp.potentials.hdnnp.functions.generate",
    "read_labelled": "mdnnp.training.dataset",
    "choose_functions": "mdnnp.training.selection",
    "InputError": "mdnnp.base.errors",
    "PhysicsError": "mdnnp.base.errors",
    "FileError": "mdnnp.base.errors",
    "MdnnpWarning": "mdnnp.base.errors",
    "read_config": "mdnnp.dynamics.input",
    "run": "mdnnp.dynamics.run",
    "HDNNPCalculator": "mdnnp.couplings.ase",
    "FixedCharges": "mdnnp.potentials.electrostatics.fixed_charges",
    "FourthGeneration": "mdnnp.potentials.electrostatics.fourth_generation",
}
__all__ = ["__version__", *_EXPORTS]  # noqa: PLE0604 (the keys are strings)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
