"""Reads what a sweep has left under multirun/: every planned run, how far it got and its result.

A sweep is read at any time, also while it runs. A file that cannot be read makes its run
`unreadable`, with the reason; it never hides the others.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mixlingual.analysis.read.points import ZERO_SHOT, GridPoint, grid_point, is_number, tell_apart
from mixlingual.config.schema import AnalysisConfig
from mixlingual.records import RESULT_SCHEMA, MixlingualError, RunResult

State = Literal["done", "started", "requeued", "missing", "failed", "unreadable"]

_MALFORMED = (OSError, ValueError, RecursionError)


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
    """Why the run failed or cannot be read."""
    traceback: str = ""
    updated: str = ""
    """ISO time of the last sign of life of a run that started, was requeued or failed."""
    attempt: int | None = None
    """How many times the run was started, by its status.json; None where that does not say."""
    job: str = ""
    """The cluster's number of the job that ran it last."""


@dataclass(frozen=True)
class Sweep:
    """All runs of a sweep: the planned ones in their order, then others found in its folder."""

    name: str
    folder: Path
    runs: tuple[Run, ...]
    command: str | None = None
    """The command that started it; None when its runs were started one by one."""
    analysis: AnalysisConfig = field(default_factory=AnalysisConfig)
    """What was declared when the sweep first started; the defaults where nothing was."""
    reference: dict[str, dict[str, str]] = field(default_factory=dict)
    """Size -> option -> its value on the ratio axis: see `points.Places`."""
    plan_problem: str | None = None
    """Why sweep.json cannot be read, so that runs that never started are unknown; None if it can."""
    parts: tuple[str, ...] = ()
    """Folders of the reports that the runs were read from; empty for a sweep that was read from its own."""

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
        return found


def read_sweep(folder: Path) -> Sweep:
    """All that `folder`, multirun/<sweep_name>, says about its runs.

    Raises:
        MixlingualError: the folder does not exist or holds no runs; the message names the sweeps beside it.
    """
    on_disk = _run_names(folder)
    if not on_disk and not (folder / "sweep.json").exists():
        raise MixlingualError(_no_sweep(folder))
    planned, problem = _read_plan(folder / "sweep.json")
    names = dict.fromkeys((*planned, *on_disk))
    analysis = declared_analysis(folder / "sweep.json")
    runs, reference = _told_apart([_read_run(folder / name, planned.get(name)) for name in names], analysis.reference)
    return Sweep(
        folder.resolve().name,
        folder,
        tuple(runs),
        command=_command(folder / "multirun.yaml"),
        analysis=analysis,
        reference=reference,
        plan_problem=problem,
    )


def _run_names(folder: Path) -> list[str]:
    return sorted({path.parent.name for name in ("status", "result") for path in folder.glob(f"*/{name}.json")})


def _no_sweep(folder: Path) -> str:
    files = (*folder.parent.glob("*/sweep.json"), *(path.parent for path in folder.parent.glob("*/*/status.json")))
    sweeps = sorted({path.parent.name for path in files})
    known = f"sweeps beside it: {', '.join(sweeps)}" if sweeps else f"{folder.parent} holds no sweeps yet"
    problem = "holds no runs" if folder.is_dir() else "does not exist"
    return (
        f"the sweep folder {folder} {problem}; {known}. Name a sweep with sweep_name=NAME and the folder of "
        "the sweeps with root=FOLDER, or start one with python -m mixlingual.train"
    )


def _read_plan(path: Path) -> tuple[dict[str, GridPoint], str | None]:
    """(run name -> grid point of every planned run, why there are none)."""
    if not path.exists():
        return {}, None
    try:
        return {name: _planned_point(run) for name, run in planned_runs(path).items()}, None
    except _MALFORMED as error:
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
    except (*_MALFORMED, KeyError, TypeError) as error:
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
        problems = [*analysis.problems()]
    except (*_MALFORMED, KeyError, TypeError, AttributeError):
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


def _read_run(folder: Path, planned: GridPoint | None) -> Run:
    """The run in `folder`. A readable result.json counts as done whatever status.json says: it is written last."""
    try:
        if (folder / "result.json").exists():
            result = _read_result(folder / "result.json")
            point = _trained_point(result.config, result.training)
            return Run(folder.name, "done", point, result, **_attempt(_status_if_any(folder)))
        if (folder / "status.json").exists():
            return _read_status(folder, planned)
    except _MALFORMED as error:
        return Run(folder.name, "unreadable", planned, reason=str(error))
    return Run(folder.name, "missing", planned)


def _read_status(folder: Path, planned: GridPoint | None) -> Run:
    status = _read_object(folder / "status.json")
    state = status.get("state")
    if state == "done":
        raise ValueError("status.json says done, but there is no result.json")
    if state not in ("started", "requeued", "failed"):
        raise ValueError(f"status.json has the unknown state {state!r}")
    reason, traceback, updated = (str(status.get(key) or "") for key in ("reason", "traceback", "updated"))
    return Run(folder.name, state, planned, None, reason, traceback, updated, **_attempt(status))


def _status_if_any(folder: Path) -> dict[str, Any]:
    try:
        return _read_object(folder / "status.json")
    except _MALFORMED:
        return {}


def _attempt(status: dict[str, Any]) -> dict[str, Any]:
    attempt = status.get("attempt")
    return {"attempt": int(attempt) if is_number(attempt) else None, "job": str(status.get("job") or "")}


def _read_result(path: Path) -> RunResult:
    """The result in `path`; the metrics inside `benchmarks` stay unchecked.

    Raises:
        ValueError: it is of another layout or incomplete.
    """
    document = _read_object(path)
    parts = dataclasses.fields(RunResult)
    needed = [part.name for part in parts if part.default_factory is dataclasses.MISSING]
    absent = [name for name in needed if name not in document]
    if absent:
        raise ValueError(f"result.json lacks {', '.join(absent)}")
    for name in ("config", "versions", "data", "parameters", "batches", "training", "benchmarks", "timings"):
        if not isinstance(document.get(name, {}), dict):
            raise ValueError(f"result.json: {name} is no object")  # noqa: TRY004
    weights = document["parameters"].get("non_embedding")
    if not is_number(weights) or weights <= 0:
        raise ValueError(f"result.json: parameters.non_embedding is {weights!r}, and it takes a number above 0")
    return RunResult(**{part.name: document[part.name] for part in parts if part.name in document})


def _read_object(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} is no JSON object")  # noqa: TRY004 (callers treat all malformed files alike)
    if path.name != "status.json" and document.get("schema") != RESULT_SCHEMA:
        found = document.get("schema")
        raise ValueError(f"{path.name} has layout version {found!r}; this version of Mixlingual reads {RESULT_SCHEMA}")
    return document


def _trained_point(config: dict[str, Any], training: dict[str, Any]) -> GridPoint:
    """Where a finished run lies; one without training has no ratio of its own and is a series apart."""
    model, batching = config.get("model"), config.get("batching")
    if not isinstance(model, dict) or not isinstance(batching, dict):
        raise ValueError("result.json: config lacks model or batching")  # noqa: TRY004
    series = ZERO_SHOT if training.get("steps") == 0 else batching.get("name")
    return grid_point(model.get("name"), series, batching.get("monolingual_ratio"), config.get("seed"))


def _told_apart(runs: list[Run], declared: dict[str, str]) -> tuple[list[Run], dict[str, dict[str, str]]]:
    """(the runs with the places of those that are finished, the reference of `Sweep`)."""
    done = {run.name: (run.point, run.result) for run in runs if run.point is not None and run.result is not None}
    places = tell_apart(list(done.values()), declared)
    points = dict(zip(done, places.points, strict=True))
    return [dataclasses.replace(run, point=points.get(run.name, run.point)) for run in runs], places.reference


def _command(path: Path) -> str | None:
    """The training command, from the multirun.yaml that Hydra leaves in a sweep's folder."""
    if not path.exists():
        return None
    try:
        sweep: Any = OmegaConf.to_container(OmegaConf.load(path))
        overrides = sweep["hydra"]["overrides"]
        words = [word for word in (*overrides["task"], *overrides["hydra"]) if word != "hydra.mode=MULTIRUN"]
    except (*_MALFORMED, YAMLError, OmegaConfBaseException, KeyError, TypeError):
        return None
    return shlex.join(["python", "-m", "mixlingual.train", "--multirun", *map(str, words)])


def _tallies(records: list[dict[str, str]]) -> dict[str, Counter[str]]:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: Counter(str(record[name]) for record in records if name in record) for name in names}
