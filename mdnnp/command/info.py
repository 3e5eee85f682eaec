"""The verb `mdnnp info`: what a potential is made of."""

from argparse import Namespace

from mdnnp.command.common import load


def main(arguments: Namespace) -> int:
    potential = load(arguments)
    print("\n".join(potential.describe()))
    return 0
