"""Scores by question against sums written out, and against the tables of the evaluation."""

import numpy as np
import pandas as pd
import pytest

from mixlingual.analysis.read.question_files import read_question_scores
from mixlingual.analysis.read.questions import utility
from mixlingual.evaluation.groups import aggregate
from mixlingual.measures.registry import question_columns

KEYS = ["benchmark", "setting", "query", "paragraph", "query_language", "candidate_language"]


def table(values, *, skip=None):
    """Questions 1 and 2 (paragraph p) and 3 (paragraph r), in aa and bb; question 3 only in aa."""
    rows = []
    score = iter(values)
    for query, paragraph, languages in (("1", "p", "ab"), ("2", "p", "ab"), ("3", "r", "a")):
        for language in languages:
            cell = (query, paragraph, language * 2)
            rows.append(("toy", "mono", *cell, language * 2, next(score), np.nan))
            rows.append(("toy", "multi", *cell, "all", next(score), 7.0))
        if len(languages) == 2:
            rows.append(("toy", "cross", query, paragraph, "aa", "bb", next(score), np.nan))
    frame = pd.DataFrame(rows, columns=[*KEYS, "ap", "rank_distance"])
    return frame[frame["query"] != skip]


def write(folder, **tables):
    files = {}
    for name, rows in tables.items():
        files[name] = folder / f"{name}.parquet"
        rows.to_parquet(files[name])
    return files


def scores_of(files, measures):
    found = read_question_scores(files, measures)
    return found.parts, found.left_out


def values(seed):
    return np.random.default_rng(seed).random(12)


def test_macro_means_are_those_of_the_evaluation(tmp_path):
    tables = {f"run{n}": table(values(n)) for n in range(3)}
    scores, left_out = scores_of(write(tmp_path, **tables), ["map", "rank_distance"])
    assert left_out == {}
    assert [(x.setting, x.measure) for x in scores] == [
        ("mono", "map"), ("multi", "map"), ("multi", "rank_distance"), ("cross", "map")
    ]  # fmt: skip
    filled = ("rr", "ndcg@10", "r@1", "r@10", "r@100")
    for part in scores:
        name = {"map": "map"}.get(part.measure, part.measure)
        for run, rows in tables.items():
            full = rows.assign(**dict.fromkeys(filled, 0.0)).reindex(columns=[*KEYS, "ap", *filled, *_query_columns()])
            expected = aggregate(full.assign(rank_distance=rows["rank_distance"]))[part.setting][name]
            assert part.macros()[part.runs.index(run)] == pytest.approx(expected, abs=1e-6)


def _query_columns():
    return question_columns()


def test_an_influence_is_what_a_little_more_of_a_cluster_adds_to_the_mean(tmp_path):
    rows = table(values(0))
    scores, _ = scores_of(write(tmp_path, run=rows), ["map"])
    for part in scores:
        for place, cluster in enumerate(part.clusters):
            more = rows.assign(weight=1.0 + 1e-3 * (rows["query"] == cluster))
            found, _ = scores_of(write(tmp_path, run=more), ["map"])
            (moved,) = [other for other in found if other.setting == part.setting]
            slope = (moved.macros() - part.macros()) / 1e-3
            assert part.influences()[:, place] == pytest.approx(slope, abs=2e-3)
        assert part.influences().sum(axis=1) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("column", [["x"], [None, "0.5"], [True], [np.inf, 0.5]])
def test_scores_that_are_no_numbers_leave_their_run_out(tmp_path, column):
    bad = table(values(0))
    bad["ap"] = pd.Series([column[place % len(column)] for place in range(len(bad))], index=bad.index)
    scores, left_out = scores_of(write(tmp_path, run=table(values(1)), bad=bad), ["map"])
    assert {part.runs for part in scores} == {("run",)}
    assert left_out["bad"].startswith("bad.parquet cannot be read: the column ap holds")


def test_parts_sum_to_the_macro_mean(tmp_path):
    scores, _ = scores_of(write(tmp_path, run=table(values(3)), other=table(values(4))), ["map"])
    for part in scores:
        assert part.parts().sum(axis=1) == pytest.approx(part.macros(), abs=1e-6)


def test_paragraphs_gather_their_questions(tmp_path):
    rows = table(values(3))
    (scores, *_), _ = scores_of(write(tmp_path, run=rows, other=table(values(4))), ["map"])
    assert (scores.clusters, scores.paragraphs) == (("1", "2", "3"), ("p", "p", "r"))
    found = scores.clustered("paragraph")
    assert (found.clusters, found.paragraphs) == (("p", "r"), ("p", "r"))
    assert found.count_CG.tolist() == [[2, 2], [1, 0]]
    sums = rows[rows.setting == "mono"].groupby(["paragraph", "query_language"])["ap"].sum()
    assert found.sum_RCG[0] == pytest.approx(sums.unstack(fill_value=0).to_numpy(), abs=1e-6)
    assert found.macros() == pytest.approx(scores.macros(), abs=1e-6)
    assert scores.clustered("query") is scores


def test_a_row_may_stand_for_several(tmp_path):
    rows = table(values(0)).assign(weight=1.0)
    doubled = pd.concat([rows, rows[rows["query"] == "2"]])
    rows.loc[rows["query"] == "2", "weight"] = 2.0
    (found, *_), _ = scores_of(write(tmp_path, run=rows), ["map"])
    (expected, *_), _ = scores_of(write(tmp_path, run=doubled), ["map"])
    assert found.count_CG.tolist() == expected.count_CG.tolist()
    assert found.macros() == pytest.approx(expected.macros(), abs=1e-6)
    assert found.cluster_shares() == pytest.approx([7 / 24, 14 / 24, 3 / 24])


def test_runs_with_other_questions_or_broken_files_are_named(tmp_path):
    files = write(tmp_path, fewer=table(values(1), skip="2"), run=table(values(0)), more=table(values(2)))
    files["broken"] = tmp_path / "broken.parquet"
    files["broken"].write_bytes(b"PAR1")
    files["absent"] = tmp_path / "absent.parquet"
    scores, left_out = scores_of(files, ["map"])
    assert {part.runs for part in scores} == {("run", "more")}
    assert "not those of most runs" in left_out["fewer"]
    assert "cannot be read" in left_out["broken"]
    assert left_out["absent"] == "no scores by question are kept of it"


def test_utility_weighs_the_settings(tmp_path):
    scores, _ = scores_of(write(tmp_path, run=table(values(0)), other=table(values(1))), ["map"])
    by_setting = {part.setting: part for part in scores}
    mono, cross = by_setting["mono"], by_setting["cross"]
    both = utility(mono, cross, 0.3)
    assert both.clusters == ("1", "2")  # question 3 is in one language
    kept = [mono.clusters.index(cluster) for cluster in both.clusters]
    alone = (mono.sum_RCG[:, kept].sum(axis=1) / mono.count_CG[kept].sum(axis=0)).mean(axis=1)
    assert both.macros() == pytest.approx(0.3 * alone + 0.7 * cross.macros(), abs=1e-6)


def test_files_of_other_measures_are_passed_over(tmp_path):
    judged = table(values(0)).drop(columns=["ap", "rank_distance"]).assign(rr=0.5)
    scores, left_out = scores_of(write(tmp_path, run=table(values(1)), judged=judged), ["map"])
    assert {part.runs for part in scores} == {("run",)}
    assert left_out == {}
