"""From a composed Hydra config to typed, checked objects; after it no DictConfig exists in the program."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixlingual.config.schema import sections
from mixlingual.records import MixlingualError

Schema = TypeVar("Schema")


class ConfigError(MixlingualError):
    """A configuration that cannot run. The message lists every mistake with its dotted path."""


def to_config(schema: type[Schema], cfg: DictConfig) -> Schema:
    """The composed Hydra config as typed, validated objects.

    Raises:
        ConfigError: naming every wrong type, value out of range and contradiction, with dotted paths.
    """
    typed = OmegaConf.structured(schema)
    errors: dict[str, str] = {}
    try:
        values: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    for path, value in _leaves(schema, values):
        try:
            OmegaConf.update(typed, path, value)
        except OmegaConfBaseException as error:
            errors[path] = str(error).splitlines()[0]
    config: Any = OmegaConf.to_object(typed)
    for path, message in (*_out_of_range(config), *config.problems()):
        errors.setdefault(path, message)
    if errors:
        listed = "\n".join(f"  {path}: {message}" for path, message in errors.items())
        noun = "mistake" if len(errors) == 1 else "mistakes"
        raise ConfigError(f"{len(errors)} {noun} in the configuration:\n{listed}")
    return config  # type: ignore[no-any-return]


def _leaves(schema: type, values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every option; options with keys of the user's choice stay whole."""
    own = sections(schema)
    for key, value in values.items():
        if key in own and isinstance(value, dict):
            yield from _leaves(own[key], value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _out_of_range(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted path, message) of every value outside what its option allows."""
    for part in dataclasses.fields(config):
        path, value = f"{prefix}{part.name}", getattr(config, part.name)
        if dataclasses.is_dataclass(value):
            yield from _out_of_range(value, f"{path}.")
            continue
        if isinstance(value, dict):
            entries = {f"{path}.{key}": entry for key, entry in value.items()}
        elif isinstance(value, list):
            entries = {f"{path}[{i}]": entry for i, entry in enumerate(value)}
        else:
            entries = {path: value}
        for where, entry in entries.items():
            if dataclasses.is_dataclass(entry):
                yield from _out_of_range(entry, f"{where}.")
            elif entry is not None:
                yield from ((where, message) for message in _violations(entry, part.metadata))


def _violations(value: Any, allowed: Any) -> Iterator[str]:
    choices, low, high = (allowed.get(key) for key in ("choices", "low", "high"))
    if choices is not None and value not in choices:
        yield f"got {value!r}; allowed: {', '.join(choices)}"
    if isinstance(value, float) and not math.isfinite(value):
        yield f"got {value}; it must be a finite number"
    elif low is not None and value < low:
        yield f"got {value}; the smallest allowed is {low}"
    elif high is not None and value > high:
        yield f"got {value}; the largest allowed is {high}"
