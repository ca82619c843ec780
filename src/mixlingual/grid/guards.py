"""Checks a run or grid as a whole before anything is written; Hydra calls it around every start."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from mixlingual.cluster.squeue import job_states
from mixlingual.config.checks import ConfigError, to_config
from mixlingual.config.identity import evaluation_hash, possible, to_plain
from mixlingual.config.schema import EvaluateConfig, PrepareConfig, TrainConfig
from mixlingual.files import lock_on, read_object, written_whole
from mixlingual.grid.compose import compose_cells, overrides_of, runs_of
from mixlingual.grid.declared import sizes_by_name
from mixlingual.grid.prerequisites import check_files, is_done
from mixlingual.layout import MODEL, RESULT, STARTS, SWEEP
from mixlingual.records import MixlingualError
from mixlingual.runs.exits import ExitCode, ending_the_program
from mixlingual.runs.jobs import end_of_job, read_jobs
from mixlingual.runs.lease import global_rank
from mixlingual.runs.state import Moment, begun, states_of

SWEEP_SCHEMA = 1


class RunGuard(Callback):
    """Before one run, and before a search, whose runs are not known yet: checks what is given."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Refuses a run that is invalid or whose folder holds another one, with code 1 and the folder untouched."""
        with ending_the_program():
            run, folder = _own_config(config), Path(config.hydra.run.dir)
            is_done(folder, run)
            record_start(folder.parent)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuses a search whose options are invalid, with code 1."""
        with ending_the_program():
            _own_config(config)
            record_start(Path(config.hydra.sweep.dir))


class SweepGuard(RunGuard):
    """Around a multirun: checks and records the grid before it starts, and reports failures at its end."""

    def __init__(self) -> None:
        self._folder = Path()
        self._runs: list[TrainConfig] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Validates every run and writes sweep.json; a grid that cannot start ends the program with code 1."""
        with ending_the_program():
            self._runs = runs_of(config)
            self._folder = Path(config.hydra.sweep.dir)
            missing = [run for run in self._runs if not is_done(self._folder / run.run_name, run)]
            if config.hydra.launcher.get("check_files"):
                check_files(missing)
            record_grid(self._folder, self._runs)
            record_start(self._folder)
            _say(f"sweep {self._runs[0].sweep_name}: {len(self._runs)} runs in {self._folder}")

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Names the runs that did not finish; any makes the exit code 1."""
        with ending_the_program():
            moment = Moment(slurm=job_states())
            runs = states_of(self._folder, [run.run_name for run in self._runs], moment)
            missing = [run for run in runs if run.state != "done"]
            _say(f"sweep {self._folder.name}: {len(runs) - len(missing)} of {len(runs)} runs done")
            for run in missing:
                _say(f"{run.name}: {run.words}" + (f"; log: {run.log}" if run.log else ""))
        if missing:
            sys.exit(ExitCode.ERROR)


class EvaluationGuard(Callback):
    """Around a multirun of evaluations: checks the grid before it starts, and names at its end what is missing."""

    def __init__(self) -> None:
        self._evaluations: list[EvaluateConfig] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Validates every evaluation; a grid that cannot start ends the program with code 1.

        Where the command line names a sweep and no run, it stands for all finished runs of that sweep.
        """
        with ending_the_program():
            words = overrides_of(config)
            with open_dict(config.hydra.sweeper):
                config.hydra.sweeper.params = finished_runs(words) | (config.hydra.sweeper.get("params") or {})
            self._evaluations = compose_cells("evaluate", EvaluateConfig, config.hydra.sweeper.params, words)
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
            sys.exit(ExitCode.ERROR)


class WorkerGuard(Callback):
    """Around several workers of one recipe: checks their options before they start, and names those that failed."""

    def __init__(self) -> None:
        self._results: list[Path] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Validates every worker; what earlier ones left is taken away, so that a changed recipe starts anew."""
        with ending_the_program():
            workers = compose_cells("prepare", PrepareConfig, None, overrides_of(config))
            names = [worker.run_name for worker in workers]
            if len(set(names)) < len(names):
                raise ConfigError(f"workers need run_names of their own, as in worker=0,1,2; got {', '.join(names)}")
            self._results = [Path(config.hydra.sweep.dir, name, RESULT) for name in names]
            for result in self._results:
                result.unlink(missing_ok=True)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Names the workers that did not end well; any makes the exit code 1."""
        jobs = read_jobs(Path(config.hydra.sweep.dir))
        missing = [result.parent.name for result in self._results if not result.exists()]
        for name in missing:
            job = jobs.get(name)
            _say(f"{name} failed" + (f": {end_of_job(job, {})}; log: {job['log']}" if job else ""))
        if missing:
            sys.exit(ExitCode.ERROR)


def finished_runs(overrides: Sequence[str]) -> dict[str, str]:
    """What a multirun of evaluations varies: the finished runs of the sweep that the overrides name, if they do.

    Raises:
        MixlingualError: the sweep has no finished run with a model.
    """
    given = dict(word.split("=", 1) for word in overrides)
    if "sweep_name" not in given or "run_name" in given:
        return {}
    sweep = Path("multirun") / given["sweep_name"].strip("'\"")
    done = [run.name for run in states_of(sweep, begun(sweep)) if run.state == "done"]
    runs = [name for name in done if (sweep / name / MODEL).is_dir()]
    if not runs:
        raise MixlingualError(f"{sweep} has no finished run with a model; train it with trainer.save_model=true")
    return {"runs": "finished", "run_name": ",".join("'" + run.replace("'", r"\'") + "'" for run in runs)}


def _check_same_evaluation(config: EvaluateConfig) -> None:
    """Raises MixlingualError where the file to write holds another evaluation, which would be taken for this one."""
    output = Path(config.output)
    names: list[Any] = [evaluation_hash(each) for each in possible(config)]
    if output.exists() and read_object(output).get("evaluation_hash") not in names:
        raise MixlingualError(
            f"{output} holds an evaluation with other options, or of an encoder that was trained again since; set "
            "output='multirun/${sweep_name}/${run_name}/OTHER_NAME.json', or delete it"
        )


def _own_config(config: DictConfig) -> TrainConfig:
    """The checked options of a run in a config with Hydra's part."""
    own = config.copy()
    with open_dict(own):
        del own["hydra"]
    return to_config(TrainConfig, own)


def _say(text: str) -> None:
    """Writes a line on the terminal; outside of runs Hydra has not set up logging."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def record_start(folder: Path) -> None:
    """Adds this program's command line to the sweep's starts.jsonl, unless it is there or another process's to add."""
    line = json.dumps(sys.argv[1:], ensure_ascii=False) + "\n"
    path = folder / STARTS
    if global_rank() or (path.exists() and line in path.read_text(encoding="utf-8").splitlines(keepends=True)):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def record_grid(folder: Path, runs: Sequence[TrainConfig]) -> None:
    """Adds runs to the folder's sweep.json, which lists every run that was ever planned there.

    Another start of the sweep that adds runs at the same time waits.
    What the sweep declared as its analysis when it first started stays, so that no contrast is chosen after a look.
    Sizes of the contrast that were left open are those of the runs that were planned then, by name.

    Raises:
        MixlingualError: sweep.json is damaged.
    """
    with lock_on(folder / f".{SWEEP}.lock"):
        content = _planned(folder / SWEEP, runs)
        with written_whole(folder / SWEEP) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _planned(path: Path, runs: Sequence[TrainConfig]) -> dict[str, Any]:
    """The content of sweep.json with more runs."""
    known, analysis = {}, to_plain(runs[0].analysis)
    if path.exists():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            known = {run["run_name"]: run for run in content["runs"]}
            declared = content.get("analysis", analysis)
            if declared != {**declared, **analysis, "sizes": analysis["sizes"] or declared.get("sizes")}:
                _say(f"the analysis stays as it was declared when {path.parent.name} first started: {declared}")
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
    return {
        "schema": SWEEP_SCHEMA,
        "sweep_name": runs[0].sweep_name,
        "analysis": analysis,
        "runs": list(known.values()),
    }
