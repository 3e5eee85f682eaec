"""The verb `mdnnp train`: a potential fitted as an input file says."""

from argparse import Namespace

from mdnnp.command.common import use_threads


def main(arguments: Namespace) -> int:
    from mdnnp.training.input import read_train_config

    config = read_train_config(arguments.input)
    from mdnnp.training.train import train

    use_threads(arguments)
    train(config, resume=arguments.resume, overwrite=arguments.overwrite)
    return 0
