"""Trajectories in H5MD: written so that no committed frame is lost when the process is killed; read with units.

Format: P. de Buyl, P. H. Colberg, F. Höfling, Comput. Phys. Commun. 185, 1546 (2014), https://www.nongnu.org/h5md, in
the dialect that MDAnalysis, pyh5md and znh5md/ASE all read with the right numbers: the particle group is called
"trajectory", every element depends on time, units are plain strings, the box is lower-triangular, and what is denser
than the frames is outside /observables, in /thermo. Positions are not wrapped.

A frame is committed when its `step` is written: the values are flushed first (HDF5's single-writer mode). A run that
resumes overwrites what follows its checkpoint with the same bits, so that nothing committed is ever taken away.
"""

from mdnnp.trajectory.layout import EXTRAPOLATION_COLUMNS, FRAME_OBSERVABLES, STEPS, Counts
from mdnnp.trajectory.reader import Trajectory
from mdnnp.trajectory.repair import lookup3, repair
from mdnnp.trajectory.writer import (
    RUN_ID,
    OtherRun,
    TrajectoryWriter,
    WriteError,
    check_space,
    exit_at_once,
    expected_bytes,
    next_part,
    recover,
)

__all__ = [
    "EXTRAPOLATION_COLUMNS",
    "FRAME_OBSERVABLES",
    "RUN_ID",
    "STEPS",
    "Counts",
    "OtherRun",
    "Trajectory",
    "TrajectoryWriter",
    "WriteError",
    "check_space",
    "exit_at_once",
    "expected_bytes",
    "lookup3",
    "next_part",
    "recover",
    "repair",
]
