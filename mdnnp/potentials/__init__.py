"""Potentials: from a configuration to energy, forces and virial. `interface` defines the methods of a potential."""
