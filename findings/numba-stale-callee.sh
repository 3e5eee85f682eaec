#!/usr/bin/env bash
# What: Numba's cache on disk (cache=True) watches the file of the compiled function only. If that function calls one
# of another file, and only that file changes, as with an upgrade, the old code of the callee goes on running inside
# its caller.
# Version: numba 0.68.1, seen in November 2026.
# Who meets it: who edits or upgrades a package of cached kernels: the kernel imported directly is new, inside others
# it is old.
# Instead: delete the caches after a change (__pycache__/*.nbi, *.nbc), or set NUMBA_CACHE_DIR to a folder for each
# version.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numba==0.68.1 numpy==2.4.6
cd "$folder"
export NUMBA_CACHE_DIR="$folder/cache"
cat > energy.py <<'EOF'
from cutoff import cutoff
from numba import njit


@njit(cache=True)
def energy(r):
    return 2.0 * cutoff(r)
EOF
write_cutoff() {
    printf 'from numba import njit\n\n\n@njit(cache=True)\ndef cutoff(r):\n    return %s\n' "$1" > cutoff.py
}
ask() {
    venv/bin/python -c 'from energy import energy; from cutoff import cutoff; print(energy(0.25), 2 * cutoff(0.25))'
}
venv/bin/python -c 'import numba; print("numba", numba.__version__)'
write_cutoff '1.0 - r'
echo "cutoff 1 - r: energy(0.25) and 2 cutoff(0.25): $(ask)"
write_cutoff '(1.0 - r) ** 2  # another size, another time'
seen=$(ask)
echo "cutoff (1 - r)^2: expected 1.125 1.125, seen $seen"
rm -r cache
echo "after deleting the cache: $(ask)"
echo "Energies mix old and new functions; the result depends on what ran on that machine before."
[ "$seen" = "1.5 1.125" ] || { echo "the behaviour has changed"; exit 1; }
