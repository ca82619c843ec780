"""Several systems with several seeds each, from TREC runs of anybody's: which differences are sure?

Questions are shared by all systems, and each run is one of many that might have been.
"""

import numpy as np

import mixlingual

questions = [f"q{n}" for n in range(300)]
qrels = {question: {"right": 1} for question in questions}


def run_of(seed: int, skill: float) -> dict[str, dict[str, float]]:
    """A made-up system: the right document is ahead of a wrong one with some chance."""
    noise = np.random.default_rng(seed).normal(skill, 1, len(questions))
    return {question: {"right": score, "wrong": 0.0} for question, score in zip(questions, noise)}


systems = {
    "baseline": [run_of(seed, 0.5) for seed in range(3)],
    "better": [run_of(10 + seed, 1.2) for seed in range(3)],
    "alike": [run_of(20 + seed, 0.5) for seed in range(3)],
}
found = mixlingual.compare_runs(systems, qrels=qrels, measures=["mrr", "r@1"], baseline="baseline", smallest=0.1)
print(found.table())
