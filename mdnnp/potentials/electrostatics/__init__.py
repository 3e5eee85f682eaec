"""Charges that see the whole system: Coulomb energy, charge equilibration, fourth-generation potentials."""
