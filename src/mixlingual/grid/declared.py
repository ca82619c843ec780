"""Resolves what a sweep declares before it starts: the sizes of its contrast, by name."""

from __future__ import annotations

from collections.abc import Sequence

from mixlingual.config.schema import ModelConfig, TrainConfig
from mixlingual.model.hub import read_architecture
from mixlingual.records import MixlingualError


def sizes_by_name(runs: Sequence[TrainConfig]) -> list[str] | None:
    """The smallest and the largest size of some runs; None if there are not two, or one's geometry is out of reach."""
    models = {run.model.name: run.model for run in runs}
    try:
        weights = {name: weights_of_layers(model) for name, model in models.items()}
    except MixlingualError:
        return None
    smallest, largest = min(weights, key=weights.__getitem__), max(weights, key=weights.__getitem__)
    return [smallest, largest] if weights[smallest] < weights[largest] else None


def weights_of_layers(model: ModelConfig) -> int:
    """Weights of the Transformer layers, without norms and biases: enough to order sizes.

    Raises:
        MixlingualError: the checkpoint cannot be read, or its configuration names no such geometry.
    """
    if model.checkpoint is None:
        scratch = model.scratch
        return _weights(scratch.layers, scratch.hidden, scratch.intermediate)
    architecture, _ = read_architecture(model)
    names = ("num_hidden_layers", "hidden_size", "intermediate_size")
    layers, hidden, intermediate = (getattr(architecture, name, None) for name in names)
    if not (layers and hidden and intermediate):
        raise MixlingualError(f"{model.checkpoint} names no {', '.join(names)}")
    return _weights(len(model.layers) if model.layers else layers, hidden, intermediate)


def _weights(layers: int, hidden: int, intermediate: int) -> int:
    return layers * (4 * hidden**2 + 2 * hidden * intermediate)
