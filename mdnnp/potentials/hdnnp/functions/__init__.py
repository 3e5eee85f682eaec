"""Atom-centred symmetry functions: definitions, tables, and the kernels that walk through them."""
