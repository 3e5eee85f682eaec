"""Trajectories larger than memory: time and memory of `mdnnp analyze` against their length.

    python analysis/large_trajectory.py --atoms 2000 --frames 5000 20000 --memory-GB 0.6 [--folder large]

Writes H5MD files of positions and velocities (Ornstein-Uhlenbeck velocities, 96 kB a frame of 2,000 atoms), and
analyses each in a process of its own whose memory is limited: the address space that it may reserve beyond what it has
after loading the program. Prints size of the file, processor time, and peak of the resident memory. Files that are
there are used again.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

SPACING_A, STEP_FS, FORGET = 3.7, 10.0, 0.05
ANALYSE = """
import resource, sys
import mdnnp.analysis, mdnnp.command.cli, matplotlib.pyplot, scipy.fft
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + int(float(sys.argv[1]) * 1e9)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
code = mdnnp.command.cli.main(["analyze", sys.argv[2], "-o", sys.argv[3], "--lag-ps", "1", "--r-max", "6"])
usage = resource.getrusage(resource.RUSAGE_SELF)
print("used", usage.ru_maxrss / 1e3, usage.ru_utime + usage.ru_stime)
sys.exit(code)
"""


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--atoms", type=int, default=2000)
    p.add_argument("--frames", type=int, nargs="+", default=[5000, 20000])
    p.add_argument("--memory-GB", type=float, default=0.6, help="what an analysis may take beyond the program itself")
    p.add_argument("--folder", type=Path, default=Path("large"))
    return p.parse_args()


def write(path: Path, n_atoms: int, n_frames: int) -> None:
    """A file of another program's kind: float64 positions and velocities in a fixed cube."""
    rng, side = np.random.default_rng(0), int(np.ceil(n_atoms ** (1 / 3)))
    grid = np.indices((side, side, side)).reshape(3, -1).T[:n_atoms] * SPACING_A
    with h5py.File(path.with_suffix(".part"), "w") as file:
        file.create_group("h5md").attrs["version"] = np.array([1, 1], dtype=np.int32)
        group = file.create_group("particles/all")
        box = group.create_group("box")
        box.attrs["dimension"], box.attrs["boundary"] = 3, np.array([b"periodic"] * 3)
        box["edges"] = np.full(3, side * SPACING_A)
        box["edges"].attrs["unit"] = "Angstrom"
        group["species"] = np.full(n_atoms, 18, dtype=np.int32)
        shape, chunk = (n_frames, n_atoms, 3), (max(1, 200_000 // (24 * n_atoms)), n_atoms, 3)
        for name, unit in (("position", "Angstrom"), ("velocity", "Angstrom fs-1")):
            element = group.create_group(name)
            element.create_dataset("value", shape, "f8", chunks=chunk).attrs["unit"] = unit
            element["step"] = np.arange(n_frames)
            element["time"] = np.arange(n_frames) * STEP_FS
            element["time"].attrs["unit"] = "fs"
        x, v = grid + rng.normal(0, 0.1, grid.shape), rng.normal(0, 0.0015, grid.shape)
        block = 200
        for a in range(0, n_frames, block):
            b = min(a + block, n_frames)
            positions, velocities = np.empty((b - a, n_atoms, 3)), np.empty((b - a, n_atoms, 3))
            for k in range(b - a):
                v += -FORGET * v + rng.normal(0, 0.0015 * np.sqrt(2 * FORGET), v.shape)
                x = x + STEP_FS * v
                positions[k], velocities[k] = x, v
            group["position/value"][a:b], group["velocity/value"][a:b] = positions % (side * SPACING_A), velocities
    os.replace(path.with_suffix(".part"), path)


def main() -> None:
    args = arguments()
    args.folder.mkdir(exist_ok=True)
    print(f"{'frames':>8} {'file / GB':>10} {'time / s':>9} {'ms/frame':>9} {'peak / MB':>10}")
    for n_frames in args.frames:
        path = args.folder / f"{args.atoms}-{n_frames}.h5"
        if not path.exists():
            write(path, args.atoms, n_frames)
        command = [sys.executable, "-c", ANALYSE, str(args.memory_GB), str(path), str(path.with_suffix(""))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{path}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        peak, taken = map(float, done.stdout.split("used")[-1].split()[:2])
        size = path.stat().st_size / 1e9
        print(f"{n_frames:8d} {size:10.2f} {taken:9.1f} {1e3 * taken / n_frames:9.2f} {peak:10.0f}", flush=True)


if __name__ == "__main__":
    main()
