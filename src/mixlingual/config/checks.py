"""Turns a composed Hydra config into typed, checked objects; after it no DictConfig exists in the program."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterator
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixlingual.config.contradictions import NAMES, contradictions
from mixlingual.config.schema import sections
from mixlingual.records import MixlingualError

Schema = TypeVar("Schema")
NO_CHOICE = "null"
"""Key under which a group of options holds that the command line chose null for it."""

Mistakes = Iterator[tuple[str, str]]
"""(dotted path of the option, message)"""


_GROUP = "it is a group of options: choose a preset by its name, or set them one by one"
NO_GROUP = f"got null; {_GROUP}"


class ConfigError(MixlingualError):
    """A configuration that cannot run. The message lists every mistake with its dotted path."""


def to_config(schema: type[Schema], cfg: DictConfig) -> Schema:
    """The composed Hydra config as typed, validated objects.

    Raises:
        ConfigError: naming every wrong type, value out of range and contradiction, with dotted paths.
    """
    typed = copy.deepcopy(_structured(schema))  # type: ignore[arg-type]
    errors: dict[str, str] = dict(_timed_names(cfg))
    for path, hint, value in _leaves(schema, cfg, errors):
        if misfits := dict(_misfits(path, hint, value)):
            errors |= misfits
            continue
        try:
            OmegaConf.update(typed, path, value)
        except OmegaConfBaseException as error:
            errors[path] = str(error).splitlines()[0]
    config: Any = OmegaConf.to_object(typed)
    for path, message in (*_out_of_range(config), *contradictions(config)):
        errors.setdefault(path, message)
    if errors:
        listed = "\n".join(f"  {path}: {message}" for path, message in errors.items())
        noun = "mistake" if len(errors) == 1 else "mistakes"
        raise ConfigError(f"{len(errors)} {noun} in the configuration:\n{listed}")
    return config  # type: ignore[no-any-return]


_hints = functools.cache(typing.get_type_hints)


@functools.cache
def _structured(schema: Any) -> Any:
    return OmegaConf.structured(schema)


def _timed_names(cfg: DictConfig) -> Mistakes:
    """Names that would be others at the next start."""
    for option in NAMES:
        written = OmegaConf.to_container(cfg, resolve=False).get(option)  # type: ignore[union-attr]
        if "${now:" in str(written):
            reason = "a time differs at every start, so nothing could be resumed or reported under that name"
            yield option, f"got {written!r}; {reason}: write one name out, as in {option}=try_2026_11_28"


def text_options(schema: type, prefix: str = "") -> Iterator[str]:
    """Dotted paths of the options that are text, or lists of text; PATH.* for text under keys of the user's choice."""
    own, hints = sections(schema), _hints(schema)
    for name, hint in hints.items():
        if name in own:
            yield from text_options(own[name], f"{prefix}{name}.")
        elif _required(hint) in (str, list[str]):
            yield f"{prefix}{name}"
        elif hint == dict[str, str]:
            yield f"{prefix}{name}.*"


def _leaves(schema: type, cfg: DictConfig, errors: dict[str, str], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted path, type, value) of every option; options with keys of the user's choice stay whole.

    An option whose interpolation leads nowhere is left out, and added to the errors.
    """
    own, hints = sections(schema), _hints(schema)
    for key in cfg:
        name = str(key)
        path = prefix + name
        if name == NO_CHOICE:
            errors[prefix[:-1]] = NO_GROUP
            continue
        try:
            value: Any = cfg[key]
            if name in own and isinstance(value, DictConfig):
                yield from _leaves(own[name], value, errors, f"{path}.")
                continue
            plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            yield path, hints.get(name), plain
        except OmegaConfBaseException as error:
            errors[str(error.full_key or path)] = str(error).splitlines()[0]


def _misfits(path: str, hint: Any, value: Any) -> Mistakes:
    """What OmegaConf would convert to another meaning, or let pass into a list."""
    kind = _required(hint)
    if dataclasses.is_dataclass(kind):
        yield from _misfits_of_group(path, kind, value)
    elif typing.get_origin(kind) is list and isinstance(value, list):
        if not value and kind is not hint:
            yield path, "got an empty list; name at least one entry, or null"
        for i, entry in enumerate(value):
            yield from _misfits(f"{path}[{i}]", typing.get_args(kind)[0], entry)
    elif typing.get_origin(kind) is dict and isinstance(value, dict):
        for key, entry in value.items():
            if isinstance(key, str):
                yield from _misfits(f"{path}.{key}", typing.get_args(kind)[1], entry)
            else:
                yield path, f"got the key {_unquoted(key)}"
    elif kind is str and isinstance(value, bool | int | float):
        yield path, f"got {_unquoted(value)}"
    elif kind is bool and isinstance(value, int | float) and value not in (0, 1):
        yield path, f"got {value}; allowed: true, false"
    elif kind in (str, bool, int, float) and isinstance(value, list | dict):
        yield path, f"got {value}; one value is allowed here"


def _misfits_of_group(path: str, schema: Any, value: Any) -> Mistakes:
    if not isinstance(value, dict):
        yield path, NO_GROUP if value is None else f"got {value}; {_GROUP}"
        return
    hints = _hints(schema)
    for key, entry in value.items():
        yield from _misfits(f"{path}.{key}", hints.get(key), entry)


def _required(hint: Any) -> Any:
    """The type without null."""
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    return hint


def _unquoted(value: Any) -> str:
    """What became of a text that YAML took for something else."""
    written = {True: "yes, on and true", False: "no, off and false"}.get(value) if isinstance(value, bool) else None
    read = f"{value!r}, as YAML reads {written}" if written else f"{value!r}, a number"
    example = {True: "'yes'", False: "'no'"}[value] if written else f"'{value}'"
    return f"{read}; it is text: write it in quotes, as in {example}"


def _out_of_range(config: Any, prefix: str = "") -> Mistakes:
    """Every value outside what its option allows."""
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
    elif low is not None and value > high:
        yield f"got {value}; the largest allowed is {high}"
