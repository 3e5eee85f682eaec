"""The verb `mdnnp descriptors`: symmetry functions for structures, and what they resolve."""

import json
from argparse import Namespace


def main(arguments: Namespace) -> int:
    from mdnnp.training.dataset import read_labelled
    from mdnnp.training.proposal import as_dict, propose, text

    structures = read_labelled(arguments.data, arguments.length_unit, arguments.energy_unit)
    proposal = propose(
        structures,
        arguments.cutoff,
        arguments.number,
        max_zeta=arguments.max_zeta,
        method=arguments.method,
    )
    print(json.dumps(as_dict(proposal), indent=2) if arguments.json else text(proposal))
    return 0
