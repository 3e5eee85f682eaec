"""Compilation: how kernels are compiled and run, vectors of the processor, elementary functions."""
