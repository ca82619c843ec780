"""Shows the runs of a sweep as a table: one row a run, or sizes by ratios."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mixlingual.runs.state import RunState, State
from mixlingual.runs.time_left import time_left

STYLES: dict[State, str] = {
    "planned": "dim", "queued": "dim", "held": "yellow", "running": "cyan", "evaluating": "blue", "requeued": "yellow",
    "silent": "magenta", "killed": "red", "interrupted": "yellow", "failed": "bold red", "unreadable": "bold red",
    "done": "green",
}  # fmt: skip
"""State -> how it is shown on a terminal, in the order of the counts."""


_PLAIN_WIDTH = 160
"""Characters of a line where the output is no terminal."""


def show_table(made: Callable[[], RenderableType], seconds: float | None) -> None:
    """Prints a table once, or anew each time so many seconds have passed, until Ctrl-C.

    On a terminal it is drawn in place, elsewhere below the one before.
    """
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    if seconds is None:
        console.print(made())
        return
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            if console.is_terminal:
                live.update(made(), refresh=True)
            else:
                console.print(made())
            time.sleep(seconds)


def runs_table(sweep_name: str, runs: Sequence[RunState]) -> RenderableType:
    """Counts, then a row for each run."""
    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("state")
    validated = any(run.validated for run in runs)
    for name in ("step", "pairs/s", "left", *(["validation"] if validated else []), "seen", "attempt", "preempted"):
        table.add_column(name, justify="right")
    table.add_column("", overflow="fold")
    for run in runs:
        table.add_row(
            Text(run.name), Text(run.state, STYLES[run.state]), *_figures(run, validated=validated), Text(_remark(run))
        )
    return Group(_counts(sweep_name, runs), table)


def grid_table(sweep_name: str, runs: Sequence[RunState]) -> RenderableType:
    """Counts, then sizes in rows and ratios in columns: how many runs of a cell are in which state.

    Runs that the grid does not name are counted above alone.
    """
    ratios = sorted({run.ratio for run in runs if run.ratio is not None})
    table = Table(box=None, pad_edge=False)
    table.add_column("size")
    for ratio in ratios:
        table.add_column(f"{ratio:g}")
    for model in dict.fromkeys(run.model for run in runs if run.model):
        row = [[run for run in runs if (run.model, run.ratio) == (model, ratio)] for ratio in ratios]
        table.add_row(Text(model), *map(_tally, row))
    return Group(_counts(sweep_name, runs), table)


def _counts(sweep_name: str, runs: Sequence[RunState]) -> Text:
    return Text.assemble(
        f"sweep {sweep_name}: {len(runs)} run{'s' if len(runs) > 1 else ''}: ", _tally(runs), _time_left(runs)
    )


def _time_left(runs: Sequence[RunState]) -> str:
    """As in `; about 2 h 05 left with 2 runs at a time, without large, of which no run is done`."""
    found = time_left(runs)
    if not found:
        return ""
    without = f", without {', '.join(found.unknown)}, of which no run is done" if found.unknown else ""
    plural = "s" if found.at_work > 1 else ""
    return f"; about {duration(found.seconds)} left with {found.at_work} run{plural} at a time{without}"


def _tally(runs: Sequence[RunState]) -> Text:
    """As in `3 done, 1 running`."""
    counted = Counter(run.state for run in runs)
    parts = [Text(f"{counted[state]} {state}", style) for state, style in STYLES.items() if counted[state]]
    return Text(", ").join(parts)


def _figures(run: RunState, *, validated: bool) -> list[str]:
    newest = run.validated
    shown = f"{newest['value']:.4f} at {newest['step']:.0f}" if newest else ""
    return [
        "" if run.step is None else f"{run.step}/{run.steps}",
        "" if run.pairs_per_second is None else f"{run.pairs_per_second:.0f}",
        "" if run.seconds_left is None else duration(run.seconds_left),
        *([shown] if validated else []),
        "" if run.age is None or run.state == "done" else f"{duration(run.age)} ago",
        str(run.attempts or ""),
        str(run.preempted or ""),
    ]


def _remark(run: RunState) -> str:
    """Why the run is not done, and its job where that says more."""
    if run.state == "done" or (run.job and run.job in run.reason):
        return run.reason
    job = run.job and f"job {run.job}{f': {run.slurm}' if run.slurm else ''}"
    return "; ".join(part for part in (run.reason, job) if part)


def duration(seconds: float) -> str:
    """As 12 s, 3 min, 4 h 05 or 2 d 03 h."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02}" if hours < 24 else f"{hours // 24} d {hours % 24:02} h"
