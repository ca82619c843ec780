"""Tells Hydra what it must know before it composes: the schemas, the resolvers, the launchers and where conf/ lies."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePath

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.mixlingual_launcher.launcher import LocalGridLauncher, SlurmGridLauncher
from hydra_plugins.mixlingual_launcher.parallel import ParallelLauncher
from mixlingual.config.schema import SCHEMAS, ClusterConfig, sections

_PACKAGED_CONF = Path(__file__).parents[1] / "conf"


CONF_DIR = _PACKAGED_CONF if _PACKAGED_CONF.is_dir() else Path(__file__).parents[3] / "conf"
"""The configuration folder: inside an installed wheel, else at the top of the checkout."""


def register() -> None:
    """Makes the schemas and the launchers known to Hydra, under the names that the YAML files list.

    Schemas are stored as plain values: a wrong type then reaches `to_config`, which reports it together with every
    other mistake, while Hydra itself still refuses an unknown key. The resolver `number` writes 1, 1.0 and 1.00 alike,
    and `last_parts` the end of a path, for names. `rate_for`, `steps_for` and `decay_for` let options follow the batch
    size. `mode` makes every start with a launcher of jobs a multirun, since Hydra asks a launcher in no other.
    """
    OmegaConf.register_new_resolver("number", lambda value: f"{float(value):g}", replace=True)
    OmegaConf.register_new_resolver("joined", lambda values: "-".join(values), replace=True)
    OmegaConf.register_new_resolver("last_parts", last_parts, replace=True)
    for resolver in (rate_for, steps_for, decay_for):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
    OmegaConf.register_new_resolver("mode", _mode, replace=True)
    # Hydra copies its one store for each cell that it composes, and a hundred times for --help; nothing changes a copy
    ConfigStore.__deepcopy__ = lambda store, _: store  # type: ignore[attr-defined]
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        node = OmegaConf.create(dataclasses.asdict(schema()))
        for path in _open_dicts(schema):
            OmegaConf.set_struct(OmegaConf.select(node, path), False)
        store.store(name=f"{name}_schema", node=node)
    plugins = Plugins.instance()  # finds the others now: launchers of our names in other packages do not replace ours
    plugins.register(ParallelLauncher)
    for name, launcher in (("submitit_slurm", SlurmGridLauncher), ("submitit_local", LocalGridLauncher)):
        plugins.register(launcher)  # Hydra's own search does not see what is installed for development
        store.store(group="hydra/launcher", name=name, node=_launcher(launcher.__name__))


def rate_for(rate: float, batch_size: int, reference: int) -> float:
    """Returns a learning rate that grows with the root of the batch size, as fits Adam; `rate` is that of `reference`.

    Its square root rule is that of Malladi et al. 2022 (arXiv 2205.10287).
    """
    return float(f"{rate * math.sqrt(batch_size / reference):.6g}")


def steps_for(pairs: int, batch_size: int) -> int:
    """Returns in how many steps so many pairs are seen, at least one."""
    return max(1, round(pairs / batch_size))


def decay_for(pairs: int, batch_size: int) -> float:
    """Returns the decay of an average whose weights fall to 1 / e over so many pairs, whatever the batch size."""
    return float(f"{math.exp(-batch_size / pairs):.6g}")


def last_parts(checkpoint: str | None, parts: int) -> str:
    """Returns a name made of the last parts of a folder or hub id, as `e5_small` of models/e5/small with 2 parts.

    Characters other than letters, digits, - and . become _. Weights from scratch, null, are called scratch.
    """
    whole = [part for part in PurePath(checkpoint or "scratch").parts if part.strip("/.~")]
    return re.sub(r"[^\w.-]", "_", "_".join(whole[-parts:])).lstrip(".")


def _mode(launcher: str) -> str | None:
    return "MULTIRUN" if launcher.endswith("GridLauncher") else None


def _launcher(name: str) -> DictConfig:
    """The options of a launcher; some follow from those of the run."""
    node = OmegaConf.create(
        dataclasses.asdict(ClusterConfig())
        | {"name": "${sweep_name}", "nodes": "${oc.select:trainer.nodes,1}"}
        | {"tasks_per_node": "${oc.select:trainer.devices,1}", "detach": "${oc.select:detach,false}"}
        | {"_target_": f"hydra_plugins.mixlingual_launcher.launcher.{name}"}
    )
    OmegaConf.set_struct(node.additional_parameters, False)
    return node


def _open_dicts(schema: type) -> Iterator[str]:
    """Finds the paths of the options whose keys the user chooses."""
    own = sections(schema)
    for part in dataclasses.fields(schema):
        if part.name in own:
            yield from (f"{part.name}.{path}" for path in _open_dicts(own[part.name]))
        elif part.default_factory is not dataclasses.MISSING and part.default_factory() == {}:
            yield part.name
