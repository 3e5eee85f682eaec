#!/usr/bin/env bash
# What: In input.nn of RuNNer 1 and n2p2 the last number of a symmetry function is its cutoff radius; in RuNNer 2 it
# is the number of a cutoff function. runnerase reads an older file without a word, drops the radii, takes cutoff
# function 1 for all, and writes that back; coefficients are written with eight decimals.
# Version: runnerase 2.0.0 with runnerase-core 0.11.2 (ase 3.29.0), seen in November 2026.
# Who meets it: who takes a potential of n2p2 or RuNNer 1 through runnerase, or its files to n2p2, where "1" is a
# radius of 1 Bohr.
# Instead: convert by hand, with one cutoff function for each radius; compare the radii before and after.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check --no-deps runnerase-core==0.11.2 ase==3.29.0 numpy==2.4.6 scipy==1.17.1
cd "$folder"
venv/bin/python - <<'EOF'
import warnings

from runnerase_core import read_inputnn, write_inputnn

warnings.simplefilter("error")
lines = [
    "symfunction_short Cu 2 Cu 0.003214 0.0 12.0",
    "symfunction_short Cu 2 Cu 0.000000004 0.0 6.5",
    "symfunction_short Cu 3 Cu Cu 0.01 1.0 4.0 6.0",
]
with open("input.nn", "w") as file:
    file.write("\n".join(["number_of_elements 1", "elements Cu", "cutoff_type 2", *lines]) + "\n")
parameters = read_inputnn("input.nn")
write_inputnn("written.nn", parameters)
with open("written.nn") as file:
    written = [line.split() for line in file if line.startswith("symfunction_short")]
print("runnerase-core 0.11.2; expected: radii of 12.0, 6.5 and 6.0 Bohr, or an error")
for before, after in zip(lines, written, strict=True):
    print(f"{before}  ->  {' '.join(after)}")
print("The radii are lost, and two functions that differed by their radius alone become one.")
assert [line[-1] for line in written] == ["1", "1", "1"], "the behaviour has changed"
assert float(written[1][-3]) == 0, "the behaviour has changed"
EOF
