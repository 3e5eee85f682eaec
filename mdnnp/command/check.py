"""The verb `mdnnp check`: tests forces, virial and symmetries of a potential on a structure."""

from argparse import Namespace

from mdnnp.command.common import load_both


def main(arguments: Namespace) -> int:
    from mdnnp.certify.invariances import check, progress

    potential, structure = load_both(arguments)
    with progress() as begin:
        report = check(potential, structure.system, begin=begin)
    print(report.to_json() if arguments.json else report.table())
    return report.exit_code
