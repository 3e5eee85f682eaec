"""The verb `mdnnp info`: what a potential is made of."""

from mdnnp.command.common import load


def main(arguments) -> int:
    potential = load(arguments)
    print("\n".join(potential.describe()))
    return 0
