"""Translate: each text into the languages that its side lacks, by the engine that the recipe names for it.

Long texts go sentence by sentence. Whatever an engine returned is kept for good, by line, engine, model and pair of
languages, so that no line is ever translated twice, by any recipe.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import torch
from tqdm import tqdm

from mixlingual.config.schema import TranslateConfig
from mixlingual.files import cache_dir
from mixlingual.preparation.engines import open_engine
from mixlingual.preparation.memory import TextMemory
from mixlingual.preparation.shards import SIDES, Counts, read_items, write_items
from mixlingual.preparation.words import is_language, is_unspaced, needed, words
from mixlingual.records import MixlingualError, fingerprint

_SHORT = 4
"""Words below which copying says nothing: names stay as they are."""

_COMPRESSIBLE = 100
"""Bytes below which compression says nothing."""


class Translator:
    """Translates shards of a recipe; engines are opened when they are first needed.

    Raises:
        MixlingualError: the options name an engine or a language that is not there, or an engine is not usable.
    """

    def __init__(self, config: TranslateConfig, device: torch.device) -> None:
        self._config = config
        self._steps = list(_steps(config))
        names = dict.fromkeys(engine for _, _, _, engine in self._steps)
        if unknown := [name for name in names if name not in config.engines]:
            raise MixlingualError(
                f"recipe.translate names the engine {', '.join(unknown)}; recipe.translate.engines has "
                f"{', '.join(config.engines) or 'none'}"
            )
        self._engines = {name: open_engine(name, config.engines[name], device) for name in names}

    def identities(self) -> dict[str, str]:
        """Returns what names the translations, by "side source-target engine"."""
        return {
            f"{side} {source}-{target} {name}": self._engines[name].identity(source, target)
            for side, source, target, name in self._steps
        }

    def translate_shard(self, source: Path, target: Path) -> None:
        """Writes the items of a shard with their translations.

        Raises:
            MixlingualError: an engine died or returned another number of lines; what it translated before is kept.
        """
        counts: Counts = Counter()
        items = list(read_items(source))
        counts["items in"] += len(items)
        for side, spoken, wanted, name in self._steps:
            having = [item for item in items if spoken in item.side(side) and wanted not in item.side(side)]
            texts = list(dict.fromkeys(item.side(side)[spoken] for item in having))
            translated = self._translated(texts, spoken, wanted, name)
            for item in having:
                text = translated[item.side(side)[spoken]]
                reason = problem(item.side(side)[spoken], text, spoken, wanted, self._config)
                label = f"{side} {spoken}-{wanted} {name}"
                counts[f"{label}: {reason or 'kept'}"] += 1
                if reason is None:
                    item.side(side)[wanted] = text
                    item.made.setdefault(side, {})[wanted] = name
        write_items(target, items, counts)

    def _translated(self, texts: Sequence[str], source: str, target: str, name: str) -> Mapping[str, str]:
        """Returns the translation of each text, put together from lines."""
        cut = {text: pieces(text, source, self._config.sentence_characters) for text in texts}
        lines = list(dict.fromkeys(line for parts in cut.values() for line, _ in parts if line))
        engine = self._engines[name]
        base = (
            cache_dir() / "translations" / f"{source}-{target}-{fingerprint([engine.identity(source, target)])}.sqlite"
        )
        with closing(TextMemory(base)) as memory:
            known = memory.get(lines)
            missing = [line for line in lines if line not in known]
            known |= self._lines(name, missing, source, target, memory)
        glue = "" if is_unspaced(target) else " "
        return {
            text: joined([(known[line] if line else "", end) for line, end in parts], glue)
            for text, parts in cut.items()
        }

    def _lines(self, name: str, lines: Sequence[str], source: str, target: str, memory: TextMemory) -> dict[str, str]:
        """Translates lines, and keeps them so many at a time; those of a batch are of like length."""
        found: dict[str, str] = {}
        ordered = sorted(lines, key=len, reverse=True)
        with tqdm(total=len(lines), desc=f"{source}-{target}", unit="line", disable=None, leave=False) as progress:
            for start in range(0, len(ordered), self._config.lines):
                part = ordered[start : start + self._config.lines]
                made = dict(zip(part, map(_one_line, self._run(name, part, source, target))))
                memory.put(made.items())
                found |= made
                progress.update(len(part))
        return found

    def _run(self, name: str, lines: Sequence[str], source: str, target: str) -> list[str]:
        """Returns as many lines as there are. Raises MixlingualError if the engine does not."""
        try:
            made = self._engines[name].translate(lines, source, target)
        except (MixlingualError, OSError, RuntimeError, ValueError) as error:
            raise MixlingualError(f"engine {name}, {source}-{target}: {error}") from error
        if len(made) != len(lines):
            raise MixlingualError(
                f"engine {name}, {source}-{target}: it returned {len(made)} lines for {len(lines)}, the first of which "
                f"is {lines[0][:80]!r}; an engine must write one line for each that it reads"
            )
        return made


def _steps(config: TranslateConfig) -> Iterator[tuple[str, str, str, str]]:
    """Yields (side, source language, target language, engine), a language before those that are made from it."""
    for side in SIDES:
        engines = config.query if side == "query" else config.passage
        done = {config.source}
        for target, engine in engines.items():
            source = config.via.get(target, config.source)
            if source not in done or target in done:
                raise MixlingualError(
                    f"recipe.translate.{side} makes {target} from {source}, when there is {', '.join(sorted(done))}; "
                    "name a language before those that recipe.translate.via makes from it, and none twice"
                )
            done.add(target)
            yield side, source, target, engine


def pieces(text: str, language: str, characters: int) -> list[tuple[str, str]]:
    """Returns (line, white space after it): the text as one line if it is short, else its sentences.

    A sentence of more than three times as many characters is cut between words.
    """
    if len(text) <= characters:
        return [_split(text)]
    found = []
    for sentence in needed("sentencex").segment(language.replace("_", "-").split("-")[0], text):
        while len(sentence) > 3 * characters and (cut := sentence.rfind(" ", 1, 3 * characters)) > 0:
            found.append(_split(sentence[: cut + 1]))
            sentence = sentence[cut + 1 :]
        found.append(_split(sentence))
    return found


def _split(sentence: str) -> tuple[str, str]:
    line = _one_line(sentence)
    return line, sentence[len(sentence.rstrip()) :]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def joined(parts: Iterable[tuple[str, str]], glue: str) -> str:
    """Returns sentences with line ends where they had them, and `glue` where they had other white space."""
    return "".join(line + ("\n" * min(2, end.count("\n")) or (glue if end else "")) for line, end in parts).strip()


def problem(text: str, translation: str, source: str, target: str, config: TranslateConfig) -> str | None:
    """Returns why a translation is not kept; None if it is."""
    if not translation.strip():
        return "empty"
    before, after = len(text.encode()), len(translation.encode())
    if not config.length_ratio[0] <= after / before <= config.length_ratio[1]:
        return "length"
    if after >= _COMPRESSIBLE and _ratio(translation) > config.repetition * max(1.0, _ratio(text)):
        return "repetition"
    made = words(translation, target)
    if len(made) >= _SHORT and sum((Counter(made) & Counter(words(text, source))).values()) > config.copied * len(made):
        return "copied"
    if config.identify and not is_language(translation, target):
        return "language"
    return None


def _ratio(text: str) -> float:
    """Returns how many times smaller zlib makes a text."""
    return len(text.encode()) / len(zlib.compress(text.encode()))
