"""Fits of graph potentials: what is to be fitted, and the potentials that come out."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers

from mdnnp.potentials.graph.model import GraphModel, draw_model, shared_out
from mdnnp.training.descriptor_store import symbols_of
from mdnnp.training.fit import Member
from mdnnp.training.fit_data import Sets
from mdnnp.training.graph_loss import GraphLoss, Structures, started
from mdnnp.training.input import TrainConfig
from mdnnp.training.loss import Labels, resampled, tolerances_of


def graph_members(config: TrainConfig, sets: Sets, offsets: Mapping[str, float], labels: Labels) -> list[Member]:
    """The members of a fit, each of `fit.networks` models to start from: number k is drawn from seed + k."""
    m, f = config.model, config.fit
    systems = [s.system for s in (*sets.train, *sets.validation)]
    numbers = tuple(sorted(atomic_numbers[symbol] for symbol in symbols_of(systems)))
    cutoff, n = config.descriptors.cutoff_A, len(sets.train)

    def drawn(seed: int, neighbors: float) -> GraphModel:
        return draw_model(
            numbers, cutoff, layers=m.layers, channels=m.channels, radial=m.radial, degree=m.degree, hidden=m.hidden,
            neighbors=neighbors, rng=np.random.default_rng(seed),
        )  # fmt: skip

    structures = Structures(systems, drawn(f.seed, 1.0))
    neighbors = float(np.mean([len(own.j) / len(own.order) for own in structures.neighbors[:n]]))
    order = np.array([offsets[symbol] for symbol in sorted(offsets, key=atomic_numbers.__getitem__)])
    members = []
    for first_seed in range(f.seed, f.seed + f.members * f.networks, f.networks):
        own = resampled(labels, n, first_seed) if f.bootstrap else labels
        starts = [
            started(drawn(first_seed + k, neighbors)._replace(offsets=order), structures, range(n))
            for k in range(f.networks)
        ]
        tolerances = tolerances_of(f)
        train = GraphLoss(structures, starts, own, tolerances, f.prior, 0, n)
        validation = GraphLoss(structures, starts, labels, tolerances, 0.0, n, len(systems))
        members.append(Member(train, validation if len(systems) > n else None, train.start()))
    return members


def fitted_models(member: Member, thetas: np.ndarray) -> list[GraphModel]:
    """The models of a member of `graph_members` with the weights (n, P), sharing out the energy of their mean."""
    assert isinstance(member.train, GraphLoss)
    return [shared_out(model, len(thetas)) for model in member.train.with_weights(thetas)]


def graph_key(config: TrainConfig, sets: Sets) -> str:
    """What the structures and the model are, for a checkpoint."""
    text = hashlib.sha256()
    for s in (*sets.train, *sets.validation):
        for array in (s.system.numbers, s.system.positions, s.system.cell, s.system.pbc):
            text.update(np.ascontiguousarray(array).tobytes())
    sizes = dataclasses.asdict(config.model) | {"cutoff_A": config.descriptors.cutoff_A}
    return text.hexdigest() + json.dumps(sizes, sort_keys=True)
