"""The grid: every run of a sweep, composed and checked before the first one starts."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from mixlingual.cluster.ledger import read_jobs
from mixlingual.config.checks import ConfigError, Schema, to_config
from mixlingual.config.identity import evaluation_hash, to_plain
from mixlingual.config.schema import EvaluateConfig, TrainConfig
from mixlingual.files import read_object, written_whole
from mixlingual.grid.declared import sizes_by_name
from mixlingual.grid.prerequisites import check_files
from mixlingual.records import MixlingualError
from mixlingual.runs.reasons import end_of_job, why_not_done
from mixlingual.runs.record import RunRecord

SWEEP_SCHEMA = 1

_NO_MORE = frozenset(
    (
        "-m", "--multirun", "-r", "--run", "-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "-i", "--info",
        "-sc", "--shell-completion",
    )
)  # fmt: skip
"""Words of Hydra that leave no place for -m: it is said already, or nothing starts."""


def compose_runs(overrides: Sequence[str]) -> list[TrainConfig]:
    """Every run that the command-line overrides stand for, in the order of the grid.

    Hydra must be initialised, as it is inside `hydra.main`.

    Raises:
        ConfigError: a run is invalid, or two runs would share a folder; all mistakes are listed.
    """
    configs = _compose("train", TrainConfig, overrides)
    _check_names(configs)
    return configs


def _compose(primary: str, schema: type[Schema], overrides: Sequence[str]) -> list[Schema]:
    """The config of each cell of a grid, or a ConfigError with the mistakes of all."""
    chosen = compose(primary, overrides=_without_choices(overrides), return_hydra_config=True)
    swept: list[str] = [f"{key}={value}" for key, value in (chosen.hydra.sweeper.params or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*swept, *overrides])
    configs: list[Schema] = []
    mistaken = defaultdict(list)
    for cell in BasicSweeper.split_arguments(parsed, None)[0]:
        try:
            configs.append(to_config(schema, compose(primary, overrides=list(cell))))
        except ConfigError as error:
            mistaken[str(error)].append(" ".join(cell))
    if mistaken:
        count = sum(len(cells) for cells in mistaken.values())
        listed = "\n".join(f"{_some(cells)}\n{message}" for message, cells in mistaken.items())
        raise ConfigError(f"{count} runs of the sweep are invalid:\n{listed}")
    return configs


def _some(cells: Sequence[str]) -> str:
    """The first of the cells that share a mistake, and how many more there are."""
    return cells[0] if len(cells) == 1 else f"{cells[0]} and {len(cells) - 1} more"


def _without_choices(overrides: Sequence[str]) -> list[str]:
    """The overrides that hold one value: enough to find the sweep preset."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [override.input_line for override in parsed if not override.is_sweep_override() and override.input_line]


def _check_names(configs: Sequence[TrainConfig]) -> None:
    if len(sweeps := sorted({config.sweep_name for config in configs})) > 1:
        raise ConfigError(f"got several sweep_names, {', '.join(sweeps)}; a grid has one: start a grid for each")
    names = Counter((config.sweep_name, config.run_name) for config in configs)
    if shared := [f"{sweep}/{run} ({count} runs)" for (sweep, run), count in names.items() if count > 1]:
        raise ConfigError(
            f"runs of the sweep would share a folder: {', '.join(shared)}; put every swept option into run_name, "
            "as in run_name='${model.name}_r${number:${batching.monolingual_ratio}}_lr${optim.learning_rate}_s${seed}'"
        )


class SweepGuard(Callback):
    """Around a multirun: checks and records the grid before it starts, and reports failures at its end."""

    def __init__(self) -> None:
        self._folder = Path()
        self._runs: list[TrainConfig] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Validates every run and writes sweep.json; a grid that cannot start ends the program with code 1."""
        with ending_the_program():
            self._runs = compose_runs(_words(config))
            self._folder = Path(config.hydra.sweep.dir)
            missing = [run for run in self._runs if not RunRecord(self._folder / run.run_name, run).is_done()]
            if config.hydra.launcher.get("check_files"):
                check_files(missing)
            record_grid(self._folder, self._runs)
            _say(f"sweep {self._runs[0].sweep_name}: {len(self._runs)} runs in {self._folder}")

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Names the runs that did not finish; any makes the exit code 1."""
        with ending_the_program():
            jobs = read_jobs(self._folder)
            reasons = {
                run.run_name: why_not_done(self._folder / run.run_name, jobs.get(run.run_name)) for run in self._runs
            }
            failed = {name: reason for name, reason in reasons.items() if reason}
            done = len(self._runs) - len(failed)
            _say(f"sweep {self._runs[0].sweep_name}: {done} of {len(self._runs)} runs done")
            for name, reason in failed.items():
                _say(f"{name}: {reason}")
        if failed:
            sys.exit(1)


class EvaluationGuard(Callback):
    """Around a multirun of evaluations: checks the grid before it starts, and names at its end what is missing."""

    def __init__(self) -> None:
        self._evaluations: list[EvaluateConfig] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Validates every evaluation; a grid that cannot start ends the program with code 1."""
        with ending_the_program():
            self._evaluations = _compose("evaluate", EvaluateConfig, _words(config))
            outputs = Counter(each.output for each in self._evaluations)
            if shared := [output for output, count in outputs.items() if count > 1]:
                raise ConfigError(
                    f"evaluations would share the file {', '.join(shared)}; set output='${{run_name}}.json'"
                )
            for each in self._evaluations:
                _check_same_evaluation(each)
            _say(f"{len(self._evaluations)} evaluations, to {self._evaluations[0].output} and so on")

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Names the evaluations that left no file; any makes the exit code 1."""
        jobs = read_jobs(Path(config.hydra.sweep.dir))
        missing = [each for each in self._evaluations if not Path(each.output).exists()]
        for each in missing:
            job = jobs.get(each.run_name)
            _say(f"{each.output} was not written" + (f": {end_of_job(job, {})}; log: {job['log']}" if job else ""))
        if missing:
            sys.exit(1)


def _check_same_evaluation(config: EvaluateConfig) -> None:
    """Raises MixlingualError where the file to write holds another evaluation, which would be taken for this one."""
    output = Path(config.output)
    if output.exists() and read_object(output).get("evaluation_hash") != evaluation_hash(config):
        raise MixlingualError(
            f"{output} holds an evaluation with other options, or of an encoder that was trained again since; set "
            "output='multirun/${sweep_name}/${run_name}/OTHER_NAME.json', or delete it"
        )


def _words(config: DictConfig) -> list[str]:
    """The overrides of the command line, their interpolations as they are."""
    given: Any = OmegaConf.to_container(config.hydra.overrides)
    return [*given["hydra"], *given["task"]]


@contextmanager
def ending_the_program() -> Iterator[None]:
    """Hydra turns exceptions of callbacks into warnings and goes on; here they end the program with code 1."""
    try:
        yield
    except MixlingualError as error:
        sys.exit(f"error: {error}")
    except Exception:
        sys.exit(f"error: {traceback.format_exc()}")


def _say(text: str) -> None:
    """A line on the terminal; outside of runs Hydra has not set up logging."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def record_grid(folder: Path, runs: Sequence[TrainConfig]) -> None:
    """Adds runs to the folder's sweep.json, which lists every run that was ever planned there.

    What the sweep declared as its analysis when it first started stays, so that no contrast is chosen after a look.
    Sizes of the contrast that were left open are those of the runs that were planned then, by name.
    """
    path = folder / "sweep.json"
    known, analysis = {}, to_plain(runs[0].analysis)
    if path.exists():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            known = {run["run_name"]: run for run in content["runs"]}
            declared = content.get("analysis", analysis)
            if declared != {**declared, **analysis, "sizes": analysis["sizes"] or declared.get("sizes")}:
                _say(f"the analysis stays as it was declared when {folder.name} first started: {declared}")
            analysis = declared
        except (ValueError, KeyError, TypeError) as error:
            raise MixlingualError(f"{path} is damaged ({error!r}); delete it, and it is written anew") from error
    elif analysis["sizes"] is None:
        analysis["sizes"] = sizes_by_name(runs)
    for run in runs:
        known[run.run_name] = {
            "run_name": run.run_name,
            "model": run.model.name,
            "batching": run.batching.name,
            "monolingual_ratio": run.batching.monolingual_ratio,
            "seed": run.seed,
        }
    content = {
        "schema": SWEEP_SCHEMA,
        "sweep_name": runs[0].sweep_name,
        "analysis": analysis,
        "runs": list(known.values()),
    }
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def over_runs(words: Sequence[str]) -> list[str]:
    """The words of a command line of evaluations, where a sweep alone stands for its finished runs."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    if "sweep_name" not in given or "run_name" in given:
        return list(words)
    sweep = Path("multirun") / given["sweep_name"]
    runs = sorted(path.parent.name for path in sweep.glob("*/result.json") if (path.parent / "model").is_dir())
    if not runs:
        sys.exit(f"error: {sweep} has no finished run with a model; train it with trainer.save_model=true")
    folder = "multirun/${sweep_name}/${run_name}"
    added = [f"run_name={','.join(runs)}", f"model.checkpoint='{folder}/model'", "model.name='${run_name}'"]
    if "output" not in given:
        added.append(f"output='{folder}/evaluation_${{joined:${{evaluation.benchmarks}}}}.json'")
    place = list(words).index(f"sweep_name={given['sweep_name']}")  # Hydra wants all overrides side by side
    return [*words[:place], *added, *words[place:]]


def spelled_out(words: Sequence[str]) -> list[str]:
    """The words of a command line, with --detach as the option that it stands for.

    Hydra asks a launcher only in a multirun, so that one run for a cluster is spelled as a grid of one.
    """
    queued = any(word.startswith("hydra/launcher=submitit_") for word in words)
    if "--detach" in words and not queued:
        sys.exit("error: --detach leaves a grid to a cluster; add hydra/launcher=submitit_slurm, and cluster=NAME")
    spelled = ["hydra.launcher.detach=true" if word == "--detach" else word for word in words]
    return ["-m", *spelled] if queued and _NO_MORE.isdisjoint(word.split("=")[0] for word in words) else spelled
