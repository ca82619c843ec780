"""Composes and checks the cells of a grid: every run or evaluation that a command line stands for."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from mixlingual.config.checks import ConfigError, Schema, to_config
from mixlingual.config.schema import TrainConfig, sections


def compose_runs(overrides: Sequence[str]) -> list[TrainConfig]:
    """Every run that the command-line overrides stand for, in the order of the grid.

    Hydra must be initialised, as it is inside `hydra.main`.

    Raises:
        ConfigError: a run is invalid, or two runs would share a folder; all mistakes are listed.
    """
    chosen = compose("train", overrides=_without_choices(overrides), return_hydra_config=True)
    return checked_runs(compose_cells("train", TrainConfig, chosen.hydra.sweeper.get("params"), overrides))


def own_presets(folder: str | None, overrides: Sequence[str]) -> list[str]:
    """The overrides, with one that stands for Hydra's flag `--config-dir FOLDER`, which `compose` does not know.

    Raises:
        ConfigError: there is no such folder.
    """
    if folder is None:
        return list(overrides)
    if not Path(folder).is_dir():
        raise ConfigError(f"--config-dir: there is no folder {folder}; name the one with sweep/, model/ and so on")
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    places, others = [f"file://{Path(folder).absolute()}"], []
    for word in parsed:
        value = word.value() if word.get_key_element() == "hydra.searchpath" else None
        if isinstance(value, list):
            places += value
        else:
            others.append(str(word.input_line))
    return [*others, f"hydra.searchpath={json.dumps(places)}"]


def compose_launcher(overrides: Sequence[str]) -> dict[str, Any]:
    """The options of the launcher that the command-line overrides name, as far as they do not depend on a run's own."""
    chosen = compose("train", overrides=_without_choices(overrides), return_hydra_config=True)
    options = OmegaConf.to_container(chosen.hydra.launcher, throw_on_missing=False)
    assert isinstance(options, dict)
    return {str(name): value for name, value in options.items()}


def runs_of(config: DictConfig) -> list[TrainConfig]:
    """As `compose_runs`, of the multirun that Hydra is about to start with `config`."""
    return checked_runs(compose_cells("train", TrainConfig, config.hydra.sweeper.get("params"), overrides_of(config)))


def compose_cells(
    primary: str, schema: type[Schema], params: Mapping[str, str] | None, overrides: Sequence[str]
) -> list[Schema]:
    """The config of each cell of a grid.

    Args:
        primary: name of the entry point's file in conf/, without .yaml.
        schema: its options.
        params: `hydra.sweeper.params`, what the sweep's preset varies.
        overrides: of the command line.

    Raises:
        ConfigError: with the mistakes of all cells.
    """
    swept = [f"{key}={value}" for key, value in (params or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*swept, *overrides])
    configs: list[Schema] = []
    mistaken = defaultdict(list)
    composed = _composer(primary, schema)
    for cell in BasicSweeper.split_arguments(parsed, None)[0]:
        try:
            configs.append(to_config(schema, composed(cell)))
        except ConfigError as error:
            mistaken[str(error)].append(" ".join(cell))
    if mistaken:
        count = sum(len(cells) for cells in mistaken.values())
        listed = "\n".join(f"{_some(cells)}\n{message}" for message, cells in mistaken.items())
        raise ConfigError(f"{count} {'run' if count == 1 else 'runs'} of the sweep cannot start:\n{listed}")
    return configs


def _composer(primary: str, schema: type) -> Callable[[Sequence[str]], DictConfig]:
    """What composes the words of a cell as Hydra does, and reads presets once for all cells that name the same ones.

    Hydra itself composes presets first and then sets single options, in the order of the words.
    """
    options = {part.name for part in dataclasses.fields(schema)} - set(sections(schema))
    kept: dict[tuple[str, ...], DictConfig] = {}

    def sets_option(word: Override) -> bool:
        name = word.key_or_group
        is_name = name in options or ("." in name and "/" not in name and not name.startswith("hydra."))
        return is_name and word.type is OverrideType.CHANGE and word.package is None

    def composed(words: Sequence[str]) -> DictConfig:
        parsed = OverridesParser.create().parse_overrides(list(words))
        presets = tuple(text for text, word in zip(words, parsed) if not sets_option(word))
        if presets not in kept:
            kept[presets] = compose(primary, overrides=list(presets))
        config = copy.deepcopy(kept[presets])
        ConfigLoaderImpl._apply_overrides_to_config([word for word in parsed if sets_option(word)], config)
        return config

    return composed


def checked_runs(configs: list[TrainConfig]) -> list[TrainConfig]:
    """The runs. Raises ConfigError where they have several sweeps, or two of them one folder."""
    if len(sweeps := sorted({config.sweep_name for config in configs})) > 1:
        raise ConfigError(f"got several sweep_names, {', '.join(sweeps)}; a grid has one: start a grid for each")
    names = Counter((config.sweep_name, config.run_name) for config in configs)
    if shared := [f"{sweep}/{run} ({count} runs)" for (sweep, run), count in names.items() if count > 1]:
        raise ConfigError(
            f"runs of the sweep would share a folder: {', '.join(shared)}; put every swept option into run_name, "
            "as in run_name='${model.name}_r${number:${batching.monolingual_ratio}}_lr${optim.learning_rate}_s${seed}'"
        )
    return configs


def overrides_of(config: DictConfig) -> list[str]:
    """The overrides of the command line behind a config with Hydra's part, their interpolations unresolved."""
    given: Any = OmegaConf.to_container(config.hydra.overrides)
    return [*given["hydra"], *given["task"]]


def _some(cells: Sequence[str]) -> str:
    """The first of the cells that share a mistake, and how many more there are."""
    return cells[0] if len(cells) == 1 else f"{cells[0]} and {len(cells) - 1} more"


def _without_choices(overrides: Sequence[str]) -> list[str]:
    """The overrides that hold one value: enough to find the sweep preset."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [override.input_line for override in parsed if not override.is_sweep_override() and override.input_line]
