"""The verb `mdnnp smooth`: is a potential smooth enough for dynamics?"""

from argparse import ArgumentParser
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from mdnnp.command.arguments import add_potential, add_structure, add_threads
from mdnnp.command.verb import OfStructure, Outcome, Say, Written, silent

HELP = "Test whether a potential is smooth enough for molecular dynamics."
EPILOG = """\
Use it to find the longest safe time step, and why a run does not conserve energy. Three tests: the class C^k of every
symmetry function, cutoff and activation function; jumps of the energy, the force and its slope when an atom crosses a
cutoff; runs at constant energy with time steps DT, DT/2, DT/4 and DT/8 over the same time. In these runs, the error of
the total energy must fall as DT^2, and the shadow energy must fluctuate less (velocity Verlet conserves it to high
order if the potential is smooth). The exit status is 3 if the potential is not smooth.

example:
  mdnnp smooth potential/ water.xyz --length-unit Bohr --energy-unit Hartree -o smooth.png
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    add_potential(p)
    add_structure(p)
    p.add_argument(
        "--timestep-fs", type=float, metavar="DT", help="longest time step (default: from the fastest vibration)"
    )
    p.add_argument("--steps", type=int, metavar="N", help="number of steps DT (default: 300)")
    p.add_argument("--temperature-K", type=float, metavar="T", help="temperature (default: 300)")
    p.add_argument("--seed", type=int, help="seed of the starting velocities (default: 1)")
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("-o", "--output", metavar="FIGURE.png", help="draw the energy error against the time step")
    p.add_argument("--overwrite", action="store_true", help="replace FIGURE.png if it exists")
    add_threads(p)


@dataclass(frozen=True)
class Request(OfStructure):
    """What to certify, and by which dynamics; output : a figure to write."""

    _: KW_ONLY
    timestep_fs: float | None = None
    steps: int = 300
    temperature_K: float = 300.0
    seed: int = 1
    output: str | Path | None = None
    overwrite: bool = False


def perform(request: Request, say: Say = silent) -> Outcome:
    """Certify, draw if asked; returns a `Certificate`, or that and the file.

    Raises InputError, FileError, PhysicsError.
    """
    request.refuse([request.output], [request.structure], request.overwrite)
    potential, structure = request.load()
    from mdnnp.certify.invariances import progress
    from mdnnp.certify.smoothness import certify

    with progress() as begin:
        certificate = certify(
            potential,
            structure,
            timestep_fs=request.timestep_fs,
            n_steps=request.steps,
            temperature_K=request.temperature_K,
            seed=request.seed,
            begin=begin,
        )
    if not request.output:
        return certificate
    from mdnnp.base.files import new_file
    from mdnnp.base.report.style import save_figure
    from mdnnp.certify.figures import draw_ladder

    title = f"{Path(request.potential).name}, {certificate.n_atoms} atoms at {certificate.temperature_K:g} K"
    with new_file(request.output, request.overwrite) as path:
        save_figure(draw_ladder(certificate.ladder, certificate.n_atoms, title), path, format="png")
    return Written(certificate, (Path(request.output),), f"\nWritten: {request.output}")
