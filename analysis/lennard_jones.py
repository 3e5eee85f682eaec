"""Transport of the Lennard-Jones fluid near its triple point (rho* = 0.8442, T* = 0.722) beside published values.

    python analysis/lennard_jones.py [--steps 100000] [--cells 4] [--folder lj] [--overwrite]

Runs `mdnnp run` and analyses it: diffusion (with the finite-size correction of the viscosity that was found), shear
viscosity and thermal conductivity by Green-Kubo, in reduced units. Published: D* = 0.032 to 0.033, eta* = 3.2 to 3.3,
lambda* = 6.6 to 7.0.
"""

import argparse
import math
from pathlib import Path

import numpy as np

from mdnnp.analysis import Frames, mean_squared_displacement
from mdnnp.analysis.dynamics import temperature_K
from mdnnp.analysis.physics import Settings, physics
from mdnnp.base.statistics import plus_minus
from mdnnp.base.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K, ELEMENTARY_CHARGE_C
from mdnnp.dynamics.input import read_config
from mdnnp.dynamics.run import run

EPSILON_EV, SIGMA_A, MASS_U = 0.0103408, 3.4, 39.948
DENSITY, TEMPERATURE = 0.8442, 0.722
TAU_FS = SIGMA_A * math.sqrt(MASS_U / EPSILON_EV / ACCELERATION_A_PER_FS2)
POTENTIAL = f"""\
kind = "lennard-jones"
cutoff_A = {3.0 * SIGMA_A}
inner_cutoff_A = {2.8 * SIGMA_A}
smoothing = "poly2"
[elements.Ar]
epsilon_eV = {EPSILON_EV}
sigma_A = {SIGMA_A}
"""
INPUT = """\
[structure]
file = "lj.xyz"
masses = {{Ar = {mass}}}
[potential]
path = "lj.toml"
[dynamics]
steps = {steps}
timestep_fs = {dt}
temperature_K = {temperature}
equilibration_steps = 4000
[output]
frame_interval = 20
thermo_interval = 4
checkpoint_interval = 50000
forces = false
heat_current = true
"""


def prepare(folder: Path, cells: int, steps: int) -> Path:
    """Write the input of a run of 4 cells^3 atoms; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    a = (4 / DENSITY) ** (1 / 3) * SIGMA_A
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    grid = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    x = ((grid + basis) * a).reshape(-1, 3)
    box = " ".join(f"{v!r}" for v in (np.eye(3) * a * cells).ravel().tolist())
    atoms = "\n".join(f"Ar {p[0]!r} {p[1]!r} {p[2]!r}" for p in x.tolist())
    (folder / "lj.xyz").write_text(f'{len(x)}\nLattice="{box}" pbc="T T T"\n{atoms}\n')
    (folder / "lj.toml").write_text(POTENTIAL)
    temperature = TEMPERATURE * EPSILON_EV / BOLTZMANN_EV_PER_K
    text = INPUT.format(mass=MASS_U, steps=steps, dt=round(0.004 * TAU_FS, 3), temperature=temperature)
    (folder / "run.toml").write_text(text)
    return folder / "run.toml"


def transport(trajectory: Path) -> dict[str, tuple[float, float]]:
    """Temperature, D, D at infinite size, viscosity and conductivity in reduced units, with errors."""
    lag_fs = 3.0 * TAU_FS
    found = physics([trajectory], Settings(lag_fs=lag_fs))
    with Frames([trajectory], 0.0) as frames:
        kelvin = temperature_K(frames)
        viscosity, viscosity_error = found.numbers["shear viscosity"]["shear viscosity / (mPa s)"]
        fit = (1.0 * TAU_FS, lag_fs)
        numbers = mean_squared_displacement(frames, lag_fs, fit, viscosity)["msd Ar"].numbers
    d_unit = SIGMA_A**2 / TAU_FS * 1e4  # 1e-9 m^2/s
    second = TAU_FS * 1e-15
    mPas = EPSILON_EV * ELEMENTARY_CHARGE_C * second / (SIGMA_A * 1e-10) ** 3 * 1e3
    watt = BOLTZMANN_EV_PER_K * ELEMENTARY_CHARGE_C / (SIGMA_A * 1e-10 * second)
    conductivity = found.numbers["thermal conductivity"]["thermal conductivity / (W/(m K))"]
    return {
        "T*": (kelvin * BOLTZMANN_EV_PER_K / EPSILON_EV, math.nan),
        "D*": tuple(v / d_unit for v in numbers["D / (1e-9 m²/s)"]),
        "D* at infinite size": tuple(v / d_unit for v in numbers["D at infinite size / (1e-9 m²/s)"]),
        "eta*": (viscosity / mPas, viscosity_error / mPas),
        "lambda*": tuple(v / watt for v in conductivity),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path("lj"))
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    path = prepare(arguments.folder, arguments.cells, arguments.steps)
    print(run(read_config(path), overwrite=arguments.overwrite).text())
    for name, (value, error) in transport(path.with_suffix(".h5")).items():
        print(f"{name:<22}{plus_minus(value, error, '')}")


if __name__ == "__main__":
    main()
