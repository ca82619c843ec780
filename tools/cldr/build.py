"""Writes the files of `mixlingual.data` that come from Unicode CLDR: the atlas, and the scripts of languages.

python -m tools.cldr.build
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from babel.core import get_global

from tools.cldr.facts import Fact, facts
from tools.cldr.names import LANGUAGES, phrasebook

DATA = Path(__file__).parents[2] / "src/mixlingual/data"


def items() -> Iterator[dict[str, Any]]:
    """The items of the atlas: the facts that every language can name and tell from the others."""
    for fact in _distinct(facts()):
        texts = {language: phrasebook(language).texts(fact) for language in LANGUAGES}
        found = {language: pair for language, pair in texts.items() if pair}
        if len(found) == len(LANGUAGES):
            query, passage = ({language: pair[side] for language, pair in found.items()} for side in (0, 1))
            yield {"id": fact.id, "query": query, "passage": passage}


def atlas() -> bytes:
    """The content of atlas.jsonl.gz, the same at every call."""
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items())
    return gzip.compress(lines.encode(), mtime=0)


def writing_systems() -> str:
    """The content of writing_systems.txt: a script, then the languages that are most likely written in it."""
    languages: dict[str, list[str]] = {}
    for language, tag in sorted(get_global("likely_subtags").items()):
        script = next((subtag for subtag in tag.split("_") if len(subtag) == 4), None)
        if script and "_" not in language:
            languages.setdefault(script, []).append(language)
    return "".join(f"{script} {' '.join(codes)}\n" for script, codes in sorted(languages.items()))


def _distinct(candidates: Iterable[Fact]) -> list[Fact]:
    """Facts about subjects whose name, in each language, names nothing else that a question could mean.

    A city that shares its name with a territory leaves; a comma marks a name that CLDR had to qualify.
    """
    named = {fact: names for fact in candidates if (names := _subject_names(fact))}
    owners: dict[tuple[bool, str, str], set[str]] = {}
    for fact, names in named.items():
        for language, name in names.items():
            is_place = fact.subject_kind != "language"
            owners.setdefault((is_place, language, name.casefold()), set()).add(fact.subject)
    ambiguous = {subject for subjects in owners.values() if len(subjects) > 1 for subject in subjects}
    return [
        fact
        for fact, names in named.items()
        if fact.subject_kind == "territory" or (fact.subject not in ambiguous and "," not in names["en"])
    ]


def _subject_names(fact: Fact) -> dict[str, str]:
    """Language -> name of the subject; empty if one language lacks it."""
    names = {language: phrasebook(language).name(fact.subject_kind, (fact.subject,)) for language in LANGUAGES}
    found = {language: name.bare for language, name in names.items() if name}
    return found if len(found) == len(LANGUAGES) else {}


if __name__ == "__main__":
    (DATA / "sources/atlas.jsonl.gz").write_bytes(atlas())
    (DATA / "writing_systems.txt").write_text(writing_systems(), encoding="utf-8")
