"""Reads data=parallel: a folder of JSON lines, one multi-way parallel (query, passage) item a line.

A line is `{"id": "faq/7", "query": {"en": "...", "de": "..."}, "passage": {"en": "...", "el": "..."}}`.
Each item has its own languages, and its query and passage need not share them. An item may bring hard
negatives, `"negatives": [{"en": "...", "de": "..."}, ...]`: passages that do not answer. Other keys are
allowed and ignored: corpora carry provenance there, and a misspelt `query` or `passage` still fails
as a missing one.

Files are `*.jsonl` and `*.jsonl.gz`, UTF-8, directly in the folder; all other files are ignored. A
pattern of `sources` or `exclude` is a shell wildcard, case-sensitive, and selects a file when it
matches the file's whole name or its name without `.jsonl` or `.jsonl.gz`: `faq`, `faq.jsonl.gz` and
`f*` all select `faq.jsonl.gz`.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from mixlingual.config.schema import DataConfig
from mixlingual.data.lines import Row, described, json_lines
from mixlingual.records import DataError, ParallelCorpus, ParallelItem, fingerprint

log = logging.getLogger(__name__)

_FILES = ("[!.]*.jsonl", "[!.]*.jsonl.gz")
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z0-9]+)*")
_SHAPE = '{"id": "...", "query": {"en": "..."}, "passage": {"en": "..."}}'


def load_parallel(config: DataConfig) -> ParallelCorpus:
    """Reads the corpus that `config` selects.

    Items come in the order of (source name, file name, line), whatever the order of keys in the
    configuration. With `config.languages`, texts in other languages are left out, and so are items
    that then lack a query or a passage.

    Raises:
        DataError: naming file and line (or option), what was found, what is allowed and what to do.
    """
    root = _folder(config)
    sources = _files_by_source(config, root)
    items = tuple(read_items(sources))
    if config.languages is not None:
        items = _restrict(items, config.languages)
    corpus = ParallelCorpus(
        name=root.name,
        items=items,
        languages=tuple(sorted(_languages(items))),
        source_weights=_source_weights(config, sources, items),
        fingerprint=fingerprint(_parts(items)),
    )
    log.info("%s: %d items in %s", corpus.name, len(items), ", ".join(corpus.languages))
    return corpus


def _folder(config: DataConfig) -> Path:
    assert config.root is not None, "TrainConfig.problems refuses data=parallel without a root"
    root = Path(config.root).expanduser().resolve()
    if not root.is_dir():
        raise DataError(f"data.root={root} is not a folder; set it to the folder of the *.jsonl or *.jsonl.gz files")
    return root


def _files_by_source(config: DataConfig, root: Path) -> dict[str, list[Path]]:
    """Maps a source to its files, both sorted by name."""
    found = sorted(path for pattern in _FILES for path in root.glob(pattern) if path.is_file())
    if not found:
        raise DataError(f"data.root={root} holds no *.jsonl or *.jsonl.gz file; put the corpus directly in that folder")
    excluded = _matching(config.exclude, found, "data.exclude")
    files = [path for path in found if path not in excluded]
    if not files:
        raise DataError(f"data.exclude leaves none of the {len(found)} files of {root}; take a pattern out of it")
    if not config.sources:
        return {root.name: files}
    selected = {
        name: sorted(_matching(config.sources[name].files, found, f"data.sources.{name}.files") - excluded)
        for name in sorted(config.sources)
    }
    _check_sources(selected)
    unread = set(files).difference(*selected.values())
    if unread:
        log.info("%d of the %d files of %s are in no source and stay unread", len(unread), len(found), root)
    return selected


def _matching(patterns: Iterable[str], files: Sequence[Path], option: str) -> set[Path]:
    """Returns the files that any pattern selects; each pattern must select one."""
    selected = set()
    for pattern in patterns:
        matches = {path for path in files if fnmatchcase(path.name, pattern) or fnmatchcase(_stem(path.name), pattern)}
        if not matches:
            known = ", ".join(_stem(path.name) for path in files)
            raise DataError(f"{option}: {pattern!r} matches no file of {files[0].parent}; it holds {known}")
        selected |= matches
    return selected


def _stem(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".jsonl")


def _check_sources(sources: dict[str, list[Path]]) -> None:
    owner: dict[Path, str] = {}
    for name, files in sources.items():
        if not files:
            raise DataError(
                f"data.sources.{name} has no file left; add patterns to its files, or take some from data.exclude"
            )
        for path in files:
            if path in owner:
                raise DataError(f"{path.name} is in the sources {owner[path]!r} and {name!r}; keep it in one of them")
            owner[path] = name


def read_items(sources: Mapping[str, Sequence[Path]]) -> Iterator[ParallelItem]:
    """Returns the items of each source's files, in order.

    Raises:
        DataError: naming file and line of what is malformed, or of an id that comes twice.
    """
    first_seen: dict[str, str] = {}
    for source, files in sources.items():
        for path in files:
            empty = True
            for where, record in json_lines(path, f"write each item as one line {_SHAPE}"):
                empty = False
                item = _parse(record, source, where)
                if item.id in first_seen:
                    raise DataError(
                        f"{where}: the id {item.id!r} is taken by {first_seen[item.id]}; "
                        "ids are unique over all files: rename one or leave a file out with data.exclude"
                    )
                first_seen[item.id] = where
                yield item
            if empty:
                raise DataError(
                    f"{path}, line 1: the file is empty; write one item a line or leave it out with data.exclude"
                )


def _parse(record: Row, source: str, where: str) -> ParallelItem:
    identifier = record.get("id")
    if not isinstance(identifier, str) or not identifier:
        raise DataError(f"{where}: id is {described(identifier)}; give each item a non-empty string, as in {_SHAPE}")
    return ParallelItem(
        identifier,
        source,
        _texts(record.get("query"), "query", where),
        _texts(record.get("passage"), "passage", where),
        _negatives(record.get("negatives", []), where),
    )


def _negatives(negatives: object, where: str) -> tuple[dict[str, str], ...]:
    if not isinstance(negatives, list):
        raise DataError(
            f'{where}: negatives is {described(negatives)}; give it a list of passages, as in [{{"en": "..."}}], '
            "or leave it out"
        )
    return tuple(_texts(texts, f"negatives[{number}]", where) for number, texts in enumerate(negatives))


def _texts(texts: object, side: str, where: str) -> dict[str, str]:
    if not isinstance(texts, dict) or not texts:
        raise DataError(
            f"{where}: {side} is {described(texts)}; give it a text in at least one language, as in {_SHAPE}"
        )
    for language, text in texts.items():
        if not _LANGUAGE.fullmatch(language):
            raise DataError(
                f"{where}: {side} has the key {language!r}; keys are language codes such as en, zh-Hans or pt_BR"
            )
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                f"{where}: {side}.{language} is {described(text)}; give it a text, "
                "or leave the language out where there is none"
            )
    return texts


def _restrict(items: Sequence[ParallelItem], languages: Sequence[str]) -> tuple[ParallelItem, ...]:
    """Returns the items with texts in `languages` only, without those that then lack a side."""
    if not languages:
        raise DataError("data.languages is empty; list language codes, or set it to null for all")

    def only(texts: dict[str, str]) -> dict[str, str]:
        return {language: text for language, text in texts.items() if language in languages}

    restricted = (
        ParallelItem(
            item.id,
            item.source,
            only(item.query),
            only(item.passage),
            tuple(negative for negative in map(only, item.negatives) if negative),
        )
        for item in items
    )
    kept = tuple(item for item in restricted if item.query and item.passage)
    missing = sorted(set(languages) - _languages(kept))
    if missing:
        raise DataError(
            f"data.languages names {', '.join(missing)}, in which no item has a text to train on; "
            f"the files hold {', '.join(sorted(_languages(items)))}: choose from these, or null for all"
        )
    log.info(
        "%d of %d items have no (query, passage) in the chosen languages: left out", len(items) - len(kept), len(items)
    )
    return kept


def _languages(items: Iterable[ParallelItem]) -> set[str]:
    return {language for item in items for side in (item.query, item.passage) for language in side}


def _source_weights(config: DataConfig, sources: Iterable[str], items: Sequence[ParallelItem]) -> dict[str, float]:
    """Returns the weight of each source that has items: the configured one, else its number of items."""
    sizes = Counter(item.source for item in items)
    configured = {name: source.weight for name, source in config.sources.items()}
    weights = {}
    for name in sources:
        weight = configured.get(name)
        if sizes[name]:
            weights[name] = float(sizes[name] if weight is None else weight)
        else:
            log.warning("source %s has no item in the chosen languages and is never drawn", name)
    if not any(weights.values()):
        raise DataError(f"every source of data.sources has weight 0 ({', '.join(weights)}); give one a positive weight")
    return weights


def _parts(items: Iterable[ParallelItem]) -> Iterator[str]:
    """Returns what the fingerprint covers, independent of the order of languages in a line."""
    for item in items:
        yield json.dumps([item.id, item.query, item.passage, *item.negatives], ensure_ascii=False, sort_keys=True)
