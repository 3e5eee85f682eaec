"""Couplings: other programs that call our potentials."""
