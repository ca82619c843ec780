"""SQuADShifts (Miller et al. 2020, arXiv 2004.14444): English questions and paragraphs of four kinds of texts.

The paper on hybrid batches stops its training by the loss on it. It has one language, which makes a choice by it a
confound: see docs/decisions/0015-validation.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.sources.judged import kept_languages, matching
from mixlingual.records import Benchmark, Candidate, DataError, Query, fingerprint

NAME = "squad_shifts"
FILES = ("amazon", "new_wiki", "nyt", "reddit")
_URL = "https://raw.githubusercontent.com/modestyachts/squadshifts-website/master/datasets"


def load(config: EvaluationConfig) -> Benchmark:
    """Reads its files from `config.root`/squadshifts; a candidate is a paragraph, whatever `config.unit` says.

    Raises:
        DataError: a file is missing or malformed, a question has no paragraph, or another language is wanted.
    """
    kept_languages(NAME, config.languages, ["en"])
    if config.folder is None or not (config.folder / "squadshifts").is_dir():
        listed = ", ".join(f"{_URL}/{name}_v1.0.json" for name in FILES)
        raise DataError(f"{NAME} needs evaluation.root=FOLDER with its files in FOLDER/squadshifts: {listed}")
    queries: list[Query] = []
    candidates: list[Candidate] = []
    gold: dict[tuple[str, str], int] = {}
    for name in FILES:
        (path,) = matching(config.folder / "squadshifts", f"{name}_v1.0.json")
        for number, (context, questions) in enumerate(_paragraphs(path)):
            place = f"{name}/{number:05d}"
            for question, text in questions:
                key = f"{name}/{question}"
                if (key, "en") in gold:
                    raise DataError(f"{path}: question id {question} occurs twice; put the published file there")
                queries.append(Query(key, "en", text, place))
                gold[key, "en"] = len(candidates)
            candidates.append(Candidate(place, "en", context))
    parts = [part for query in queries for part in (query.id, query.text, query.paragraph)]
    parts += [candidate.text for candidate in candidates]
    return Benchmark(NAME, ("en",), tuple(queries), tuple(candidates), gold, fingerprint(parts), unit="paragraph")


def _paragraphs(path: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """Returns each paragraph with the (id, text) of its questions."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
        found = [
            (str(paragraph["context"]), [(str(qa["id"]), str(qa["question"])) for qa in paragraph["qas"]])
            for article in content["data"]
            for paragraph in article["paragraphs"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is not SQuAD's JSON ({error!r}); put the published file there") from error
    return found
