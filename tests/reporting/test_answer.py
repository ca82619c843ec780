"""The answer in words: sentences of sweeps of every shape, of few words, with the numbers of the analysis."""

from dataclasses import replace
from itertools import product

import pytest
from scored_sweep import write_scored_sweep, write_variant

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.contrasts import Estimate
from mixlingual.analysis.statistics.effects import BETTER_PURE, UNTRAINED, Effect, Effects
from mixlingual.analysis.statistics.estimates import Estimates, analyse
from mixlingual.config.schema import AnalysisConfig
from mixlingual.reporting.answer import MOST_WORDS, answer, explained, missing_runs
from mixlingual.reporting.sentences import short

QUICK = AnalysisConfig(draws=1000)
WEIGHTS = {"s": 1_000_000, "m": 2_000_000, "l": 3_000_000}
OF = {"worse": (-0.046, 0.011), "better": (0.012, 0.011), "undecided": (0.002, 0.011), "as good": (0.001, 0.003)}
"""Verdict -> (value, half of the range) that has it, where .005 matters."""


def effect(model, ratio, word, *, seeds=3, **changes):
    value, half = OF[word]
    p = 0.5 if word in ("undecided", "as good") else 0.001
    ends = (value - half, value + half)
    found = Estimate(value, *ends, *ends, half / 2, 20.0, p, p, over_runs=True, borrowed=(), level=0.95)
    return Effect(model, ratio, seeds, replace(found, **changes))


def sweep_of(*effects, reference="ratio 0", setting="multi", measure="map"):
    at = {} if reference == UNTRAINED else {model: float(reference.split()[-1]) for model in WEIGHTS}
    family = Effects("toy", setting, measure, reference, at, effects)
    config = AnalysisConfig(smallest_effect={"map": 0.005})
    return Estimates(None, declared=False, weights=WEIGHTS, config=config, measured=(), effects=(family,))


def sentence(*effects, complete=True, **options):
    return answer(sweep_of(*effects, **options), "toy", complete=complete).sentence


WORDS = {
    ("worse", "worse"): "cost the largest encoder .046 mAP (.035 to .057) and the smallest .046 (.035 to .057).",
    ("worse", "better"): "cost the largest encoder .046 mAP (.035 to .057) and give the smallest .012 (.001 to .023).",
    ("better", "worse"): "give the largest encoder .012 mAP (.001 to .023) and cost the smallest .046 (.035 to .057).",
    ("worse", "undecided"): "cost the largest encoder .046 mAP (.035 to .057); for the smallest it is undecided.",
    ("undecided", "worse"): "cost the smallest .046 mAP (.035 to .057); for the largest encoder it is undecided.",
    ("as good", "worse"): "change the largest encoder by less than .005 mAP and cost the smallest .046 (.035 to .057).",
    ("as good", "as good"): "change the largest encoder by less than .005 mAP and the smallest as little.",
}


@pytest.mark.parametrize(("words", "expected"), WORDS.items(), ids="-".join)
def test_two_sizes_are_told_apart_by_their_verdicts(words, expected):
    effects = [effect("s", 1.0, words[1]), effect("m", 1.0, "undecided"), effect("l", 1.0, words[0])]
    assert sentence(*effects) == f"In the pool of all languages, monolingual batches {expected}"


def test_nothing_known_is_said_to_be_undecided():
    found = sentence(effect("s", 1.0, "undecided"), effect("l", 1.0, "undecided"))
    assert found == (
        "In the pool of all languages, whether monolingual batches help or harm the largest encoder and the "
        "smallest is undecided."
    )


@pytest.mark.parametrize(
    ("effects", "options", "expected"),
    [
        ([("m", 1.0, "worse")], {}, "monolingual batches cost the encoder .046 mAP (.035 to .057)."),
        ([("m", 0.5, "worse")], {}, "ratio 0.5 against 0 costs the encoder .046 mAP (.035 to .057)."),
        (
            [("m", 0.25, "worse"), ("m", 0.75, "better")],
            {"reference": "ratio 0.5"},
            "ratio 0.25 against 0.5 costs the encoder .046 mAP (.035 to .057).",
        ),
        (
            [("m", 0.0, "better"), ("m", 0.5, "better")],
            {"reference": UNTRAINED},
            "training at ratio 0.5 gives the encoder .012 mAP (.001 to .023).",
        ),
        ([("m", 0.5, "undecided")], {}, "whether ratio 0.5 against 0 helps or harms the encoder is undecided."),
    ],
)  # fmt: skip
def test_odd_sweeps_have_sentences_of_their_own(effects, options, expected):
    assert sentence(*(effect(*each) for each in effects), **options) == f"In the pool of all languages, {expected}"


def test_a_ratio_at_which_something_is_known_is_told_before_one_where_nothing_is():
    ends = [effect("s", 1.0, "undecided"), effect("l", 1.0, "as good")]
    found = sentence(effect("s", 0.5, "undecided"), effect("l", 0.5, "better"), *ends)
    assert found == (
        "In the pool of all languages, ratio 0.5 against 0 gives the largest encoder .012 mAP (.001 to .023); for the "
        "smallest it is undecided."
    )
    assert "monolingual batches" in sentence(effect("s", 0.5, "undecided"), effect("l", 0.5, "as good"), *ends)


def test_every_sentence_is_short():
    settings, references = ("mono", "cross", "multi"), ("ratio 0", "ratio 1", "ratio 0.25", UNTRAINED)
    cases = product(OF, OF, settings, references, (0.05, 1.0), (True, False))
    for small, large, setting, reference, ratio, complete in cases:
        effects = (effect("s", ratio, small), effect("l", ratio, large))
        found = sentence(*effects, setting=setting, reference=reference, complete=complete)
        assert len(found.split()) <= MOST_WORDS, found
        assert found.endswith(".")
        assert "  " not in found


def test_while_runs_are_missing_there_is_no_verdict():
    effects = (effect("s", 1.0, "undecided"), effect("l", 1.0, "worse"))
    found = answer(sweep_of(*effects), "toy", complete=False)
    assert found.sentence == (
        "In the pool of all languages, monolingual batches so far change mAP by -.046 for the largest encoder "
        "and +.002 for the smallest."
    )
    assert found.verdicts == []
    assert not any(word in " ".join([found.sentence, *found.notes]).lower() for word in ("undecided", "cost", "sure"))


def test_the_widest_setting_with_quality_is_told_and_other_references_are_not():
    wide = sweep_of(effect("l", 1.0, "worse"))
    (family,) = wide.effects
    others = [
        replace(family, setting="mono"),
        replace(family, measure="rank_distance"),
        replace(family, reference=BETTER_PURE),
        replace(family, benchmark="other"),
    ]
    found = replace(wide, effects=(*others, family))
    assert answer(found, "toy", complete=True) == answer(wide, "toy", complete=True)
    assert answer(replace(wide, effects=tuple(others[1:])), "toy", complete=True).sentence == (
        "Nothing can be compared yet."
    )


def test_the_notes_say_how_sure_of_what_and_what_is_undecided():
    effects = (effect("s", 0.5, "undecided"), effect("s", 1.0, "better"), effect("l", 1.0, "worse", seeds=1))
    sure, what, unknown = answer(sweep_of(*effects), "toy", complete=True).notes
    assert sure == (
        "How sure: the ranges hold with 95 %, for all 3 differences from ratio 0 together, for other training runs and "
        "other questions."
    )
    assert what == ("Of what: the largest encoder is l (3M weights), 1 seed; the smallest is s (1M weights), 3 seeds.")
    assert unknown == "Undecided here: 1 of 3 differences, s at 0.5."
    alone = answer(sweep_of(effect("l", 1.0, "worse", over_runs=False)), "toy", complete=True).notes
    assert "these very runs, since no seed is repeated" in alone[0]
    assert alone[2] == "Undecided here: nothing."
    borrowed = answer(sweep_of(effect("l", 1.0, "worse", borrowed=("l",))), "toy", complete=True).notes
    assert "no seed of l is repeated" in borrowed[0]


def test_verdicts_are_explained_where_they_first_appear():
    first, second = (
        answer(sweep_of(effect("s", 1.0, small), effect("l", 1.0, "worse")), "toy", complete=True)
        for small in ("better", "undecided")
    )
    words = list(explained([first, second, second]))
    assert [len(each) for each in words] == [2, 1, 0]
    assert words[1][0].startswith("undecided: the range holds zero")


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0458, ".046"), (-0.0458, "-.046"), (0.0004, ".0004"), (1.5, "1.500"), (0.0, ".0000")]
)
def test_numbers_are_short(value, shown):
    assert short("map", value) == shown


def test_a_sweep_on_disk_is_answered(tmp_path):
    """Sizes, ratios and seeds as they come: the truth of the pool is flat at the ends and bent between."""
    folder = write_scored_sweep(tmp_path, seeds=2, ratios=(0.5,))
    found = analyse(read_sweep(folder), QUICK)
    assert answer(found, "mlqa_r", complete=True).sentence == "Nothing can be compared yet."
    for model in ("small", "base", "large"):
        write_variant(folder, model, 0.5, 0, 0.03, monolingual_mixed=True)
    text = answer(analyse(read_sweep(folder), QUICK), "mlqa_r", complete=True).sentence
    assert text.startswith(
        "In the pool of all languages, at ratio 0.5, batching.monolingual_mixed=True in place of False changes mAP by "
        "+.0"
    )
    assert text.endswith("): better.")
    assert len(text.split()) <= MOST_WORDS
    for model in ("small", "base", "large"):
        write_variant(folder, model, 0.5, 0, -0.2, steps=0)
    sweep = read_sweep(folder)
    assert missing_runs(sweep) == ""
    text = answer(analyse(sweep, QUICK), "mlqa_r", complete=True).sentence
    assert text.startswith("In the pool of all languages, training at ratio 0.5 gives the largest encoder .2")
    (folder / "small_r0.5_s0" / "result.json").unlink()
    (folder / "small_r0.5_s1" / "result.json").unlink()
    assert missing_runs(read_sweep(folder)) == "2 of 12 runs are missing, so there is no verdict yet."
