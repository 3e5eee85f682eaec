"""Files in the formats that ASE reads and writes.

ASE's readers load half of SciPy, which takes longer than a short run: this module is imported when such a file is met.
"""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread as ase_iread
from ase.io import read as ase_read
from ase.io import write as ase_write
from ase.io.formats import UnknownFileTypeError, filetype, ioformats

from mdnnp.atoms import xyz
from mdnnp.atoms.structure import Structure, from_atoms, to_atoms
from mdnnp.base.errors import FileError, InputError, MdnnpWarning, printable


def read_with_ase(path: Path, wanted: int | slice) -> list[Atoms]:
    """Structures as ASE reads them; whatever goes wrong in ASE becomes an InputError."""
    with tempfile.TemporaryDirectory() as scratch, _errors_of_ase(path):
        source, format = _source_and_format(path, Path(scratch))
        chosen = _as_slice(wanted)
        if _ase_selects(chosen, format):
            frames = ase_read(source, chosen, format=format, do_not_split_by_at_sign=True)
        else:
            frames = ase_read(source, slice(None), format=format, do_not_split_by_at_sign=True)[chosen]
    if isinstance(frames, Atoms):  # never, for a slice
        frames = [frames]
    return frames


def stream_with_ase(path: Path) -> Iterator[Atoms]:
    """All structures one by one, as far as ASE's reader of the format streams."""
    with tempfile.TemporaryDirectory() as scratch, _errors_of_ase(path):
        source, format = _source_and_format(path, Path(scratch))
        yield from ase_iread(source, slice(None), format=format, do_not_split_by_at_sign=True)


def _source_and_format(path: Path, scratch: Path) -> tuple[str, str]:
    source = str(_plain_text_copy(path, scratch))
    format = filetype(source)
    if format == "runnerdata":  # by its suffix .data alone
        raise UnknownFileTypeError
    if format in ("vasp", "vasp-xdatcar"):
        _check_atom_count(path)
    return source, format


def _check_atom_count(path: Path) -> None:
    """Refuse a POSCAR that claims more atoms than it has bytes, for which ASE would fill the memory."""
    size = path.stat().st_size
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        rows = [file.readline(xyz.LONGEST_LINE).split() for _ in range(7)]
        for row in rows[5:]:  # the numbers of atoms are in one of these, remarks after them
            words = takewhile(lambda word: word.isascii() and word.isdecimal() and len(word) < 4000, row)
            counts = [int(word) for word in words]
            if sum(counts) > size:
                raise InputError(
                    f"{path}: states a number of {printable(str(sum(counts)), 30)} atoms, but ends before the last one"
                )


@contextmanager
def _errors_of_ase(path: Path) -> Iterator[None]:
    """Whatever goes wrong in ASE becomes an InputError."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        if error.errno is None:  # ASE derives its parser's errors from OSError
            raise InputError(f"{path}: not readable as {_format_name(path)}: {printable(str(error))}") from None
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    except UnknownFileTypeError:
        raise InputError(
            f"{path}: format not recognised; give extended XYZ, another format that ASE reads, or "
            "input.data of n2p2, which starts with 'begin' (data files of LAMMPS do not name elements)"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except KeyError as error:
        raise InputError(
            f"{path}: not readable as {_format_name(path)}: unknown name {printable(str(error))}"
        ) from None
    except Exception as error:  # ASE's parsers raise anything
        reason = printable(str(error) or type(error).__name__)
        raise InputError(f"{path}: not readable as {_format_name(path)}: {reason}") from None


def _as_slice(wanted: int | slice) -> slice:
    return wanted if isinstance(wanted, slice) else slice(wanted, wanted + 1 if wanted != -1 else None)


def _ase_selects(chosen: slice, format: str) -> bool:
    """Whether ASE may pick the structures; it errs for formats of a single one, and backwards."""
    return not ioformats[format].single and (chosen.step or 1) > 0


def _plain_text_copy(path: Path, scratch: Path) -> Path:
    """The file, or a copy without byte-order mark and carriage returns, on which ASE's parsers trip."""
    with path.open("rb") as file:
        head = file.read(65536)
        if b"\0" in head or not (head.startswith(b"\xef\xbb\xbf") or b"\r\n" in head):
            return path
        rest = file.read()
    copy = scratch / path.name
    copy.write_bytes((head + rest).removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n"))
    return copy


def _format_name(path: Path) -> str:
    try:
        return filetype(str(path))
    except Exception:
        return "any format that ASE knows"


def has_writer(path: Path) -> bool:
    """Whether ASE can write to a file of this name."""
    try:
        name = filetype(str(path), read=False)
        return name in ioformats and ioformats[name].can_write
    except UnknownFileTypeError:
        return False


def write_with_ase(path: Path, temporary: Path, structures: Sequence[Structure], format: str | None) -> None:
    """Write to `temporary`, in the format given or of the name of `path`. Warns of what the format does not keep."""
    try:
        chosen = format or filetype(str(path), read=False)
        ase_write(str(temporary), [to_atoms(s) for s in structures], format=chosen)
    except OSError as error:
        if error.errno is not None:
            raise
        raise InputError(f"{path}: cannot be written: {error}") from None
    except Exception as error:  # ASE's writers raise anything
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be written as {format or path.suffix or 'any format'}: {reason}") from None
    if lost := _lost(temporary, structures, chosen):
        warnings.warn(f"{path}: ASE's format {chosen} does not keep {', '.join(lost)}", MdnnpWarning, stacklevel=3)


def _lost(written: Path, structures: Sequence[Structure], format: str) -> list[str]:
    """What a file of ASE does not give back; nothing if ASE cannot read what it writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            again = [from_atoms(atoms) for atoms in ase_read(str(written), ":", format=format)]
        except Exception:
            return []
    if len(again) != len(structures):
        return [f"{len(structures)} structures, but {len(again)}"]
    names = ("energy", "forces", "stress", "velocities", "charges", "atomic_energies")
    both = list(zip(structures, again, strict=True))
    lost = [
        name.replace("_", " ")
        for name in names
        if any(getattr(old, name) is not None and getattr(new, name) is None for old, new in both)
    ]
    if any(
        len(old.masses) != len(new.masses) or not np.allclose(old.masses, new.masses, rtol=1e-3) for old, new in both
    ):
        lost.append("isotope masses")
    if any((old.system.pbc != new.system.pbc).any() for old, new in both):
        lost.append("the boundaries")
    return lost
