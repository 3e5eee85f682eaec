"""Files and directories that are written completely or not at all, and never replace anything without permission."""

import contextlib
import csv
import io
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mdnnp.base.errors import FileError, InputError


def check_distinct(outputs: Iterable[str | Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Raise InputError if an output is an input or a directory that holds one, or if two outputs are the same file.

    Links and other spellings of a name are seen through. A path that is None is passed over.
    """
    written, read = ([Path(p) for p in paths if p is not None] for paths in (outputs, inputs))
    for k, output in enumerate(written):
        for path in read:
            if _is_same(output, path) or any(_is_same(output, parent) for parent in path.resolve().parents):
                name = "" if output == path else f" ({path})"
                raise InputError(f"{output}: would replace an input{name}; give the output another name")
        for other in written[:k]:
            if _is_same(output, other):
                raise InputError(f"{output}: two outputs have this name; give one of them another name")


def _is_same(a: Path, b: Path) -> bool:
    """Whether two paths are one file, or will be once they exist."""
    try:
        return a.samefile(b)
    except (OSError, ValueError):  # one of them does not exist
        return a.resolve() == b.resolve()


def require_regular(path: str | Path) -> None:
    """Raise FileError if `path` is a pipe, a socket or a device, which would be waited for or read for ever.

    What does not exist, and a directory, is left to who opens it.
    """
    mode = os.stat(path).st_mode if os.path.exists(path) else stat.S_IFREG
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FileError(f"{path}: is not a regular file but a pipe or a device; write its content to a file first")


def check_writable(
    path: Path, *, overwrite: bool = False, instead: str = "choose another name, or allow overwriting"
) -> None:
    """Raise FileError, touching nothing, if a file at `path` could not be made or may not be replaced.

    instead : what to do if the file exists, for the message
    """
    if path.is_dir():
        raise FileError(f"{path}: is a directory, expected the name of a file")
    require_regular(path)
    if os.path.lexists(path) and not overwrite:
        raise FileError(f"{path} exists already; {instead}")
    if not path.parent.is_dir():
        raise FileError(f"{path}: cannot be written: its directory does not exist; make it, or choose another name")
    if not os.access(path.parent, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise FileError(f"{path}: no permission to write there; choose another name")


@contextmanager
def new_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there becomes `path` when the block ends well.

    Raises FileError if `path` exists and `overwrite` is False, is a directory, or cannot be written.
    """
    path = Path(path).resolve()
    check_writable(path, overwrite=overwrite)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_directory(
    path: str | Path, overwrite: bool = False, belongs: Callable[[str], bool] = lambda name: False
) -> Iterator[Path]:
    """Yield an empty temporary directory beside `path`; it becomes `path` when the block ends well.

    belongs : for the name of a file in it, as "member-1/input.nn": whether overwriting may delete it
    Raises FileError if `path` exists and `overwrite` is False, or holds files that do not belong to it, or if
    the directory cannot be written.
    """
    path = Path(path).resolve()
    if path.exists():
        check_replaceable(path, overwrite, belongs)
    temporary, old = (path.with_name(f".{os.getpid()}.{path.name}{end}") for end in ("", ".old"))
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            check_replaceable(path, overwrite, belongs)  # once more: it may have come, or been filled, meanwhile
            os.rename(path, old)
        try:
            os.rename(temporary, path)
        except OSError:
            if old.exists():
                os.rename(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(path: Path, overwrite: bool, belongs: Callable[[str], bool]) -> None:
    """Raise FileError, touching nothing, if the directory `path`, which exists, may not be replaced; see above."""
    if not overwrite or not path.is_dir():
        raise FileError(
            f"{path} exists already; choose another name" + (", or allow overwriting" if path.is_dir() else "")
        )
    foreign = foreign_files(path, belongs)
    if foreign:
        raise FileError(
            f"{path}: will not be overwritten, because that would delete other files in it: "
            f"{', '.join(foreign[:5])}"
            f"{' ...' if len(foreign) > 5 else ''}; move them, or choose another name"
        )


def foreign_files(path: Path, belongs: Callable[[str], bool]) -> list[str]:
    """Names of the files and empty directories below `path` that do not belong there; links are not followed."""
    found = []
    for entry in path.rglob("*"):
        is_directory = entry.is_dir() and not entry.is_symlink()
        if (not is_directory or not any(entry.iterdir())) and not belongs(entry.relative_to(path).as_posix()):
            found.append(entry.relative_to(path).as_posix())
    return sorted(found)


def csv_text(names: Iterable[str], rows: Iterable[Iterable]) -> str:
    """A table as comma-separated values: a line of names, and one for each row; floats with ten digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([f"{v:.10g}" if isinstance(v, float) else v for v in row] for row in rows)
    return buffer.getvalue()


@contextlib.contextmanager
def locked(output: Path, checkpoint: Path) -> Iterator[None]:
    """Hold the lock of `output` and its checkpoint. Raises FileError if another run does, or it cannot be made."""
    try:
        import fcntl
    except ImportError:  # not on this platform: no protection
        yield
        return
    check_writable(output, overwrite=True)
    path = Path(f"{checkpoint}.lock")  # outputs that share a checkpoint must not run side by side either
    if path.is_dir() or (path.exists() and path.stat().st_size):
        raise FileError(f"{path}: the lock of a run needs this name, but the file is not a lock; move it away")
    try:
        file = path.open("a")
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileError(f"{output}: another run is writing to it (it holds {path})") from None
        except OSError:  # a file system without locks
            yield
            return
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(file.fileno())):
            raise FileError(f"{output}: another run with this output has just ended or started; try again")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
