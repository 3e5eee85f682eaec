"""The verb `mdnnp evaluate`: errors of a potential against labelled structures."""

import json
import sys
from argparse import Namespace

from mdnnp.command.common import data_units, load, refuse_outputs, use_threads


def main(arguments: Namespace) -> int:
    refuse_outputs(arguments, [arguments.output], arguments.data)
    potential = load(arguments)
    from mdnnp.atoms.read import count_structures
    from mdnnp.base.report.screen import Bar
    from mdnnp.training.accuracy import evaluate, table
    from mdnnp.training.dataset import stream_labelled

    use_threads(arguments)
    structures = stream_labelled(arguments.data, *data_units(arguments))
    total = count_structures(arguments.data) if sys.stderr.isatty() else None
    with Bar(total=total, unit="structure") as bar:
        errors = evaluate(potential, bar.over(structures), by=arguments.by)
    print(json.dumps(errors.as_dict(), indent=2) if arguments.json else table(errors))
    if arguments.output:
        from mdnnp.training.fit_report import provenance, write_report

        facts = {"potential": arguments.potential, "data": " ".join(arguments.data)}
        write_report(
            arguments.output, {"data": errors}, facts=facts, provenance=provenance(), overwrite=arguments.overwrite
        )
        print(f"Written: {arguments.output}", file=sys.stderr if arguments.json else sys.stdout)
    return 0
