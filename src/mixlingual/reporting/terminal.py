"""Says on one screen of a terminal what a sweep found: the answer and the differences, with their verdicts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from mixlingual.analysis.statistics.effects import Effects
from mixlingual.analysis.statistics.estimates import Estimates
from mixlingual.measures.registry import METRICS
from mixlingual.reporting.answer import PLACES
from mixlingual.reporting.sentences import short

_COLUMNS = 79
_MOST_SIZES = 3
"""So many sizes fit beside the names of settings: the smallest, the largest, and one between."""


def screen(estimates: Estimates, answers: Mapping[str, str], status: str, missing: str, over: str) -> str:
    """Returns at most 79 columns, and for two benchmarks some 20 lines.

    Args:
        estimates: of the sweep.
        answers: benchmark -> its answer in a sentence.
        status: how far the sweep is.
        missing: what is said of missing runs, whose verdicts could turn; empty where none is missing.
        over: what intervals and tests are over; empty where there are none.
    """
    lines = [status]
    for benchmark, answer in answers.items():
        lines += ["", *textwrap.wrap(f"{benchmark}: {answer}", _COLUMNS)]
        lines += _table(estimates, benchmark, verdicts=not missing)
    return "\n".join([*lines, *(["", *textwrap.wrap(over, _COLUMNS)] if over else [])])


def _table(estimates: Estimates, benchmark: str, *, verdicts: bool) -> Iterator[str]:
    """Yields a header, and a line for each setting: what the greatest ratio changes at each size."""
    first: dict[tuple[str, str], Effects] = {}
    for family in estimates.effects:
        if family.benchmark == benchmark and family.effects:
            first.setdefault((family.setting, family.measure), family)
    if not first:
        return
    models = list(dict.fromkeys(each.model for family in first.values() for each in family.effects))
    if len(models) > _MOST_SIZES:
        models = [models[0], models[len(models) // 2], models[-1]]
    ratio = max(each.ratio for family in first.values() for each in family.effects)
    reference = next(iter(first.values())).reference
    yield f"{f'ratio {ratio:g} less {reference}':28.28}" + "".join(f"  {model[-15:]:>15}" for model in models)
    for (setting, measure), family in first.items():
        own = {each.model: each.estimate for each in family.effects if each.ratio == ratio}
        cells = []
        for model in models:
            word = f" {estimates.verdict(measure, own[model])}" if model in own and verdicts else ""
            cells.append(f"{short(measure, own[model].value, sign=True)}{word}" if model in own else "-")
        where = PLACES[setting].replace("In the pool of all languages", "Pool of all").replace("Across two", "Across")
        yield f"{f'{where}, {METRICS[measure].label}':28.28}" + "".join(f"  {cell:>15}" for cell in cells)
