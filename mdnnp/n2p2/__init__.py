"""Files of n2p2 and RuNNer: potential directories and structures (`input.data`).

Formats: A. Singraber, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 1827 (2019) and the n2p2
documentation. `settings` understands `input.nn`; `reader` and `writer` turn a directory into an `HDNNPModel`
and back; `inputdata` does the same for structures. Nothing here converts units: everything is native.
"""

from importlib import import_module

from mdnnp.n2p2.inputdata import DataBlock, is_input_data, names_columns, read_input_data, write_input_data

# Imported when they are asked for: potentials need compiled kernels, structures do not.
_LATER = {
    "SIDECAR": "mdnnp.n2p2.reader",
    "read_potential": "mdnnp.n2p2.reader",
    "write_potential": "mdnnp.n2p2.writer",
}
__all__ = [  # noqa: PLE0604 (the keys are strings)
    "DataBlock",
    "is_input_data",
    "names_columns",
    "read_input_data",
    "write_input_data",
    *_LATER,
]


def __getattr__(name: str):
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
