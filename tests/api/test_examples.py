"""The examples run as they stand, and print what they promise."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PRINTS = {
    "evaluate_my_model": ("rank_distance", "atlas cross de en map", "TREC files: ['atlas.qrels.gz', 'atlas.trec.gz']"),
    "compare_systems": ("better baseline", "as good", "over questions and runs"),
    "hybrid_batches_in_sentence_transformers": (
        "step 10: mAP in the pool",
        "step 20: mAP in the pool of all languages",
    ),
    "hybrid_batches_in_a_loop": ("18 batches an epoch; after the stop 11, the same ones: True",),
    "batches_in_my_loop": ("step 30: faq:", "share of monolingual pairs 0.5, planned 0.5"),
}


@pytest.mark.parametrize("example", PRINTS)
def test_an_example_runs(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / f"{example}.py"), run_name="__main__")
    printed = " ".join(capsys.readouterr().out.split())
    for text in PRINTS[example]:
        assert text in printed


def test_every_example_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTS)
