"""Reads what a sweep has left under multirun/: every planned run, how far it got and its result.

A sweep is read at any time, also while it runs. A file that cannot be read makes its run
`unreadable`, with the reason; it never hides the others.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mixlingual.analysis.read.points import ZERO_SHOT, GridPoint, grid_point, tell_apart
from mixlingual.analysis.read.question_files import QuestionReader, Scores
from mixlingual.config.contradictions import of_analysis
from mixlingual.config.schema import AnalysisConfig
from mixlingual.layout import MULTIRUN, STARTS, SWEEP
from mixlingual.records import RESULT_SCHEMA, MixlingualError, RunResult, is_number
from mixlingual.runs.result import MALFORMED, read_document, read_run, run_with_scores
from mixlingual.runs.state import Moment, RunState, State, begun, no_sweep, states_of


@dataclass(frozen=True)
class Run:
    """One run of a sweep, finished or not."""

    name: str
    state: State
    point: GridPoint | None
    """None where nothing readable says where the run lies in the grid."""
    result: RunResult | None = None
    """Set exactly when `state` is done."""
    reason: str = ""
    """Why the run is not done."""
    traceback: str = ""
    updated: str = ""
    """ISO time of the last sign of life of a run that has begun and is not done."""
    attempt: int | None = None
    """How many times the run was started; None where that is not known."""
    job: str = ""
    """The cluster's number of the job that ran it last."""


@dataclass(frozen=True)
class Sweep:
    """All runs of a sweep: the planned ones in their order, then others found in its folder."""

    name: str
    folder: Path
    runs: tuple[Run, ...]
    commands: tuple[str, ...] = ()
    """Every distinct command that started runs of it, oldest first, with Hydra's flags."""
    analysis: AnalysisConfig = field(default_factory=AnalysisConfig)
    """What was declared when the sweep first started; the defaults where nothing was."""
    reference: dict[str, dict[str, str]] = field(default_factory=dict)
    """Size -> option -> its value on the ratio axis: see `points.Places`."""
    plan_problem: str | None = None
    """Why sweep.json cannot be read, so that runs that never started are unknown; None if it can."""
    parts: tuple[str, ...] = ()
    """Folders of the reports that the runs were read from; empty for a sweep that was read from its own."""
    scores: Scores | None = None
    """By question, of the finished runs; None where they were not read."""

    def in_state(self, state: State) -> list[Run]:
        """The runs that are in `state`."""
        return [run for run in self.runs if run.state == state]

    def results(self) -> list[RunResult]:
        """The results of the finished runs."""
        return [run.result for run in self.runs if run.result is not None]

    def commits(self) -> Counter[str]:
        """Git commit -> number of finished runs made with it."""
        return Counter(str(result.commit or "unknown") for result in self.results())

    def versions(self) -> dict[str, Counter[str]]:
        """Package -> its version -> number of finished runs made with it."""
        return _tallies([result.versions for result in self.results()])

    def fingerprints(self) -> dict[str, Counter[str]]:
        """Data set -> fingerprint of its content -> number of finished runs that read it."""
        return _tallies([result.data for result in self.results()])

    def warnings(self) -> list[str]:
        """What a reader must know before comparing runs, as sentences."""
        found = []
        if self.plan_problem:
            found.append(f"sweep.json cannot be read ({self.plan_problem}): runs that never started are not listed.")
        if len(self.commits()) > 1:
            found.append(f"The runs were made with {len(self.commits())} versions of the code.")
        changed = [name for name, tally in self.fingerprints().items() if len(tally) > 1]
        if changed:
            found.append(
                f"The content of {', '.join(changed)} differs between runs: compare only runs that read the same."
            )
        told = [each for result in self.results() for each in result.validation.get("warnings", [])]
        return found + list(dict.fromkeys(told))


def read_sweep(folder: Path, moment: Moment | None = None, measures: Sequence[str] = ()) -> Sweep:
    """All that `folder`, multirun/<sweep_name>, says about its runs.

    Args:
        folder: of the sweep.
        moment: what the state of a run depends on beside its files; now, without Slurm, if None.
        measures: those of `Sweep.scores`, which are read while a run's files are open for a check anyway.

    Raises:
        MixlingualError: the folder does not exist or holds no runs; the message names the sweeps beside it.
    """
    on_disk = begun(folder)
    if not on_disk and not (folder / SWEEP).exists():
        raise MixlingualError(no_sweep(folder))
    planned, problem = _read_plan(folder / SWEEP)
    names = list(dict.fromkeys((*planned, *on_disk)))
    analysis = declared_analysis(folder / SWEEP)
    reader = QuestionReader(measures, len({*names, *on_disk})) if measures else None
    read = (lambda run: run_with_scores(run, partial(reader.take, run.name))) if reader else read_run
    found = [_run(state, planned.get(state.name)) for state in states_of(folder, names, moment, read)]
    runs, reference = _told_apart(found, analysis.reference)
    return Sweep(
        folder.resolve().name,
        folder,
        tuple(runs),
        commands=_commands(folder),
        analysis=analysis,
        reference=reference,
        plan_problem=problem,
        scores=reader.scores().of_runs({run.name for run in runs if run.result}) if reader else None,
    )


def _run(found: RunState, planned: GridPoint | None) -> Run:
    result = found.result
    return Run(
        found.name,
        found.state,
        _trained_point(result.config, result.training) if result else planned,
        result,
        found.reason,
        found.traceback,
        "" if result else found.updated,
        found.attempts or None,
        found.job or "",
    )


def _read_plan(path: Path) -> tuple[dict[str, GridPoint], str | None]:
    """(run name -> grid point of every planned run, why there are none)."""
    if not path.exists():
        return {}, None
    try:
        return {name: _planned_point(run) for name, run in planned_runs(path).items()}, None
    except MALFORMED as error:
        return {}, str(error)


def planned_runs(path: Path) -> dict[str, dict[str, Any]]:
    """Run name -> what the sweep.json at `path` says of it: `model`, `batching`, `monolingual_ratio` and `seed`.

    Raises:
        ValueError: it cannot be read, or is none.
    """
    try:
        runs = {run["run_name"]: run for run in _read_object(path)["runs"]}
        for name, run in runs.items():
            if not is_folder_name(name):
                raise ValueError(f"{name!r} is no name of a run")
            _planned_point(run)
    except (*MALFORMED, KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return runs


def declared_analysis(path: Path) -> AnalysisConfig:
    """The analysis in sweep.json; the defaults where it has none that can be read.

    Options that only an earlier version had are passed over.
    """
    try:
        declared = _read_object(path)["analysis"]
        known = {part.name: declared[part.name] for part in dataclasses.fields(AnalysisConfig) if part.name in declared}
        analysis = AnalysisConfig(**known)
        problems = [*of_analysis(analysis)]
    except (*MALFORMED, KeyError, TypeError, AttributeError):
        return AnalysisConfig()
    usual = AnalysisConfig(sizes=[])
    fitting = all(
        _is_like(value, getattr(usual, name)) or (name, value) == ("sizes", None) for name, value in known.items()
    )
    return analysis if fitting and not problems else AnalysisConfig()


def _is_like(value: object, usual: object) -> bool:
    """Whether a value is of the type of the usual one."""
    return is_number(value) if isinstance(usual, float) else isinstance(value, type(usual))


def is_folder_name(name: str) -> bool:
    """Whether a name can be that of a folder right below the one of its sweep."""
    return Path(name).name == name and name not in ("", "..") and "\0" not in name and len(name.encode()) < 256


def _planned_point(run: dict[str, Any]) -> GridPoint:
    return grid_point(run["model"], run["batching"], run["monolingual_ratio"], run["seed"])


def _read_object(path: Path) -> dict[str, Any]:
    document = read_document(path)
    if document.get("schema") != RESULT_SCHEMA:
        found = document.get("schema")
        raise ValueError(f"{path.name} has layout version {found!r}; this version of Mixlingual reads {RESULT_SCHEMA}")
    return document


def _trained_point(config: dict[str, Any], training: dict[str, Any]) -> GridPoint:
    """Where a finished run lies; one without training has no ratio of its own and is a series apart."""
    series = ZERO_SHOT if training.get("steps") == 0 else config["batching"]["name"]
    return grid_point(config["model"]["name"], series, config["batching"]["monolingual_ratio"], config["seed"])


def _told_apart(runs: list[Run], declared: dict[str, str]) -> tuple[list[Run], dict[str, dict[str, str]]]:
    """(the runs with the places of those that are finished, the reference of `Sweep`)."""
    done = {run.name: (run.point, run.result) for run in runs if run.point is not None and run.result is not None}
    places = tell_apart(list(done.values()), declared)
    points = dict(zip(done, places.points, strict=True))
    return [dataclasses.replace(run, point=points.get(run.name, run.point)) for run in runs], places.reference


def _commands(folder: Path) -> tuple[str, ...]:
    """The training commands, from what every start leaves; of older sweeps the last, from Hydra's multirun.yaml."""
    train = ["python", "-m", "mixlingual.train"]
    try:
        lines = (folder / STARTS).read_text(encoding="utf-8").splitlines()
        return tuple(dict.fromkeys(shlex.join([*train, *json.loads(line)]) for line in lines))
    except FileNotFoundError:
        pass
    except (*MALFORMED, TypeError):
        return ()
    try:
        sweep: Any = OmegaConf.to_container(OmegaConf.load(folder / MULTIRUN))
        overrides = sweep["hydra"]["overrides"]
        words = [word for word in (*overrides["task"], *overrides["hydra"]) if word != "hydra.mode=MULTIRUN"]
    except (*MALFORMED, YAMLError, OmegaConfBaseException, KeyError, TypeError):
        return ()
    return (shlex.join([*train, "--multirun", *map(str, words)]),)


def _tallies(records: list[dict[str, str]]) -> dict[str, Counter[str]]:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: Counter(str(record[name]) for record in records if name in record) for name in names}
