"""mdnnp inside LAMMPS: `pair_style mdnnp`."""
