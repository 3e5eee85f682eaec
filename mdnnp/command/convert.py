"""The verb `mdnnp convert`: a potential, or structures, in another form."""

from argparse import Namespace


def main(arguments: Namespace) -> int:
    from pathlib import Path

    from mdnnp.base.files import check_distinct
    from mdnnp.potentials.load import potential_files

    source = Path(arguments.input)
    check_distinct([arguments.output], potential_files(source))
    if source.is_dir():
        from mdnnp.potentials.hdnnp.files import read_potential, write_potential
        from mdnnp.potentials.hdnnp.files.reader import TERMS_FILE

        model = read_potential(source, arguments.length_unit, arguments.energy_unit)
        terms = (source / TERMS_FILE).read_bytes() if (source / TERMS_FILE).exists() else None
        write_potential(model, arguments.output, overwrite=arguments.overwrite, terms=terms)
        what = f"potential ({' '.join(model.elements)}; {model.length_unit}, {model.energy_unit})"
    else:
        from mdnnp.atoms.read import read_structures
        from mdnnp.atoms.write import write_structures

        units = {"length_unit": arguments.length_unit, "energy_unit": arguments.energy_unit}
        structures = read_structures(source, arguments.index, **units)
        write_structures(arguments.output, structures, format=arguments.format, overwrite=arguments.overwrite, **units)
        what = f"{len(structures)} structure{'s' * (len(structures) != 1)}"
    print(f"Written: {arguments.output}, {what}")
    return 0
