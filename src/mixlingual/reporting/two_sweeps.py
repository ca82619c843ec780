"""Puts the answers of two sweeps side by side: a page, a table, a picture and a screen."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from mixlingual.analysis.statistics.contrasts import Verdict
from mixlingual.analysis.statistics.two_sweeps import Changed, Comparison
from mixlingual.config.schema import AnalysisConfig
from mixlingual.files import clear_leftovers
from mixlingual.measures.registry import METRICS, headlines, larger_is_better
from mixlingual.reporting.answer import PLACES, missing_runs
from mixlingual.reporting.page import PAGE, rendered
from mixlingual.reporting.sentences import number, short
from mixlingual.reporting.tables import Cell, Table, write_tables

if TYPE_CHECKING:
    from mixlingual.reporting.figures import Picture

TABLE = "compared.csv"
COLUMNS = 79


class ComparisonPaths(NamedTuple):
    """What was written."""

    page: Path
    table: Path
    screen: str
    """What it says on a terminal."""


def write_comparison(comparison: Comparison, config: AnalysisConfig, output: Path) -> ComparisonPaths:
    """Writes the page, `TABLE` and the picture into `output`.

    Args:
        comparison: of two sweeps.
        config: the smallest differences that matter.
        output: folder to write into.
    """
    from mixlingual.reporting.figures import write_picture  # which takes a second to import
    from mixlingual.reporting.learning import inlined
    from mixlingual.reporting.two_sweeps_picture import two_sweeps_picture

    clear_leftovers(output)
    write_tables({TABLE: _frame(comparison, config)}, output)
    picture = two_sweeps_picture(comparison)
    address = inlined(write_picture(picture, output)) if picture else ""
    page = output / PAGE
    write_tables({PAGE: _page(comparison, config, picture, address)}, output)
    lines = [line for said in _said(comparison, config) for line in (*textwrap.wrap(said, COLUMNS), "")]
    return ComparisonPaths(page, output / TABLE, "\n".join(lines[:-1]))


def _said(comparison: Comparison, config: AnalysisConfig) -> Iterator[str]:
    """Missing runs first, then a sentence for each benchmark."""
    for sweep in comparison.sweeps:
        if missing := missing_runs(sweep):
            yield f"{sweep.name}: {missing}"
    complete = not any(map(missing_runs, comparison.sweeps))
    for benchmark, found in groupby(comparison.changed, key=lambda each: each.benchmark):
        yield f"{benchmark}: {changed_sentence(comparison, config, list(found), complete=complete)}"


def changed_sentence(comparison: Comparison, config: AnalysisConfig, changed: list[Changed], *, complete: bool) -> str:
    """What the second sweep changes in the answer on a benchmark.

    It is about quality in the widest setting, the largest size and the ratio furthest from the reference; about the
    scores at one ratio where the sweeps share no other.

    Args:
        comparison: of two sweeps.
        config: the smallest differences that matter.
        changed: all of the benchmark.
        complete: whether no run is missing in either; else there is no verdict.
    """
    order = [pair for pair in reversed(headlines()) if not METRICS[pair[1]].group]
    own = [each for each in changed if (each.setting, each.measure) in order]
    first = max(
        own or changed,
        key=lambda each: (
            each.reference is not None,
            -order.index((each.setting, each.measure)) if own else 0,
            comparison.sizes.index(each.models),
            abs(each.ratio - (each.reference or 0.0)),
        ),
    )
    names = [sweep.name for sweep in comparison.sweeps]
    label, place = METRICS[first.measure].label, PLACES[first.setting]
    own_value, other = (
        short(first.measure, each.value, sign=first.reference is not None) for each in (first.first, first.second)
    )
    if first.reference is None:
        told = (
            f"{place}, {label} of {_sizes(first)} at ratio {first.ratio:g} is {own_value} in {names[0]} and {other} in "
            f"{names[1]}"
        )
    else:
        told = (
            f"{place}, ratio {first.ratio:g} against {first.reference:g} changes {label} of {_sizes(first)} by "
            f"{own_value} in {names[0]} and by {other} in {names[1]}"
        )
    if not complete:
        return f"{told} so far."
    low, high = (short(first.measure, end, sign=True) for end in (first.change.low_all, first.change.high_all))
    change = f"{short(first.measure, first.change.value, sign=True)} ({low} to {high})"
    return f"{told}: {_WORDS[_verdict(config, first)].format(second=names[1], change=change)}."


_WORDS: dict[Verdict, str] = {
    "better": "{second} is better by {change}",
    "worse": "{second} is worse by {change}",
    "as good": "the same, within what matters, {change}",
    "undecided": "whether that differs is undecided, {change}",
}


def _verdict(config: AnalysisConfig, found: Changed) -> Verdict:
    smallest = config.smallest_effect.get(found.measure)
    return found.change.verdict(smallest, larger_is_better=larger_is_better(found.measure))


def _frame(comparison: Comparison, config: AnalysisConfig) -> pd.DataFrame:
    rows = []
    for each in comparison.changed:
        row: dict[str, Any] = {"benchmark": each.benchmark, "setting": each.setting, "metric": each.measure}
        row |= {"first_size": each.models[0], "second_size": each.models[1]}
        row |= {"ratio": each.ratio, "less_ratio": each.reference, "verdict": _verdict(config, each)}
        for name, found in (("first", each.first), ("second", each.second), ("change", each.change)):
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        row |= {"change_low_all": each.change.low_all, "change_high_all": each.change.high_all, "p": each.change.p}
        rows.append(row)
    return pd.DataFrame(rows)


def _page(comparison: Comparison, config: AnalysisConfig, picture: Picture | None, address: str) -> str:
    complete = not any(map(missing_runs, comparison.sweeps))
    tables = [
        (benchmark, _tables(comparison, config, list(found), complete=complete))
        for benchmark, found in groupby(comparison.changed, key=lambda each: each.benchmark)
    ]
    first, second = comparison.sweeps
    return rendered(
        "two_sweeps.html",
        first=first,
        second=second,
        said=list(_said(comparison, config)),
        options=comparison.options,
        tables=tables,
        picture=picture,
        address=address,
        level=f"{100 * config.level:g} %",
        left_out=comparison.left_out,
        table=TABLE,
    )


def _tables(
    comparison: Comparison, config: AnalysisConfig, changed: list[Changed], *, complete: bool
) -> Iterator[Table]:
    """What the ratio changes, then the scores: a row for each setting, measure, size and ratio."""
    first, second = (sweep.name for sweep in comparison.sweeps)
    differences = [each for each in changed if each.reference is not None]
    scores = [each for each in changed if each.reference is None]
    for title, found in (("What the ratio changes", differences), ("Scores", scores)):
        if found:
            rows = [_row(config, each, complete=complete) for each in found]
            yield Table(title, ["", first, second, "change", "range", f"{second} is"], rows)


def _row(config: AnalysisConfig, each: Changed, *, complete: bool) -> list[Cell]:
    less = "" if each.reference is None else f" less {each.reference:g}"
    place = f"{PLACES[each.setting]}, {METRICS[each.measure].label}, {_sizes(each)}, ratio {each.ratio:g}{less}"
    sides = [number(each.measure, found.value, sign=bool(less)) for found in (each.first, each.second)]
    value, low, high = (
        number(each.measure, end, sign=True) for end in (each.change.value, each.change.low_all, each.change.high_all)
    )
    word = _verdict(config, each) if complete else ""
    return [Cell(text) for text in (place, *sides, value, f"{low} to {high}", word)]


def _sizes(each: Changed) -> str:
    return each.models[0] if each.models[0] == each.models[1] else " / ".join(each.models)
