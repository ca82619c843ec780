"""Sentences and tables of answers whose truth is known."""

import shutil
from dataclasses import replace

import pytest
from scored_sweep import write_scored_sweep, write_variant

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.estimates import Estimates, analyse
from mixlingual.config.schema import AnalysisConfig
from mixlingual.reporting.estimate_tables import estimate_tables
from mixlingual.reporting.findings import findings, interaction_sentence, nature, primary_findings
from mixlingual.reporting.write import write_report

QUICK = AnalysisConfig(draws=1000)


def contrast(answer, setting="multi"):
    """The sentence on the primary contrast of mAP."""
    part = next(x for x in answer.measured if (x.setting, x.measure) == (setting, "map"))
    return interaction_sentence(answer, part)


def analysed(folder, **options):
    return analyse(read_sweep(write_scored_sweep(folder, **options)), QUICK)


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    return analysed(tmp_path_factory.mktemp("sweeps"))


def test_a_contrast_states_verdict_effect_intervals_and_p(answer):
    text = contrast(answer)
    found = next(x for x in answer.measured if (x.setting, x.measure) == ("multi", "map")).interaction
    assert text.startswith("mlqa_r, multilingual, mAP: better; large (302M weights) gains more from mixing than small")
    both = f"{found.low:+.4f} to {found.high:+.4f}, {found.low_all:+.4f} to {found.high_all:+.4f} with all others"
    assert f"{found.value:+.4f} (95 % interval {both})" in text
    assert "p < 0.001 after Holm" in text


def test_what_is_not_known_is_undecided_and_what_is_surely_small_as_good(answer):
    text = next(sentence for sentence in findings(answer) if "rank distance: undecided; whether" in sentence)
    assert "is not known" in text
    config = replace(answer.config, smallest_effect={"rank_distance": 1000.0})
    text = " ".join(findings(replace(answer, config=config)))
    assert (
        "rank distance: as good; large (302M weights) and small (21M weights) gain the same from mixing, within 1000"
        in text
    )


def test_every_size_has_its_best_ratio_with_regret(answer):
    sentences = [sentence for sentence in findings(answer) if "fitted curve is best" in sentence]
    assert len(sentences) == 4 * 3
    assert all(
        "Ratio 0.5 is at " in sentence and " worse than the best measured one" in sentence for sentence in sentences
    )


def test_nothing_is_called_worse_that_may_be_best(answer):
    for part in answer.measured:
        for curve in part.curves.values():
            assert (curve.regret.low > 0) <= (0.5 not in curve.possibly_best)


def test_a_verdict_that_depends_on_the_scale_or_the_metric_is_said_to(answer):
    part = next(x for x in answer.measured if (x.setting, x.measure) == ("multi", "map"))
    assert "depends on the scale" not in interaction_sentence(answer, part)
    shrunk = replace(part.scales["logits"], value=0.0)
    text = interaction_sentence(answer, replace(part, scales=part.scales | {"logits": shrunk}))
    assert "By itself the contrast is better, but undecided in logits: the verdict depends on the scale." in text
    metrics = {("mlqa_r", "multi", "ndcg@10"): replace(part.interaction, value=-1.0)}
    assert "worse in nDCG@10" in interaction_sentence(replace(answer, metrics=metrics), part)


def test_sizes_that_were_not_declared_are_said_not_to_be(answer):
    assert "were not declared" in nature(answer)
    assert findings(answer)[0].startswith("The sizes of the contrast are the smallest and the largest")
    assert "were declared by name" in nature(replace(answer, declared=True))


def test_words_on_runs_are_those_of_each_contrast(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5, 1.0))
    for ratio in ("0", "0.5", "1"):
        shutil.rmtree(folder / f"large_r{ratio}_s1")
    found = analyse(read_sweep(folder), QUICK)
    text = contrast(found)
    assert "no seed of large is repeated, so its spread is that of the other sizes" in text
    assert "no seed of large" in nature(found) or "the spread of large, of which no seed is repeated" in nature(found)
    assert not any("large" not in each and "no seed of" in each for each in findings(found))


def test_words_on_runs_are_those_of_differences_and_of_controls_where_there_is_no_contrast(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=(0.5,))
    write_variant(folder, "small", 0.5, 0, 0.0, monolingual_mixed=True)
    assert "about these very runs" in nature(analyse(read_sweep(folder), QUICK))
    write_variant(folder, "small", 0.5, 1, 0.0, monolingual_mixed=True)
    assert "and over training runs" in nature(analyse(read_sweep(folder), QUICK))
    several = write_scored_sweep(tmp_path / "ratios", seeds=2, ratios=(0.5, 1.0))
    assert "and over training runs" in nature(analyse(read_sweep(several), QUICK))


def test_without_repeated_seeds_the_answer_is_about_these_runs(tmp_path):
    found = analysed(tmp_path, seeds=1)
    assert "no seed is repeated, so this is about these very runs" in contrast(found)
    assert "about these very runs" in nature(found)


def test_gaps_are_named_once_for_each_reason(tmp_path):
    found = analysed(tmp_path, seeds=1, ratios=(0.0, 0.5))
    said = [sentence for sentence in findings(found) if sentence.startswith("Not computed")]
    reasons = [sentence.partition("The reason: ")[2] for sentence in said]
    assert len(reasons) == len(set(reasons)) > 1
    assert all(any(gap.analysis in sentence for sentence in said) for gap in found.gaps)
    assert len(estimate_tables(found)["gaps"]) == len(found.gaps)


def test_without_the_cells_there_is_no_contrast_yet(tmp_path):
    found = analysed(tmp_path, seeds=1, ratios=(0.0, 1.0))
    assert primary_findings(found) == []
    assert primary_findings(Estimates(None, declared=False, weights={}, config=QUICK, measured=())) == []


def test_tables_hold_what_the_sentences_say(answer):
    tables = estimate_tables(answer)
    assert list(tables) == [
        "contrasts", "contrasts_fixed", "contrasts_scales", "gains", "effects", "transfer", "best_ratios", "slopes",
        "fronts", "size_by_ratio", "components", "languages", "language_covariates", "gaps",
    ]  # fmt: skip
    assert {*tables["gaps"].reason} == {"no run has both measures"}  # the sweep has no own language first
    assert len(tables["contrasts"]) == 4
    assert len(tables["gains"]) == 4 * 3
    assert len(tables["best_ratios"]) == (4 + 3) * 3
    assert set(tables["fronts"].columns) >= {"ratio", "mono", "cross", "beaten"}
    assert tables["languages"].query("setting == 'multi' and metric == 'map' and model == 'large'").shape[0] == 4


def test_a_choice_in_doubt_is_said_and_the_contrast_given_without_it(answer):
    """The pooled setting has no better pure ratio in truth; the monolingual one has."""
    parts = {(part.setting, part.measure): part for part in answer.measured}
    multi, mono = parts["multi", "map"], parts["mono", "map"]
    assert (multi.choice_in_doubt, mono.choice_in_doubt) == (True, False)
    sentences = {name: interaction_sentence(answer, part) for name, part in parts.items()}
    fixed = multi.against[1.0]
    assert (
        f"{fixed.value:+.4f} (95 % interval {fixed.low:+.4f} to {fixed.high:+.4f}) against ratio 1 alone"
        in (sentences["multi", "map"])
    )
    assert "not certain" not in sentences["mono", "map"]


def test_empty_answers_have_no_tables():
    assert estimate_tables(Estimates(None, declared=False, weights={}, config=QUICK, measured=())) == {}


def test_a_report_leaves_no_statistics_of_an_earlier_one(tmp_path):
    folder = write_scored_sweep(tmp_path, seeds=1)
    stale = tmp_path / "report" / "statistics_paired.csv"
    stale.parent.mkdir()
    stale.write_text("benchmark\n")
    (stale.parent / "notes.csv").write_text("mine\n")
    write_report(read_sweep(folder), stale.parent)
    assert not stale.exists()
    assert (stale.parent / "notes.csv").exists()
    assert (stale.parent / "statistics_contrasts.csv").exists()


def test_many_runs_that_are_left_out_for_one_reason_are_counted(answer):
    several = replace(answer, left_out={f"r{n}": "why" for n in range(15)} | {"other": "another"})
    said = [sentence for sentence in findings(several) if sentence.startswith("Not, or not all")]
    names = ", ".join(f"r{n}" for n in range(12))
    assert said == [
        f"Not, or not all, in the statistics: {names} and 3 more: why.",
        "Not, or not all, in the statistics: other: another.",
    ]
