"""mdnnp inside LAMMPS."""
