"""Molecular dynamics with Behler-Parrinello high-dimensional neural network potentials."""

__version__ = "0.1.0"
