"""Names what a run computes: two runs of one name give the same numbers.

A run is told by its difference from the defaults that are written down in first_defaults.json, not from those that the
code has today: a new option at its default changes no name, and a changed default does. docs/decisions/0010 says why.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from mixlingual.config.schema import EvaluateConfig, PrepareConfig, TrainConfig, ValidationConfig, sections
from mixlingual.layout import RESULT

_FIRST: dict[str, Any] = json.loads(Path(__file__).with_name("first_defaults.json").read_text(encoding="utf-8"))
"""`train` and `evaluate`: every option of the first version, with its default; a name covers all of these.
`later`: dotted path -> first default of each option that came after; a name covers those with another value."""

Config = TypeVar("Config", bound=TrainConfig | EvaluateConfig | PrepareConfig)

_AUTO = {"trainer": ("32-true", "bf16-mixed"), "evaluation": ("fp32", "bf16")}
"""Section -> what `precision=auto` stands for in it, on a device without bf16 and on one with it."""


def written_out(config: Config, *, bf16: bool) -> Config:
    """The config with a value for each `precision=auto`; a run's numbers, and so its name, depend on that value."""
    found = {name: getattr(config, name, None) for name in _AUTO}
    auto = {name: part for name, part in found.items() if part is not None and part.precision == "auto"}
    return dataclasses.replace(
        config, **{name: dataclasses.replace(part, precision=_AUTO[name][bf16]) for name, part in auto.items()}
    )


def possible(config: Config) -> tuple[Config, Config]:
    """What a config may be written out as: on a device without bf16, and on one with it."""
    return written_out(config, bf16=False), written_out(config, bf16=True)


def to_plain(config: object) -> dict[str, Any]:
    """The config as nested dicts and lists of JSON types."""
    return dataclasses.asdict(config)  # type: ignore[call-overload, no-any-return]


def config_hash(config: TrainConfig) -> str:
    """Twelve hex digits that name what a run computes.

    Independent of the order of options, of new options at their default, and of options with `computed=False`. A
    `precision=auto` must be written out.
    """
    return _digest(identity(config))


def evaluation_hash(config: EvaluateConfig) -> str:
    """As `config_hash`, of what an evaluation computes.

    Where the encoder lies in a run's folder, that run's result tells it from one that was trained again since.
    """
    result = Path(config.model.checkpoint or "").parent / RESULT
    trained = {}
    if config.model.checkpoint and result.is_file():
        trained["trained"] = hashlib.sha256(result.read_bytes()).hexdigest()
    return _digest(identity(config) | trained)


def identity(config: TrainConfig | EvaluateConfig) -> dict[str, Any]:
    """The options that a name covers, as nested dicts."""
    assert config == written_out(config, bf16=True), "precision=auto has no name until it is written out"
    if isinstance(config, EvaluateConfig):
        return _covered(config, _FIRST["evaluate"])
    return _covered(_without_watching(config), _FIRST["train"])


def _without_watching(config: TrainConfig) -> TrainConfig:
    """The config without the validation options that change no number: docs/decisions/0015 says when they do."""
    if config.validation.decides:
        return config
    return dataclasses.replace(config, validation=ValidationConfig(held_out=config.validation.held_out))


def changes(stored: dict[str, Any], config: TrainConfig) -> Iterator[str]:
    """A line for each computed option that a stored plain config and `config` give different values."""
    schema = type(config)
    then, now = computed_options(stored, schema), computed_options(to_plain(config), schema)
    for path in sorted(then.keys() | now.keys()):
        if then.get(path) != now.get(path):
            yield f"{path}: {then.get(path)!r} there, {now.get(path)!r} now"


def computed_options(stored: dict[str, Any], schema: type[TrainConfig] = TrainConfig) -> dict[str, Any]:
    """Dotted path -> value of each computed option in a run's stored plain config.

    An option that it lacks, as one that came later, has its first default; so have those of validation that only
    watches.
    """
    first = dict(_leaves(to_plain(schema()))) | dict(_leaves(_FIRST["train"])) | _FIRST["later"]
    left_out = tuple(f"{name}." for name in not_computed(schema))
    values = first | dict(_leaves(stored))
    if values.get("validation.select") == "last" and values.get("validation.patience") is None:
        watching = {path: value for path, value in first.items() if path.startswith("validation.")}
        values |= watching | {"validation.held_out": values["validation.held_out"]}
    return {path: value for path, value in values.items() if not f"{path}.".startswith(left_out)}


def not_computed(schema: type) -> tuple[str, ...]:
    """Dotted paths of the options, and groups of options, that change none of a run's numbers."""
    found = []
    own = sections(schema)
    for part in dataclasses.fields(schema):
        if not part.metadata["computed"]:
            found.append(part.name)
        elif part.name in own:
            found += [f"{part.name}.{path}" for path in not_computed(own[part.name])]
    return tuple(found)


def _covered(config: Any, first: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The options of `config` that a name covers, and at their first default those that the code has no longer."""
    found = dict(first)
    for part in dataclasses.fields(config):
        path, value = f"{prefix}{part.name}", getattr(config, part.name)
        if not part.metadata["computed"]:
            continue
        if dataclasses.is_dataclass(value):
            covered = _covered(value, first.get(part.name, {}), f"{path}.")
            if covered or part.name in first:
                found[part.name] = covered
        elif part.name in first or value != _FIRST["later"].get(path, _default(part)):
            found[part.name] = _plain_value(value, f"{path}.")
    return found


def _plain_value(value: Any, prefix: str) -> Any:
    """A value as JSON types; groups under names of the user's choice without their new options at the default."""
    if not isinstance(value, dict):
        return value
    entry = _FIRST["entries"].get(prefix, {})
    return {
        name: _covered(group, entry, prefix) if dataclasses.is_dataclass(group) else group
        for name, group in value.items()
    }


def _default(part: dataclasses.Field[Any]) -> Any:
    return part.default if part.default_factory is dataclasses.MISSING else part.default_factory()


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything in nested dicts."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _digest(plain: dict[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
