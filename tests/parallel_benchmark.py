"""A parallel benchmark of random embeddings whose bias towards languages is chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixlingual.records import Benchmark, Candidate, Query

LANGUAGES = ("ar", "de", "en", "zh")


def made(
    seed: int, questions: int = 30, extra: int = 40, coverage: float = 0.8, shift: float = 0.0
) -> tuple[Benchmark, NDArray[np.float32], NDArray[np.float32]]:
    """A benchmark, embeddings of parallel texts near each other, and languages shifted apart."""
    rng = np.random.default_rng(seed)
    offset = shift * rng.standard_normal((len(LANGUAGES), 8))
    queries, candidates, gold, query_QD, candidate_ND = [], [], {}, [], []
    for question in range(questions):
        meaning = rng.standard_normal(8)
        for m, language in enumerate(LANGUAGES):
            if language == LANGUAGES[question % 4] or rng.random() < coverage:
                queries.append(Query(f"q{question}", language, "", f"p{question // 2}"))
                gold[f"q{question}", language] = len(candidates)
                candidates.append(Candidate(f"{language}/{question}", language, ""))
                query_QD.append(meaning + offset[m] + 0.5 * rng.standard_normal(8))
                candidate_ND.append(meaning + offset[m] + 0.5 * rng.standard_normal(8))
    for n in range(extra):
        candidates.append(Candidate(f"x/{n}", LANGUAGES[n % 3], ""))
        candidate_ND.append(rng.standard_normal(8) + offset[n % 3])
    benchmark = Benchmark("made", LANGUAGES, tuple(queries), tuple(candidates), gold, "f")
    return benchmark, np.array(query_QD, np.float32), np.array(candidate_ND, np.float32)
