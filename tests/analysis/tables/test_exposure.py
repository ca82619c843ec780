"""What batches held, read from results that may lack it."""

import json

import pandas as pd
from sweep_fixture import result, write_done

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.tables.exposure import BATCH_COLUMNS, batches_table, exposure_table
from mixlingual.reporting.tables import batches_display


def sweep_of(folder, *batches):
    for seed, held in enumerate(batches):
        write_done(folder, result("small", 0.5, seed) | ({} if held is None else {"batches": held}))
    return read_sweep(folder)


def test_one_row_for_each_run(tmp_path):
    table = batches_table(sweep_of(tmp_path / "s", None, None))
    assert table.columns.tolist() == BATCH_COLUMNS
    assert table.iloc[1, 1:].tolist() == [0.5, 0.25, 6400, 1001, 2000, 0.5, 3.0]


def test_foreign_results_leave_blanks(tmp_path):
    sweep = sweep_of(tmp_path / "s", {}, {"tokens": 3, "pairs": "many", "passes": {"x": None}})
    table = batches_table(sweep)
    assert table.iloc[:, 1:].isna().all(axis=None)
    assert exposure_table(sweep).empty
    assert {cell.text for row in batches_display(table).rows for cell in row[1:]} == {"-"}


def test_pairs_by_language(tmp_path):
    table = exposure_table(sweep_of(tmp_path / "s", {"language_pairs": {"de-en": 7, "en-de": 9}}))
    assert table[["language_pair", "pairs"]].to_numpy().tolist() == [["de-en", 7], ["en-de", 9]]


def test_the_table_as_shown(tmp_path):
    shown = batches_display(batches_table(sweep_of(tmp_path / "s", None)))
    assert [cell.text for cell in shown.rows[0]][1:] == ["0.500", "0.250", "6,400", "1,000", "2,000", "0.50", "3.00"]
    assert json.dumps(shown.header)
    assert isinstance(batches_table(read_sweep(tmp_path / "s")), pd.DataFrame)
