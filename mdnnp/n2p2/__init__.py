"""Files of n2p2 and RuNNer: potential directories and structures (`input.data`).

Formats: A. Singraber, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 1827 (2019) and the n2p2
documentation. `settings` understands `input.nn`; `reader` and `writer` turn a directory into an `HDNNPModel`
and back; `inputdata` does the same for structures. Nothing here converts units: everything is native.
"""

from mdnnp.n2p2.inputdata import DataBlock, is_input_data, read_input_data, write_input_data
from mdnnp.n2p2.reader import SIDECAR, TERMS_FILE, read_fourth_generation, read_potential
from mdnnp.n2p2.settings import is_fourth_generation
from mdnnp.n2p2.writer import write_potential

__all__ = [
    "SIDECAR",
    "TERMS_FILE",
    "DataBlock",
    "is_fourth_generation",
    "is_input_data",
    "read_fourth_generation",
    "read_input_data",
    "read_potential",
    "write_input_data",
    "write_potential",
]
