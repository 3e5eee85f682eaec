"""The verb `mdnnp evaluate`: errors of a potential against labelled structures."""

import json
import sys
from argparse import Namespace

from mdnnp.command.common import data_units, load, refuse_outputs, use_threads


def main(arguments: Namespace) -> int:
    refuse_outputs(arguments, [arguments.output], arguments.data)
    potential = load(arguments)
    from mdnnp.training.accuracy import evaluate, table
    from mdnnp.training.dataset import stream_labelled

    use_threads(arguments)
    structures = stream_labelled(arguments.data, *data_units(arguments))
    errors = evaluate(potential, _with_progress(structures, arguments.data), by=arguments.by)
    print(json.dumps(errors.as_dict(), indent=2) if arguments.json else table(errors))
    if arguments.output:
        from mdnnp.training.fit_report import provenance, write_report

        settings = {"potential": arguments.potential, "data": " ".join(arguments.data)} | provenance()
        write_report(arguments.output, {"data": errors}, provenance=settings, overwrite=arguments.overwrite)
        print(f"Written: {arguments.output}", file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _with_progress(structures, paths):
    """The structures, with a bar and the remaining time on a terminal."""
    if not sys.stderr.isatty():
        return structures
    from tqdm import tqdm

    from mdnnp.atoms.read import count_structures

    return tqdm(structures, total=count_structures(paths), unit="structure", leave=False, delay=1.0)
