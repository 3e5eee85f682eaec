"""Compiled code that is found on disk is that of the sources as they are, and a run never fails for want of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mdnnp
from mdnnp.base.compiled import kernel_cache

ENERGY = """
from mdnnp import LennardJones, make_system
print(repr(LennardJones({"Ar": (0.0104, 3.4)}, 8.5).compute(make_system([[0, 0, 0], [7.9, 0, 0]], [18, 18])).energy))
"""
SHAPES = "potentials/hdnnp/functions/shapes.py"
POTENTIAL = 'kind = "lennard-jones"\ncutoff_A = 8.5\n[elements.Ar]\nepsilon_eV = 0.0104\nsigma_A = 3.4\n'


@pytest.fixture
def installed(tmp_path):
    """A copy of the package without compiled code."""
    package = tmp_path / "site" / "mdnnp"
    shutil.copytree(Path(mdnnp.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def python(package, *arguments, **environment):
    """Run Python with the copied package; Numba may cache where the environment says, or beside the sources."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_CACHE")}
    environment = kept | {"PYTHONPATH": str(package.parent)} | environment
    options = {"cwd": package.parent, "capture_output": True, "text": True, "timeout": 300}
    return subprocess.run([sys.executable, *arguments], env=environment, check=False, **options)


def energy(package, **environment):
    done = python(package, "-c", ENERGY, **environment)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def compiled(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}


def change(path, old, new):
    """Change a file, but neither its size nor its time of change."""
    text, times = path.read_text(), path.stat()
    assert text.count(old) == 1 and len(old) == len(new)
    path.write_text(text.replace(old, new))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for bytecode in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):  # Python goes by the time of change as well
        bytecode.unlink()


@pytest.mark.parametrize("shared_folder", [False, True])
def test_a_change_in_another_file_reaches_compiled_code(installed, tmp_path, shared_folder):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")} if shared_folder else {}
    before = energy(installed, **environment)
    files = compiled(tmp_path)
    assert files and energy(installed, **environment) == before and compiled(tmp_path) == files
    # The cutoff function "poly2" of a pair is inlined in the kernel, which is in another file.
    change(installed / SHAPES, "(3.0 + 6.0 * x)", "(3.0 + 5.0 * x)")
    after = energy(installed, **environment)
    assert after == energy(installed, NUMBA_CACHE_DIR=str(tmp_path / "fresh"))
    assert abs(after - before) > 1e-7
    change(installed / SHAPES, "(3.0 + 5.0 * x)", "(3.0 + 6.0 * x)")
    assert energy(installed, **environment) == before
    assert {path: compiled(tmp_path)[path] for path in files} == files  # the first version's code is still there


def test_damaged_files_are_compiled_again(installed):
    before = energy(installed)
    for number, path in enumerate(compiled(installed)):
        path.write_bytes(path.read_bytes()[: 100 * (number % 3)])
    assert energy(installed) == before
    assert all(path.stat().st_size > 200 for path in compiled(installed))


def test_without_a_folder_for_compiled_code(installed, tmp_path):
    for folder in {path.parent for path in installed.rglob("*.py")}:
        (folder / "__pycache__").write_text("a file, so that it cannot be a folder, not even for root")
    (installed.parent / "argon.toml").write_text(POTENTIAL)
    (installed.parent / "pair.xyz").write_text("2\n\nAr 0 0 0\nAr 7.9 0 0\n")
    nowhere = str(installed.parent / "argon.toml" / "no folder")
    environment = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "NUMBA_CACHE_DIR": nowhere}
    for verb in (["info", "argon.toml"], ["predict", "argon.toml", "pair.xyz"]):
        done = python(installed, "-m", "mdnnp", *verb, **environment)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("warning:") == 1 and "NUMBA_CACHE_DIR" in done.stderr
    assert not compiled(tmp_path)


def test_a_folder_that_fills_up(installed, tmp_path):
    full = (
        "from mdnnp.base.compiled import kernel_cache\n"
        "kernel_cache.dumps = lambda data: open('/dev/full', 'w').write('x' * 9999)\n"
    )
    done = python(installed, "-c", full + ENERGY)
    assert done.returncode == 0 and float(done.stdout) == energy(installed, NUMBA_CACHE_DIR=str(tmp_path / "other"))
    assert done.stderr.count("compiled code cannot be saved") == 1 and "No space left" in done.stderr
    assert not list(installed.rglob("*.nbc*"))


def test_two_processes_that_compile_two_signatures_at_once(tmp_path):
    # Numba's own index of a function may give the code of one to the other.
    module = tmp_path / "kernels.py"
    module.write_text("from mdnnp.base.compiled.jit import njit\n\n\n@njit\ndef half(x):\n    return x / 2\n")
    code = "import sys; from kernels import half; print(half(int(sys.argv[1]) if sys.argv[1] == '3' else 5.0))"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):
        running = [
            subprocess.Popen([sys.executable, "-c", code, x], env=environment, cwd=tmp_path, stdout=-1, text=True)
            for x in ("3", "5")
        ]
        assert [float(process.communicate(timeout=300)[0]) for process in running] == [1.5, 2.5]
    assert len(compiled(tmp_path)) == 2


def test_code_of_old_versions_is_removed(tmp_path):
    def name(version, number):
        return tmp_path / f"module.kernel-7.py311-{version:016x}-{number:016x}.nbc"

    for version in range(7):
        for number in range(2):
            name(version, number).touch()
            os.utime(name(version, number), (1000 + version, 1000 + version))
    others = [tmp_path / "module.kernel-7.py311.1.nbc", tmp_path / "module.kernel-7.py311.nbi", tmp_path / "module.pyc"]
    for other in others:
        other.touch()
    kernel_cache._prune(name(6, 0))
    kept = [name(version, number) for version in (3, 4, 5, 6) for number in range(2)]
    assert sorted(tmp_path.iterdir()) == sorted(others + kept)
