"""What Hydra must know before it composes: the schemas, the resolvers, the launchers and where conf/ lies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.mixlingual_launcher.launcher import LocalGridLauncher, SlurmGridLauncher
from hydra_plugins.mixlingual_launcher.parallel import ParallelLauncher
from mixlingual.config.schema import SCHEMAS, ClusterConfig, sections
from mixlingual.runs.lease import own_name

_PACKAGED_CONF = Path(__file__).parents[1] / "conf"


CONF_DIR = _PACKAGED_CONF if _PACKAGED_CONF.is_dir() else Path(__file__).parents[3] / "conf"
"""The configuration folder: inside an installed wheel, else at the top of the checkout."""


def flags_to_options(words: Sequence[str], schema: type) -> list[str]:
    """The command line with --watch as watch=true and --dry-run FILE as dry_run=FILE; other words stay.

    Args:
        words: after the program's name.
        schema: its fields may be given as flags.
    """
    kinds = {part.name: part.type for part in dataclasses.fields(schema)}
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("--") or name not in kinds:
            found.append(word)
        elif equals:
            found.append(f"{name}={value}")
        else:
            found.append(f"{name}={'true' if kinds[name] == 'bool' else next(rest, 'null')}")
    return found


def register() -> None:
    """Make the schemas known to Hydra, under the names that the primary YAML files list first.

    They are stored as plain values: a wrong type then reaches `to_config`, which reports it
    together with every other mistake, while Hydra itself still refuses an unknown key. The resolver
    `number` writes 1, 1.0 and 1.00 alike, for names; `own` gives each process of a run a name of its own.
    """
    OmegaConf.register_new_resolver("own", own_name, replace=True)
    OmegaConf.register_new_resolver("number", lambda value: f"{float(value):g}", replace=True)
    OmegaConf.register_new_resolver("joined", lambda values: "-".join(values), replace=True)
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        node = OmegaConf.create(dataclasses.asdict(schema()))
        for path in _open_dicts(schema):
            OmegaConf.set_struct(OmegaConf.select(node, path), False)
        store.store(name=f"{name}_schema", node=node)
    plugins = (
        Plugins.instance()
    )  # finds the others now: launchers of these names in another package do not replace ours
    plugins.register(ParallelLauncher)
    for name, launcher in (("submitit_slurm", SlurmGridLauncher), ("submitit_local", LocalGridLauncher)):
        plugins.register(launcher)  # Hydra's own search does not see what is installed for development
        store.store(group="hydra/launcher", name=name, node=_launcher(launcher.__name__))


def _launcher(name: str) -> DictConfig:
    """The options of a launcher, with those that follow from the run's."""
    node = OmegaConf.create(
        dataclasses.asdict(ClusterConfig())
        | {"name": "${sweep_name}", "nodes": "${oc.select:trainer.nodes,1}"}
        | {"tasks_per_node": "${oc.select:trainer.devices,1}"}
        | {"_target_": f"hydra_plugins.mixlingual_launcher.launcher.{name}"}
    )
    OmegaConf.set_struct(node.additional_parameters, False)
    return node


def _open_dicts(schema: type) -> Iterator[str]:
    """Paths of the options whose keys the user chooses."""
    own = sections(schema)
    for part in dataclasses.fields(schema):
        if part.name in own:
            yield from (f"{part.name}.{path}" for path in _open_dicts(own[part.name]))
        elif part.default_factory is not dataclasses.MISSING and part.default_factory() == {}:
            yield part.name
