"""Words of a text in any script, for what compares texts by words, and the language that a text is in."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from mixlingual.data.writing_systems import script_of
from mixlingual.records import MixlingualError

UNSPACED = frozenset({"Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
"""Scripts that write no spaces between words."""

_NORMALIZER = BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=True)
_PRE_TOKENIZER = BertPreTokenizer()


def needed(package: str) -> Any:
    """Returns a package of the extra `prepare`. Raises MixlingualError if it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MixlingualError(
            f"this recipe needs the package {package}, which cannot be imported ({error}); run "
            "pip install 'mixlingual[prepare]'"
        ) from error


def is_unspaced(language: str) -> bool:
    """Tells whether the language is written without spaces between words."""
    return script_of(language) in UNSPACED


def words(text: str, language: str) -> list[str]:
    """Returns the words of a text in lower case, without punctuation; pairs of characters in scripts without spaces."""
    pieces = [piece for piece, _ in _PRE_TOKENIZER.pre_tokenize_str(_NORMALIZER.normalize_str(text))]
    spoken = [piece for piece in pieces if any(map(str.isalnum, piece))]
    if not is_unspaced(language):
        return spoken
    return [pair for piece in spoken for pair in (_pairs(piece) if not piece.isascii() else [piece])]


def _pairs(piece: str) -> list[str]:
    return [piece[start : start + 2] for start in range(max(1, len(piece) - 1))]


def runs(found: Sequence[str], length: int) -> Iterator[str]:
    """Yields each run of so many words; all words as one run where there are fewer."""
    for start in range(max(1, len(found) - length + 1)):
        yield " ".join(found[start : start + length])


IDENTIFIABLE = 40
"""Characters below which a text is not judged: titles of a few words belong to many languages."""

_UNLIKELY = 0.1
"""Probability of the claimed language below which a text is in another. Of XQuAD's questions and paragraphs in eleven
languages one in 7,000 is below it, and none is above it for one of the ten other languages (tests/preparation)."""


def is_language(text: str, language: str) -> bool:
    """Tells whether a text may be in a language, by py3langid, which knows 97; shorter and unknown ones always may.

    Args:
        text: to identify.
        language: its code; what follows a hyphen or underscore does not count.
    """
    plain = language.replace("_", "-").split("-")[0]
    return len(text) < IDENTIFIABLE or dict(_identifier().rank(text)).get(plain, 1.0) >= _UNLIKELY


@functools.cache
def _identifier() -> Any:
    module = needed("py3langid.langid")
    return module.LanguageIdentifier.from_model_file(module.MODEL_FILE, norm_probs=True)
