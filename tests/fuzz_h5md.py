"""Mutations of H5MD files: whatever a file holds, `mdnnp analyze` answers with results or with an error of its own."""

import io
import json
import warnings
from contextlib import redirect_stderr, redirect_stdout

import h5py
import numpy as np

N, T = 6, 24


def whole(path, seed: int = 0) -> None:
    """A small file of another program with all that is read: image flags, ids, masses, observables, stress."""
    rng = np.random.default_rng(seed)
    steps, times = np.arange(T) * 10, np.arange(T) * 5.0
    x = rng.random((N, 3)) * 9 + np.cumsum(rng.normal(0, 0.1, (T, N, 3)), axis=0)
    with h5py.File(path, "w") as file:
        h5md = file.create_group("h5md")
        h5md.attrs["version"] = np.array([1, 1], dtype=np.int32)
        h5md.create_group("creator").attrs["name"] = "fuzz"
        group = file.create_group("particles/all")
        group.create_group("box").attrs["boundary"] = ["periodic"] * 3
        per_frame = {
            "position": (x, "Angstrom"), "velocity": (rng.normal(0, 1e-3, x.shape), "Angstrom fs-1"),
            "image": (np.zeros(x.shape, int), ""), "box/edges": (np.tile(10.0 * np.eye(3), (T, 1, 1)), "Angstrom"),
            "id": (np.tile(np.arange(N), (T, 1)), ""),
        }  # fmt: skip
        for name, (values, unit) in per_frame.items():
            _element(group, name, values, unit, steps, times)
        group["species"], group["mass"] = np.full(N, 18), np.full(N, 39.948)
        group["mass"].attrs["unit"] = "u"
        for name, values, unit in (
            ("total_energy", rng.normal(-1, 1e-3, T), "eV"), ("temperature", rng.normal(90, 1, T), "K"),
            ("stress", rng.normal(0, 1, (T, 3, 3)), "bar"),
        ):  # fmt: skip
            _element(file, f"observables/all/{name}", values, unit, steps, times)


def _element(group, name, values, unit, steps, times) -> None:
    element = group.create_group(name)
    element["value"], element["step"], element["time"] = values, steps, times
    element["time"].attrs["unit"] = "fs"
    if unit:
        element["value"].attrs["unit"] = unit


def mutate(path, seed: int) -> str:
    """Change one thing, or two, of a file; returns what, in words."""
    rng = np.random.default_rng(seed)
    return "; ".join(_mutate_once(path, rng) for _ in range(1 + (rng.random() < 0.3)))


def _mutate_once(path, rng) -> str:
    if rng.random() < 0.15:
        return _damage_bytes(path, rng)
    try:
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visit(names.append)
            if rng.random() < 0.8:
                names = [name for name in names if isinstance(file.get(name), h5py.Dataset)]
            name = str(rng.choice(names))
            how = _CHANGES[int(rng.integers(len(_CHANGES)))]
            return f"{how.__name__[1:]} {name} {how(file, name, rng) or ''}"
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:  # not possible here
        return f"nothing: {type(error).__name__}"


def _damage_bytes(path, rng) -> str:
    data = bytearray(path.read_bytes())
    if rng.random() < 0.3:
        path.write_bytes(data[: int(rng.integers(1, len(data)))])
        return "cut off"
    for at in rng.integers(0, len(data), int(rng.integers(1, 20))):
        data[at] = int(rng.integers(256))
    path.write_bytes(data)
    return "bytes"


def _remove(file, name, rng):
    del file[name]


def _become_a_group(file, name, rng):
    del file[name]
    file.create_group(name)


def _become_a_scalar(file, name, rng):
    value = rng.choice([0.0, 1.0, -1.0, np.nan, 1e300])
    _replace(file, name, np.float64(value))
    return value


def _become_text(file, name, rng):
    _replace(file, name, [np.bytes_("C"), "text", np.full((N,), b"Ar"), np.full((T, N), b"x")][int(rng.integers(4))])


def _another_shape(file, name, rng):
    shape = tuple(rng.integers(0, 8, int(rng.integers(1, 5))))
    _replace(file, name, rng.random(shape))
    return shape


def _shorter(file, name, rng):
    values = file[name][()]
    _replace(file, name, values[: int(rng.integers(0, len(values)))])


def _along_the_atoms(file, name, rng):
    values = file[name][()]
    _replace(file, name, values[..., : max(1, values.shape[-1] // 2)] if values.ndim < 3 else values[:, : N // 2])


def _another_type(file, name, rng):
    kind = rng.choice(["i1", "f2", "u8", "c16", "bool", "S3"])
    _replace(file, name, np.asarray(file[name][()]).astype(kind))
    return kind


def _one_value(file, name, rng):
    values = np.asarray(file[name][()], dtype=float).copy()
    value = rng.choice([np.nan, np.inf, 0.0, -1.0, 1e30, 1e-30, 1e300])
    values.reshape(-1)[int(rng.integers(max(1, values.size)))] = value
    _replace(file, name, values)
    return value


def _all_values(file, name, rng):
    value = rng.choice([np.nan, 0.0, 1.0, -1.0, 1e30, 1e-30])
    _replace(file, name, np.full(file[name].shape, value))
    return value


def _one_frame_zero(file, name, rng):
    values = np.asarray(file[name][()]).copy()
    values[int(rng.integers(len(values)))] = 0
    _replace(file, name, values)


def _shuffled(file, name, rng):
    values = np.asarray(file[name][()])
    _replace(file, name, rng.permutation(values, axis=int(rng.integers(values.ndim))))


def _huge(file, name, rng):
    shape = tuple(int(n) for n in 10 ** rng.integers(1, 8, file[name].ndim))
    dtype, units = file[name].dtype, dict(file[name].attrs)
    del file[name]
    series = file.create_dataset(name, shape, dtype, chunks=tuple(min(n, 16) for n in shape))
    for key, value in units.items():
        series.attrs[key] = value
    return shape


def _soft_link(file, name, rng):
    del file[name]
    file[name] = h5py.SoftLink(str(rng.choice(["/nowhere", "/", f"/{name}", "/particles/all/position", "/h5md"])))


def _external_link(file, name, rng):
    del file[name]
    file[name] = h5py.ExternalLink("missing.h5" if rng.random() < 0.5 else file.filename, "/particles/all/position")


def _unit(file, name, rng):
    unit = [None, "", "nm", "ps", b"fs", 3.0, "furlong", np.array(["a", "b"], dtype="S1")][int(rng.integers(8))]
    if unit is None:
        file[name].attrs.pop("unit", None)
    else:
        file[name].attrs["unit"] = unit
    return unit


def _boundary(file, name, rng):
    choices = ["periodic", ["none"] * 3, ["periodic"] * 2, 3, np.array([b"periodic", b"none", b"periodic"]), ["x"] * 3]
    file["particles/all/box"].attrs["boundary"] = choices[int(rng.integers(len(choices)))]


def _own_parameters(file, name, rng):
    key = str(rng.choice(["n_degrees", "timestep_fs", "equilibration_steps", "offset_energy_eV", "kind"]))
    group = file.require_group("parameters/mdnnp")
    group.attrs[key] = ["text", -1.0, np.nan, np.zeros(3), 0][int(rng.integers(5))]


def _own_log(file, name, rng):
    log = file.require_group("thermo")
    for k, column in enumerate(("step", "time", "total_energy", "temperature", "pressure_xy")):
        log[column] = rng.random(int(rng.integers(0, 40))) if k else np.arange(30)


def _replace(file, name, values) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = values
    for key, value in attributes.items():
        file[name].attrs[key] = value


_CHANGES = [value for key, value in list(globals().items()) if key in (
    "_remove", "_become_a_group", "_become_a_scalar", "_become_text", "_another_shape", "_shorter", "_along_the_atoms",
    "_another_type", "_one_value", "_all_values", "_one_frame_zero", "_shuffled", "_huge", "_soft_link",
    "_external_link", "_unit", "_boundary", "_own_parameters", "_own_log",
)]  # fmt: skip


def outcome(path) -> tuple[int, str]:
    """Exit status of `mdnnp analyze` in this process, without drawing (which takes most of the time), and its words."""
    from mdnnp.command.cli import main

    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        status = main(["analyze", str(path), "--json", "--no-figures"]) or _physics(path)
    return status, said.getvalue()


def _physics(path) -> int:
    """All analyses, without drawing them; 2 where there is nothing to analyse."""
    from mdnnp.analysis.physics import Settings, as_dict, physics
    from mdnnp.base.errors import FileError, InputError

    try:
        json.dumps(as_dict(physics([path], Settings(lag_fs=50.0))))
    except (FileError, InputError):
        return 2
    return 0
