"""The command `mdnnp`: options become the request of a verb, whose outcome is printed; errors become words."""

import atexit
import contextlib
import gc
import os
import sys
import warnings
from importlib import import_module

from mdnnp.base.errors import MdnnpError, MdnnpWarning, Mistakes
from mdnnp.base.report.streams import discard_stdout, printable, safe_streams
from mdnnp.command.arguments import parser
from mdnnp.command.verb import finish, silent

# Python's last search for garbage walks through all that was loaded: 0.15 s, for memory that the system frees anyway.
atexit.register(gc.freeze)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    with safe_streams(), warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("always", MdnnpWarning)
        try:
            return _perform(**vars(parser().parse_args(argv or ["--help"])))
        except KeyboardInterrupt:
            print("\nerror: interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader of our output has gone, as with `| head`
            discard_stdout()
            return 1
        except Exception as error:
            if os.environ.get("MDNNP_DEBUG") == "1":
                raise
            status = report_error(error)
            if isinstance(error, MdnnpError) and error.ends_process:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
            return status


def _perform(verb: str, json: bool = False, **options) -> int:
    """Perform a verb; returns the exit status. With `json`, stdout has the outcome alone."""
    module = import_module(f"mdnnp.command.{verb}")
    request = module.Request(**options)
    with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext():
        outcome = module.perform(request, silent if json else _say)
    return finish(outcome, json)


def _say(text: str) -> None:
    print(text, flush=True)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, MdnnpWarning):
        print(printable(f"warning: {message}"), file=sys.stderr)
    elif os.environ.get("MDNNP_DEBUG") == "1":
        print(warnings.formatwarning(message, category, filename, lineno, line), file=sys.stderr, end="")


def _place_in_own_potential(error: Exception) -> str | None:
    """FILE:LINE of a potential of the user's own that raised the error."""
    own = sys.modules.get("mdnnp.potentials.own")  # not loaded: no potential was at work
    return None if own is None else own.place_of(error)


def report_error(error: Exception) -> int:
    """Print an error in the form `error: ...`; returns the exit status."""
    if isinstance(error, MdnnpError):
        message, status = str(error), error.exit_code
    elif isinstance(error, OSError):
        message, status = f"{error.filename or 'output'}: {error.strerror or error}", 4
    elif isinstance(error, UnicodeEncodeError):  # a name of a file; what is printed is never refused
        encoding = sys.getfilesystemencoding()
        message = f"{error.object!a:.300}: names of files are {encoding} here; set LC_ALL=C.UTF-8, or rename the file"
        status = 4
    elif place := _place_in_own_potential(error):
        message = (
            f"{place}: {type(error).__name__}: {error}; raised by the code of the potential (MDNNP_DEBUG=1 in the "
            "environment shows the whole traceback)"
        )
        status = 2
    elif isinstance(error, MemoryError):
        message, status = f"not enough memory: {error}" if str(error) else "not enough memory", 1
    else:
        message = (
            f"internal error, {type(error).__name__}: {error}; this is a bug of mdnnp, please report it "
            "(MDNNP_DEBUG=1 in the environment shows where it happened)"
        )
        status = 1
    first, *rest = message.split("\n")
    more = "error" if isinstance(error, Mistakes) else "note"
    with contextlib.suppress(OSError):  # the exit status counts, though stderr goes to a full disk
        print(f"error: {printable(first)}", file=sys.stderr)
        for line in rest:
            print(printable(line if line.startswith(" ") else f"{more}: {line}"), file=sys.stderr)
    return status
