"""The verb `mdnnp smooth`: is a potential smooth enough for dynamics?"""

from argparse import Namespace
from pathlib import Path

from mdnnp.atoms.structure import Structure
from mdnnp.certify.invariances import progress
from mdnnp.certify.smoothness import certify
from mdnnp.command.common import load_both, refuse_outputs
from mdnnp.potentials.interface import Potential


def main(arguments: Namespace) -> int:
    refuse_outputs(arguments, [arguments.output], [arguments.structure])

    potential, structure = load_both(arguments)
    return certify_potential(arguments, potential, structure)


def certify_potential(arguments: Namespace, potential: Potential, structure: Structure) -> int:
    """`mdnnp smooth`: certify, print, draw if asked; returns the exit status.

    arguments : timestep_fs, steps, temperature_K, seed, json, output (a new PNG file or None)
    """
    with progress() as begin:
        certificate = certify(
            potential,
            structure,
            timestep_fs=arguments.timestep_fs,
            n_steps=arguments.steps,
            temperature_K=arguments.temperature_K,
            seed=arguments.seed,
            begin=begin,
        )
    print(certificate.to_json() if arguments.json else certificate.text())
    if arguments.output:
        from mdnnp.base.files import new_file
        from mdnnp.base.report.style import save_figure
        from mdnnp.certify.figures import draw_ladder

        title = f"{Path(arguments.potential).name}, {certificate.n_atoms} atoms at {certificate.temperature_K:g} K"
        with new_file(arguments.output, arguments.overwrite) as path:
            save_figure(draw_ladder(certificate.ladder, certificate.n_atoms, title), path, format="png")
        if not arguments.json:
            print(f"\nWritten: {arguments.output}")
    return certificate.exit_code
