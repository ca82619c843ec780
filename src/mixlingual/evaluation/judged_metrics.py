"""Tells whether a passage holds an answer: words of texts, whatever the script."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import groupby


def tokens(text: str) -> str:
    """Returns the words of a text in lower case, decomposed (NFD), with a space on either side of each.

    A word is a run of letters, numbers and marks; any other visible character is one, as in DPR's tokenizer.
    """
    decomposed = unicodedata.normalize("NFD", text).lower()
    words = []
    for kind, run in groupby(decomposed, lambda c: "w" if (k := unicodedata.category(c)[0]) in "LNM" else k):
        if kind == "w":
            words.append("".join(run))
        elif kind not in "ZC":
            words += list(run)
    return f" {' '.join(words)} "


def holds_any(text: str, answers: Sequence[str]) -> bool:
    """Tells whether a text holds an answer as whole words; both from `tokens`. An empty answer is in none."""
    return any(answer.strip() and answer in text for answer in answers)
