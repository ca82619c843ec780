"""How each of the atlas's languages names and words its facts.

Names come from CLDR; `phrases/<language>.json` holds what CLDR lacks: `relations`, the sentences; `words`,
a few values; `lower`, the kinds of names that lose their capital within a sentence; and `forms`, what a
sentence needs beside the listed name ("in der Schweiz", "της Ελβετίας"). There a key is a CLDR name or an
``*ending``, and a pattern may use the ``{name}`` and the ``{stem}`` that is left without the ending.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel import Locale
from babel.lists import format_list
from babel.numbers import get_currency_name

from tools.cldr.facts import Fact, zone_spellings

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
"""The languages of XQuAD, each with a file phrases/<language>.json."""

_OWN_SCRIPT = frozenset(("ar", "el", "hi", "ru", "th", "zh"))


@dataclass(frozen=True, slots=True)
class Name:
    """A name and its forms; in a template, ``{value}`` is the form `nom`, ``{value:in}`` the form `in`."""

    bare: str
    forms: dict[str, str]

    def __format__(self, form: str) -> str:
        return self.bare if form == "bare" else self.forms[form or "nom"]


class Phrasebook:
    """One language's names and sentences."""

    def __init__(self, language: str) -> None:
        """Reads phrases/<language>.json."""
        file = Path(__file__).with_name("phrases") / f"{language}.json"
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        self.language = language
        self.templates: dict[str, dict[str, list[str]]] = content["relations"]
        self.forms: dict[str, dict[str, dict[str, str]]] = content["forms"]
        self._endings = {
            kind: sorted((key[1:] for key in table if key.startswith("*")), key=len, reverse=True)
            for kind, table in self.forms.items()
        }
        self._words: dict[str, str] = content["words"]
        self._lower: list[str] = content["lower"]
        self._locale = Locale.parse(language)
        self._names: dict[tuple[str, tuple[str, ...]], Name | None] = {}

    def texts(self, fact: Fact) -> tuple[str, str] | None:
        """Question and passage, or None if CLDR has no name in this language for a part of the fact."""
        subject = self.name(fact.subject_kind, (fact.subject,))
        value = self.name(fact.value_kind, fact.values)
        if subject is None or value is None:
            return None
        continent = self.name("region", (fact.continent,)) if fact.continent else None
        slots = {"subject": subject, "value": value, "continent": continent, "example": fact.example}
        return (
            _sentence(self._template(fact, "query").format(**slots)),
            _sentence(self._template(fact, "passage").format(**slots)),
        )

    def _template(self, fact: Fact, side: str) -> str:
        """One of the phrasings, by a hash of item, language and side: parallel texts do not share its number."""
        choices = self.templates[fact.relation]
        plural = f"{side}_plural"
        phrasings = choices[plural if len(fact.values) > 1 and plural in choices else side]
        digest = hashlib.sha256(f"{fact.id}|{self.language}|{side}".encode()).digest()
        return phrasings[int.from_bytes(digest[:8], "little") % len(phrasings)]

    def name(self, kind: str, codes: tuple[str, ...]) -> Name | None:
        """The name of one thing, or the list of several; None where CLDR has no name."""
        if (kind, codes) not in self._names:
            self._names[kind, codes] = self._find_name(kind, codes)
        return self._names[kind, codes]

    def _find_name(self, kind: str, codes: tuple[str, ...]) -> Name | None:
        listed = [self._listed(kind, code) for code in codes]
        names = [self._inflected(kind, name) for name in listed if name]
        if len(names) < len(codes):
            return None
        if len(names) == 1:
            return names[0]
        together = functools.partial(format_list, locale=self._locale)
        return Name(together([name.bare for name in names]), {"nom": together([f"{name}" for name in names])})

    def _inflected(self, kind: str, name: str) -> Name:
        """The forms listed under the name itself, else under the longest ``*ending`` that fits it."""
        if kind in self._lower:
            name = name[0].lower() + name[1:]
        table = self.forms.get(kind, {})
        ending = next((ending for ending in self._endings.get(kind, ()) if name.endswith(ending)), "")
        patterns = table.get(name) or table.get(f"*{ending}", {})
        stem = name.removesuffix(ending)
        forms = {form: pattern.format(name=name, stem=stem) for form, pattern in patterns.items()}
        return Name(name, {"nom": name, **forms})

    def _listed(self, kind: str, code: str) -> str | None:
        """The name as CLDR gives it, or None."""
        locale = self._locale
        listed: Any = code
        match kind:
            case "territory" | "region":
                listed = locale.territories.get(code)
            case "language":
                listed = locale.languages.get(code)
            case "script":
                listed = locale.scripts.get(code)
            case "currency":
                listed = get_currency_name(code, count=1, locale=locale) if code in locale.currencies else None
            case "weekday":
                listed = locale.days["stand-alone"]["wide"][int(code)]
            case "zone":
                long = locale.meta_zones.get(code, {}).get("long", {})
                listed = long.get("generic") or long.get("standard")
            case "city":
                listed = self._city(code)
            case "word":
                listed = self._words[code]
        return None if listed is None else str(listed)

    def _city(self, zone: str) -> str | None:
        """CLDR's exemplar city; languages in Latin letters leave out a name that is the identifier's."""
        for spelling in zone_spellings(zone):
            if city := self._locale.time_zones.get(spelling, {}).get("city"):
                return str(city)
        return None if self.language in _OWN_SCRIPT else zone.rpartition("/")[2].replace("_", " ")


@functools.cache
def phrasebook(language: str) -> Phrasebook:
    """The phrasebook of one of `LANGUAGES`."""
    return Phrasebook(language)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
