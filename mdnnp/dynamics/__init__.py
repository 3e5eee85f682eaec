"""Molecular dynamics: from an input file to a trajectory, and on after an interruption."""
