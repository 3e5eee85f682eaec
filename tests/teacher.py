"""A fit whose answer is known: labels made by a network of the same kind as the one that is fitted."""

from dataclasses import dataclass

import numpy as np
from labelled import make_labelled

from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import default_functions
from mdnnp.training.dataset import resolve_weights
from mdnnp.training.derivatives import Layout
from mdnnp.training.descriptor_store import store_descriptors, symbols_of
from mdnnp.training.loss import Loss, Tolerances, make_labels
from mdnnp.training.network_inputs import half_whitened


@dataclass
class Problem:
    """A loss over all structures; theta: weights to start from; teacher: weights at which the loss is 0."""

    loss: Loss
    theta: np.ndarray
    teacher: np.ndarray


def make_problem(directory, n, dtype=np.float32, prior=0.01, begin=0, end=None) -> Problem:
    """Loss over structures begin .. end - 1 of n, with labels of the teacher."""
    structures = make_labelled(n=n)
    systems = [s.system for s in structures]
    functions = default_functions(symbols_of(systems), 4.5, radial=3, angular=1, max_zeta=2)
    stored = store_descriptors(directory, systems, Descriptors(functions), dtype)
    inputs = []
    for symbol in stored.elements:
        v = stored.values(symbol)
        inputs.append(half_whitened(v, 1 / v.std(axis=0), -v.mean(axis=0) / v.std(axis=0)))
    layout = Layout([(len(functions[e]), 4, 1) for e in stored.elements], "tl")
    teacher = layout.initial(np.random.default_rng(11))
    labels = make_labels(structures, {"Mg": 0.0, "O": 0.0}, resolve_weights(structures))
    tolerances = Tolerances(0.002, 0.1, 0.02)
    answers = Loss(stored, layout, inputs, labels, tolerances, prior, 0, n).predictions(teacher, 0, n)
    labels = labels._replace(energies=answers.energies, forces=answers.forces, strain=answers.strain)
    end = n if end is None else end
    loss = Loss(stored, layout, inputs, labels, tolerances, prior, begin, end)
    return Problem(loss, layout.initial(np.random.default_rng(12)), teacher)
