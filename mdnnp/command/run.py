"""The verb `mdnnp run`: molecular dynamics as an input file says."""

import sys
from argparse import Namespace

from mdnnp.command.common import report_error, use_threads


def main(arguments: Namespace) -> int:
    from mdnnp.dynamics.input import read_config

    config = read_config(arguments.input)
    from mdnnp.dynamics.run import run
    from mdnnp.trajectory import WriteError, exit_at_once

    use_threads(arguments)
    hooks = sys.excepthook, sys.unraisablehook
    sys.excepthook, sys.unraisablehook = map(_without_hdf5, hooks)
    try:
        return run(config, resume=arguments.resume, overwrite=arguments.overwrite).exit_code
    except WriteError as error:
        exit_at_once(report_error(error))
    finally:
        sys.excepthook, sys.unraisablehook = hooks


def _without_hdf5(hook):
    """A hook for exceptions that nobody catches, without those of HDF5 objects that are freed after a failed write.

    Each of them complains once more, while the failure itself is reported.
    """

    def filtered(*details):
        error = details[0].exc_value if len(details) == 1 else details[1]
        if "Can't decrement id ref count" not in str(error):
            hook(*details)

    return filtered
