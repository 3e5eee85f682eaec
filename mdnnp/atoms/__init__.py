"""Atoms: systems, neighbours, symmetry, quantities, and structures in files."""
