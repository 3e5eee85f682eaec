"""Material properties of a crystal from a potential: the verb `mdnnp properties`, and its parts for Python.

`crystal` makes the crystal and says where a potential extrapolates; `eos`, `elastic`, `waves`, `lattice`,
`quasiharmonic`, `defects` and `surfaces` compute, each by itself; `parts` names their numbers; `properties_report`
writes them.
"""
