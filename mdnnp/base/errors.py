"""The kinds of errors. The command line turns each kind into its own exit status.

A message names the file, the line or atom, the value found, what was expected, and what to do.
"""


class MdnnpError(Exception):
    """Base of all errors that mdnnp raises on purpose.

    ends_process : whether the interpreter cannot end in an orderly way any more, so that the command leaves at once
    """

    exit_code = 1
    ends_process = False


class InputError(MdnnpError):
    """A configuration, structure or potential that cannot be used as given."""

    exit_code = 2


class Mistakes(InputError):
    """Several mistakes in one input, one in each line of the message."""


class Interrupted(MdnnpError):
    """SIGINT or SIGTERM ended the work; `signal` is its number."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.exit_code = 128 + signal


class PhysicsError(MdnnpError):
    """The simulation itself went wrong: exploding dynamics, overlapping atoms, extrapolation limit."""

    exit_code = 3


class FileError(MdnnpError):
    """A file that exists already, cannot be read or written, is damaged, or belongs to something else."""

    exit_code = 4


class MdnnpWarning(UserWarning):
    """Something suspicious that does not stop the work. The command line prints it as one line."""


class ExtrapolationWarning(MdnnpWarning):
    """Symmetry functions left the range of the data that the potential was fitted to."""


class DisagreementWarning(MdnnpWarning):
    """The members of a committee disagree."""


def quoted(value: object, most: int = 60) -> str:
    """A value of somebody's file for a message: at most `most` characters, and none that a terminal would obey."""
    return printable(repr(value), most)


def printable(text: str, most: int = 300) -> str:
    """A text on one line: at most `most` characters, and none that a terminal would obey."""
    text = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
