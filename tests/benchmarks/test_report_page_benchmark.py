"""The report benchmark makes up a sweep that is read as finished, and its figures are those of the files."""

import pytest

from benchmarks import report_page as benchmark
from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.estimates import read_scores
from mixlingual.analysis.tables.grid import grid_axes, languages_table, results_table
from mixlingual.measures.registry import METRICS, headlines
from mixlingual.reporting.payload import payload


def test_its_sweep_has_every_measure_and_its_rows_are_those_of_the_report(tmp_path, monkeypatch):
    folder = tmp_path / "made_up"
    monkeypatch.setattr(benchmark, "LANGUAGES", {"x": ["de", "en"], "y": ["de", "en", "th"]})
    monkeypatch.setattr(benchmark, "QUESTIONS", {"x": 10})
    benchmark.write_sweep(folder, {"small": 1, "large": 2}, (0.0, 1.0), range(1))
    sweep = read_sweep(folder)
    assert len(sweep.in_state("done")) == len(sweep.runs) == 4
    drawn = payload(sweep, results_table(sweep), languages_table(sweep), grid_axes(sweep))
    assert {name for scores in drawn["benchmarks"]["y"]["scores"].values() for name in scores} == set(METRICS)
    assert {(part.setting, part.measure) for part in read_scores(sweep).parts} > set(headlines())
    rows = {row.name: row.ours for row in benchmark.measure(folder)}
    phases = [rows[f"report of 4 runs, {phase}"] for phase in ("imports", *benchmark.PHASES)]
    assert min(phases) > 0, "each phase is timed"
    assert sum(phases) < rows["report of 4 runs, all"]
    for name in ("index.html", "languages.parquet"):
        size = (folder / "report" / name).stat().st_size
        assert rows[f"report of 4 runs, {name}"] == pytest.approx(size / 1e6)
