"""The command `mdnnp`: each verb calls the module that does its work."""

import os
import sys
import warnings
from importlib import import_module

from mdnnp.base.errors import MdnnpWarning
from mdnnp.base.report.streams import discard_stdout, printable, safe_streams
from mdnnp.command.arguments import parser
from mdnnp.command.common import report_error


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    with safe_streams(), warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("always", MdnnpWarning)
        try:
            arguments = parser().parse_args(argv or ["--help"])
            status = import_module(f"mdnnp.command.{arguments.verb}").main(arguments) or 0
            sys.stdout.flush()
            return status
        except KeyboardInterrupt:
            print("\nerror: interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader of our output has gone, as with `| head`
            discard_stdout()
            return 1
        except Exception as error:
            if os.environ.get("MDNNP_DEBUG") == "1":
                raise
            return report_error(error)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, MdnnpWarning):
        print(printable(f"warning: {message}"), file=sys.stderr)
    elif os.environ.get("MDNNP_DEBUG") == "1":
        print(warnings.formatwarning(message, category, filename, lineno, line), file=sys.stderr, end="")
