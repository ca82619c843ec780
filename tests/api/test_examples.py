"""The examples run as they stand, and print what they promise."""

import runpy
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from forks import on_ranks

from mixlingual.batches import HybridBatches

EXAMPLES = Path(__file__).parents[2] / "examples"
PRINTS = {
    "evaluate_my_model": ("rank_distance", "atlas cross de en map", "TREC files: ['atlas.qrels.gz', 'atlas.trec.gz']"),
    "compare_systems": ("better baseline", "as good", "over questions and runs"),
    "hybrid_batches_in_sentence_transformers": (
        "step 10: mAP in the pool",
        "step 20: mAP in the pool of all languages",
    ),
    "hybrid_batches_in_hf_trainer": ("24 steps; resumed at step 18 with the same batches: True", "epochs differ: True"),
    "hybrid_batches_in_lightning": (
        "24 steps; resumed at step 18 with the same batches: True",
        "epochs differ: True; steps after both 24",
    ),
    "hybrid_batches_with_accelerate": ("24 steps; after step 14 the same batches: True", "epochs differ: True"),
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


def pair_of(batch):
    """The first words of its texts, which differ by language."""
    return {(query.split()[0], passage.split()[0]) for query, passage in batch}


SIZES = {"de-de": 32, "en-en": 40, "de-en": 24}
TWICE = {
    "hybrid_batches_in_hf_trainer": lambda train: (train()[0], train(resume="output/checkpoint-9")[0]),
    "hybrid_batches_in_lightning": lambda train: (
        train(devices=2, strategy="ddp")[1],
        train(resume="output/step=9.ckpt", devices=2, strategy="ddp")[1],
    ),
    "hybrid_batches_with_accelerate": lambda train: (train()[0], train(train(stop=9)[1])[0]),
}
"""Example -> all batches, and those after step 9, as one of two processes has them."""


@pytest.mark.parametrize("example", TWICE)
def test_two_processes_share_the_pair_of_each_step_and_go_on_together(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def batches():
        AcceleratorState._reset_state(reset_partial_state=True)  # of the process that was forked
        names = runpy.run_path(str(EXAMPLES / f"{example}.py"))
        return *TWICE[example](names["train"]), [pair for rows in names["sets"].values() for pair in rows]

    (left, left_rest, rows), (right, right_rest, _) = on_ranks(tmp_path / "said", 2, batches)
    sampler = HybridBatches(SIZES, batch_size=16, seed=42 if "hf_trainer" in example else 0)
    planned = [[rows[row] for row in sampler.rows(step)] for step in range(12)]
    assert [[*one, *other] for one, other in zip(left, right, strict=True)] == planned, "a step of one process, halved"
    assert all(len(pair_of(batch)) == 1 for batch in planned)
    assert (left_rest, right_rest) == (left[9:], right[9:]), "from the middle of the second epoch"


def test_every_example_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTS)
