"""The verb `mdnnp bench`: what a step costs on this machine."""

from argparse import Namespace

from mdnnp.base.errors import InputError
from mdnnp.command.common import data_units


def main(arguments: Namespace) -> int:
    import json

    from mdnnp.atoms.read import read_structures
    from mdnnp.base.compiled.jit import available_cores
    from mdnnp.command.benchmark import Bar, Case, Options, bench, find_lammps, table
    from mdnnp.potentials.load import load_potential

    if len(arguments.inputs) % 2:
        raise InputError(f"{arguments.inputs[-1]}: each potential needs a structure; give pairs of POTENTIAL STRUCTURE")
    units, of_data = (arguments.length_unit, arguments.energy_unit), data_units(arguments)
    given = []
    for path, file in zip(arguments.inputs[::2], arguments.inputs[1::2], strict=True):
        potential, (structure,) = load_potential(path, *units), read_structures(file, arguments.index, *of_data)
        given.append(Case(f"{path} {file}", potential, structure.system, structure.masses))
    options = Options(
        given=tuple(given),
        lammps=find_lammps(arguments.lammps),
        threads=arguments.threads or available_cores(),
        first=arguments.cold,
        large=arguments.large,
    )
    bar = Bar()
    try:
        record = bench(options, bar)
    finally:
        bar.close()
    print(json.dumps(record, indent=1) if arguments.json else table(record))
    return 0
