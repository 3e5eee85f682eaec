"""Files of n2p2 and RuNNer: directories of potentials (`input.data` is in `atoms.input_data`).

Formats: A. Singraber, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 1827 (2019) and the n2p2
documentation. `settings` understands `input.nn`; `reader` and `writer` turn a directory into an `HDNNPModel`
and back. Nothing here converts units: everything is native.
"""

from mdnnp.potentials.hdnnp.files.reader import SIDECAR, read_potential
from mdnnp.potentials.hdnnp.files.writer import write_potential

__all__ = ["SIDECAR", "read_potential", "write_potential"]
