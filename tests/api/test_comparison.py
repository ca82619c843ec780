"""`compare_runs`: paired by question, over seeds, from results and from anybody's TREC files."""

import gzip

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sweep_fixture import write_sweep

import mixlingual
from mixlingual.records import MixlingualError


def scores(seed, effect=0.0, questions=200, benchmark="made", column="ap"):
    """Scores by question of one run: questions differ, and so do runs."""
    rng = np.random.default_rng(99)
    hard = rng.normal(0.6, 0.15, questions)
    own = np.random.default_rng(seed)
    values = hard + effect + own.normal(0, 0.01) + own.normal(0, 0.02, questions)
    return pd.DataFrame(
        {
            "benchmark": benchmark, "setting": "mono", "query": [f"q{n}" for n in range(questions)],
            "paragraph": [f"p{n // 2}" for n in range(questions)], "query_language": "en", "candidate_language": "en",
            column: values,
        }
    )  # fmt: skip


def test_without_seeds_it_is_the_paired_t_test():
    a, b = scores(1), scores(2, 0.02)
    found = mixlingual.compare_runs({"a": a, "b": b}, cluster="query")
    (row,) = found.to_pandas().to_dict("records")
    expected = stats.ttest_rel(a.ap, b.ap)
    assert row["difference"] == pytest.approx(a.ap.mean() - b.ap.mean(), abs=1e-6)
    assert row["p"] == pytest.approx(expected.pvalue, rel=1e-3)
    assert (row["low"], row["high"]) == pytest.approx(expected.confidence_interval(0.95), rel=1e-3)
    assert (row["verdict"], row["over_runs"], row["clusters"]) == ("worse", False, 200)
    by_paragraph = mixlingual.compare_runs({"a": a, "b": b}).to_pandas()
    means = [table.groupby("paragraph").ap.mean() for table in (a, b)]
    assert by_paragraph.p[0] == pytest.approx(stats.ttest_rel(*means).pvalue, rel=1e-3)
    assert by_paragraph.clusters[0] == 100


def test_seeds_make_a_difference_less_sure():
    """Runs scatter by .01, so that one run each finds a difference that three runs each do not."""
    single = mixlingual.compare_runs({"a": scores(1), "b": scores(3)}).to_pandas()
    several = mixlingual.compare_runs({"a": [scores(s) for s in (1, 2, 4)], "b": [scores(s) for s in (3, 5, 6)]})
    (row,) = several.to_pandas().to_dict("records")
    assert single.verdict[0] in ("better", "worse"), "for these very runs"
    assert row["over_runs"]
    assert row["verdict"] == "undecided"
    assert row["error"] > 3 * single.error[0]
    assert (row["runs_first"], row["runs_second"]) == (3, 3)
    runs_a, runs_b = ([scores(s).ap.mean() for s in seeds] for seeds in ((1, 2, 4), (3, 5, 6)))
    assert row["difference"] == pytest.approx(np.mean(runs_a) - np.mean(runs_b), abs=1e-6)
    pooled = np.sqrt((np.var(runs_a, ddof=1) + np.var(runs_b, ddof=1)) / 2 * (2 / 3))
    assert row["error"] == pytest.approx(pooled, rel=0.2), "of runs, to which questions add little here"


def test_verdicts_are_those_of_the_statistics():
    runs = {"base": [scores(s) for s in range(3)], "same": [scores(s + 10) for s in range(3)],
            "good": [scores(s + 20, 0.1) for s in range(3)]}  # fmt: skip
    found = mixlingual.compare_runs(runs, baseline="base", smallest=0.06).to_pandas().set_index("first")
    assert found.verdict.to_dict() == {"same": "as good", "good": "better"}
    every = mixlingual.compare_runs(runs).to_pandas()
    assert list(zip(every["first"], every["second"])) == [("base", "same"), ("base", "good"), ("same", "good")]
    assert (every.high - every.low).min() > (found.high - found.low).max(), "three tests are more than two"
    assert "3 differences, 95% intervals that hold together, over questions and runs." in str(
        mixlingual.compare_runs(runs)
    )


def test_lower_is_better_where_it_is():
    low, high = (scores(s, 5.0 * s, column="rank_distance").assign(setting="multi") for s in (1, 2))
    found = mixlingual.compare_runs({"low": low, "high": high}, measures="rank_distance").to_pandas()
    assert found.verdict[0] == "better"


def test_evaluations_folders_and_files_are_runs(tmp_path):
    def encode(texts, width=26):
        return np.array([[text.lower().count(chr(97 + n)) for n in range(width)] for text in texts], float)

    a = mixlingual.evaluate_encoder(encode, "atlas", languages=["de", "en"])
    b = mixlingual.evaluate_encoder(lambda texts: encode(texts, 5), "atlas", languages=["de", "en"])
    expected = mixlingual.compare_runs({"a": a, "b": b}).to_pandas()
    assert sorted(expected.setting) == ["cross", "mono", "multi"]
    assert expected.set_index("setting").verdict["mono"] == "better"
    (tmp_path / "run").mkdir()
    a.per_query.to_parquet(tmp_path / "run/queries.parquet")
    b.per_query.to_parquet(tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(
        mixlingual.compare_runs({"a": tmp_path / "run", "b": tmp_path / "b.json"}).to_pandas(), expected
    )
    listed = mixlingual.compare_runs([tmp_path / "run", tmp_path / "b.parquet"], setting="multi").to_pandas()
    assert listed[["first", "second"]].to_numpy().tolist() == [["run", "b.parquet"]]


RUN = {"q1": {"d1": 3.0, "d2": 2.0}, "q2": {"d3": 1.0, "d4": 2.0}, "q3": {"d5": 1.0}}
OTHER = {"q1": {"d2": 3.0, "d1": 2.0}, "q2": {"d3": 1.0, "d9": 2.0}}
QRELS = {"q1": {"d1": 2, "d2": 1}, "q2": {"d3": 1, "d4": 0}, "q3": {"d5": 1}}


def test_trec_files_of_anybody(tmp_path):
    (tmp_path / "a.trec").write_text("".join(f"{q} Q0 {d} 0 {s} t\n" for q, row in RUN.items() for d, s in row.items()))
    other = "".join(f"{q} Q0 {d} 0 {s} t\n" for q, row in OTHER.items() for d, s in row.items())
    (tmp_path / "b.trec.gz").write_bytes(gzip.compress(other.encode()))
    (tmp_path / "qrels.txt").write_text("".join(f"{q} 0 {d} {r}\n" for q, row in QRELS.items() for d, r in row.items()))
    measures = ["map", "mrr", "ndcg@10", "r@1", "map@1"]
    files = mixlingual.compare_runs(
        [tmp_path / "a.trec", tmp_path / "b.trec.gz"], qrels=tmp_path / "qrels.txt", measures=measures
    )
    held = mixlingual.compare_runs({"a.trec": RUN, "b.trec.gz": OTHER}, qrels=QRELS, measures=measures)
    pd.testing.assert_frame_equal(files.to_pandas(), held.to_pandas())
    ir_measures = pytest.importorskip("ir_measures")
    names = {"map": "AP", "mrr": "RR", "ndcg@10": "nDCG@10", "r@1": "R@1", "map@1": "AP@1"}
    for row in held.to_pandas().to_dict("records"):
        measure = ir_measures.parse_measure(names[row["measure"]])
        for side, run in (("mean_first", RUN), ("mean_second", OTHER)):
            per_query = {m.query_id: m.value for m in measure.iter_calc(QRELS, run)}
            assert row[side] == pytest.approx(sum(per_query.values()) / 3, abs=1e-6), (row["measure"], side)
    seeds = mixlingual.compare_runs({"a": [RUN, RUN], "b": [OTHER, RUN]}, qrels=QRELS, clusters={"q1": "x", "q2": "x"})
    assert seeds.to_pandas().clusters.tolist() == [2]


BAD = {
    "one": (({"a": scores(1)},), {}, "got 1 systems; give two or more"),
    "no runs": (({"a": scores(1), "b": []},), {}, "got 2 systems, without runs: b; give two or more"),
    "baseline": (({"a": scores(1), "b": scores(2)},), {"baseline": "c"}, "got baseline='c'; the systems are a, b"),
    "cluster": (({"a": scores(1), "b": scores(2)},), {"cluster": "x"}, "got cluster='x'; allowed: query, paragraph"),
    "questions": (({"a": scores(1), "b": scores(2, questions=50)},), {}, "b, run 1: its questions of made .mono. are"),
    "setting": (({"a": scores(1), "b": scores(2)},), {"setting": "multi"}, "wanted map of .* setting multi"),
    "measure": (({"a": scores(1), "b": scores(2)},), {"measures": ["mrr"]}, "wanted mrr .* the runs hold none of"),
    "type": (({"a": 1, "b": 2},), {}, "a, run 1: got int; a run is an Evaluation, its per_query"),
    "path": (({"a": "nowhere", "b": "there"},), {}, "a, run 1: nowhere.parquet is missing, which holds"),
    "twice": ((["x/run", "y/run"],), {}, "run comes twice in the list; give the systems names"),
    "list measure": (({"a": RUN, "b": RUN},), {"qrels": QRELS, "measures": ["p@5"]}, "got the measure 'p@5'"),
    "other qrels": (({"a": RUN, "b": RUN},), {"qrels": {"z": {"d": 1}}}, "a, run 1 has none of"),
    "no qrels": (({"a": RUN, "b": RUN},), {"qrels": {}}, "judges nothing"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_compared_is_said(case):
    arguments, options, message = BAD[case]
    with pytest.raises(MixlingualError, match=message):
        mixlingual.compare_runs(*arguments, **options)


def test_a_sweep_as_data_frames(tmp_path):
    folder = write_sweep(tmp_path / "multirun", languages={"mlqa_r": ["ar", "de"]})
    found = mixlingual.read_sweep(folder)
    assert set(found.runs) == {"run", "state", "reason", "model", "series", "ratio", "seed"}
    done = found.runs[found.runs.state == "done"]
    assert set(found.results.run) <= set(done.run)
    assert {"benchmark", "setting", "metric", "value", "ratio", "seed", "model"} <= set(found.results)
    assert {"query_language", "candidate_language"} <= set(found.languages)
    assert found.questions().empty
    name = done.run.iloc[0]
    scores(1).to_parquet(folder / name / "queries.parquet")
    assert found.questions().run.unique().tolist() == [name]
    assert len(found.questions()) == 200
    with pytest.raises(MixlingualError, match="nowhere"):
        mixlingual.read_sweep(tmp_path / "nowhere")
