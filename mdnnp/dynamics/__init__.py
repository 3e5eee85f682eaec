"""Molecular dynamics: from an input file to a trajectory, continued after an interruption."""
