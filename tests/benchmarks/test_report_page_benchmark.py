"""The report benchmark makes up a sweep that is read as finished, and its figures are those of the files."""

import pytest

from benchmarks import report_page as benchmark
from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.tables.grid import grid_axes, languages_table, results_table
from mixlingual.measures.registry import METRICS
from mixlingual.reporting import write
from mixlingual.reporting.payload import payload


def test_its_sweep_has_every_measure_and_its_rows_are_sizes_of_files(tmp_path, monkeypatch):
    folder = tmp_path / "made_up"
    monkeypatch.setattr(benchmark, "LANGUAGES", {"x": ["de", "en"], "y": ["de", "en", "th"]})
    monkeypatch.setattr(write, "pictures", lambda *_: [])
    benchmark.write_sweep(folder, {"small": 1, "large": 2}, (0.0, 1.0), range(1))
    sweep = read_sweep(folder)
    assert len(sweep.in_state("done")) == len(sweep.runs) == 4
    drawn = payload(sweep, results_table(sweep), languages_table(sweep), grid_axes(sweep))
    assert {name for scores in drawn["benchmarks"]["y"]["scores"].values() for name in scores} == set(METRICS)
    rows = {row.name: row.ours for row in benchmark.measure(folder)}
    assert rows["report of 4 runs, time of one core"] > 0
    for name in ("index.html", "languages.parquet"):
        size = (folder / "report" / name).stat().st_size
        assert rows[f"report of 4 runs, {name}"] == pytest.approx(size / 1e6)
