"""High-dimensional neural network potentials."""
