"""Potentials: from a configuration to energy, forces and virial. `interface` says what the engine asks of one."""
