"""Sentences and tables of answers whose truth is known."""

from dataclasses import replace

import pytest
from scored_sweep import write_scored_sweep

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.estimates import Estimates, analyse
from mixlingual.config.schema import AnalysisConfig
from mixlingual.reporting.estimate_tables import estimate_tables
from mixlingual.reporting.findings import findings, headline, interaction_sentence
from mixlingual.reporting.write import write_report

QUICK = AnalysisConfig(draws=300, permutations=200)


def analysed(folder, **options):
    return analyse(read_sweep(write_scored_sweep(folder, **options)), QUICK)


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    return analysed(tmp_path_factory.mktemp("sweeps"))


def test_the_headline_states_effect_interval_and_p(answer):
    text = headline(answer, "mlqa_r")
    found = next(x for x in answer.measured if (x.setting, x.measure) == ("multi", "map")).interaction
    assert text.startswith(
        "mlqa_r, multilingual, mAP: the gain from mixing is larger for large (302M weights) than for small"
    )
    assert f"{found.value:+.4f} (95 % interval {found.low:+.4f} to {found.high:+.4f})" in text
    assert "p < 0.001 after Holm" in text
    assert f"found a difference of {found.detectable:.4f}" in text


def test_what_is_not_separable_is_said_to_be(answer):
    text = next(sentence for sentence in findings(answer) if "rank distance: whether" in sentence)
    assert "cannot be told from this sweep" in text
    assert "takes" in text or "out of reach" in text


def test_every_size_has_its_best_ratio_with_regret(answer):
    sentences = [sentence for sentence in findings(answer) if "fitted curve is best" in sentence]
    assert len(sentences) == 4 * 3
    assert all("Ratio 0.5 is worse than that by" in sentence for sentence in sentences)


def test_paragraphs_in_place_of_questions_are_said_to_change_nothing_or_what(answer):
    (text,) = [sentence for sentence in findings(answer) if "With paragraphs resampled" in sentence]
    assert "no verdict on a primary contrast changes" in text
    ratios = [
        answer.by_paragraph[x.benchmark, x.setting, x.measure].error / x.interaction.error for x in answer.measured
    ]
    assert f"at most {max(ratios):.2f} times" in text
    place = ("mlqa_r", "multi", "map")
    doubtful = replace(answer.by_paragraph[place], p=0.2)
    changed = replace(answer, by_paragraph=answer.by_paragraph | {place: doubtful})
    assert any("the verdict on mlqa_r, multilingual, mAP (p = 0.200) changes" in each for each in findings(changed))


def test_without_repeated_seeds_the_answer_is_about_these_runs(tmp_path):
    text = headline(analysed(tmp_path, seeds=1), "mlqa_r")
    assert "no seed is repeated" in text
    assert "repeat seeds to say anything of others" in text


def test_without_the_cells_there_is_no_answer_yet(tmp_path):
    found = analysed(tmp_path, seeds=1, ratios=(0.0, 1.0))
    assert headline(found, "mlqa_r") is None
    assert headline(Estimates(None, {}, 0.5, 0.95, ()), "mlqa_r") is None


def test_tables_hold_what_the_sentences_say(answer):
    tables = estimate_tables(answer)
    assert list(tables) == [
        "contrasts", "contrasts_fixed", "contrasts_by_paragraph", "gains", "best_ratios", "slopes", "fronts",
        "mixed_model", "components", "power_laws", "languages", "language_covariates",
    ]  # fmt: skip
    assert len(tables["contrasts"]) == 4
    assert len(tables["gains"]) == 4 * 3
    assert len(tables["best_ratios"]) == (4 + 3) * 3
    assert set(tables["fronts"].columns) >= {"ratio", "mono", "cross", "dominated"}
    assert tables["languages"].query("setting == 'multi' and metric == 'map' and model == 'large'").shape[0] == 4


def test_a_choice_in_doubt_is_said_and_the_contrast_given_without_it(answer):
    """The pooled setting has no better pure ratio in truth; the monolingual one has."""
    parts = {(part.setting, part.measure): part for part in answer.measured}
    multi, mono = parts["multi", "map"], parts["mono", "map"]
    assert multi.switched > 0.05 > mono.switched
    sentences = {name: interaction_sentence(answer, part) for name, part in parts.items()}
    fixed = multi.against[1.0]
    assert (
        f"{fixed.value:+.4f} (95 % interval {fixed.low:+.4f} to {fixed.high:+.4f}) against ratio 1 alone"
        in (sentences["multi", "map"])
    )
    assert "not certain" not in sentences["mono", "map"]


def test_empty_answers_have_no_tables():
    assert estimate_tables(Estimates(None, {}, 0.5, 0.95, ())) == {}


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
