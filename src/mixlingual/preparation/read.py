"""Read: the rows of a source, in any shape that `data=pairs` or `data=parallel` reads, to items of one form."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from mixlingual.config.schema import RecipeSourceConfig
from mixlingual.data.lines import text_lines
from mixlingual.data.sources.judged import dataset_folder, matching
from mixlingual.data.sources.pairs import Layout, PairRow, files_under, hub_files
from mixlingual.data.tables import Piece, rows
from mixlingual.preparation.memory import TextMemory
from mixlingual.preparation.shards import Counts, Item
from mixlingual.records import DataError

_AT_ONCE = 10_000


class Source:
    """Is one source of a recipe, whose files were found.

    Raises:
        DataError: a file is missing, or the options do not fit together.
    """

    def __init__(self, name: str, config: RecipeSourceConfig, root: Path | None) -> None:
        self.name, self.config = name, config
        if unknown := sorted(set(config.join) - {"query", "passage"}):
            raise DataError(f"recipe.sources.{name}.join has {', '.join(unknown)}; allowed: query, passage")
        if config.join and (set(config.join) != {"query", "passage"} or not config.join_languages):
            raise DataError(f"recipe.sources.{name}.join needs query, passage and join_languages")
        named = {
            (side, code): [pattern.replace("{language}", spoken)]
            for side, pattern in config.join.items()
            for code, spoken in config.join_languages.items()
        }
        if config.pairs.hub is not None and config.files:
            patterns = [*config.files, *itertools.chain.from_iterable(named.values())]
            folder = dataset_folder(config.pairs.hub, patterns, root, config.pairs.revision, "recipe.root")
            self.files = [path for pattern in config.files for path in matching(folder, pattern)]
            self._tables = {key: matching(folder, pattern) for key, (pattern,) in named.items()}
        elif config.pairs.hub is not None:
            self.files, self._tables = hub_files(config.pairs), {}
        else:
            if not config.files:
                raise DataError(f"recipe.sources.{name}.files is empty; name files, as in [FILE.csv]")
            self.files = [path for pattern in config.files for path in files_under(Path(pattern).expanduser())]
            self._tables = {key: files_under(Path(pattern).expanduser()) for key, (pattern,) in named.items()}

    def all_files(self) -> list[Path]:
        """Returns all files that are read, in a fixed order."""
        return [*self.files, *itertools.chain.from_iterable(self._tables.values())]

    def items(self, counts: Counts) -> Iterator[Item]:
        """Yields the items, whose ids are unique and start with the name of the source; counts the rows.

        Raises:
            DataError: naming file and line, or row, of what is malformed.
        """
        with tempfile.TemporaryDirectory() as folder, closing(TextMemory(Path(folder, "texts.sqlite"))) as memory:
            read = self._joined(counts, memory) if self._tables else self._grouped(counts, memory)
            kept = (item for item in map(self._restricted, read) if item.query and item.passage)
            yield from itertools.islice(kept, self.config.limit)

    def _restricted(self, item: Item) -> Item:
        """Returns an item with the languages and as many negatives as are wanted."""
        wanted = self.config.languages

        def only(texts: dict[str, str]) -> dict[str, str]:
            return {code: text for code, text in texts.items() if wanted is None or code in wanted}

        negatives = [each for each in map(only, item.negatives) if each]
        return Item(item.id, only(item.query), only(item.passage), negatives[: self.config.negatives])

    def _pairs(self, counts: Counts) -> Iterator[PairRow]:
        """Yields the rows that `where` keeps."""
        for path in self.files:
            layout = Layout.of(path, self.config.pairs)
            for where, row in rows(Piece(path), layout.table):
                counts["rows in"] += 1
                if missing := self.config.where.keys() - row.keys():
                    raise DataError(
                        f"{where}: there is no column {', '.join(missing)}; recipe.sources.{self.name}.where may ask "
                        f"for {', '.join(row)}"
                    )
                if all(str(row[column]) == value for column, value in self.config.where.items()):
                    yield from layout.parsed(row, where)
                else:
                    counts["rows that where leaves out"] += 1

    def _grouped(self, counts: Counts, memory: TextMemory) -> Iterator[Item]:
        """Yields an item for each id, of all its rows, in the order of first rows; for each row where there are none.

        Raises:
            DataError: two rows of one id have other texts in one language.
        """
        pairs = self._pairs(counts)
        first = next(pairs, None)
        if first is None:
            return
        number, found = 0, itertools.chain([first], pairs)
        if first.id is None:
            for number, pair in enumerate(found, start=1):
                yield Item(f"{self.name}/{number}", pair.query, pair.passage, list(pair.negatives))
            return
        ids: list[str] = []
        while part := list(itertools.islice(found, _AT_ONCE)):
            known = {key: Item(**json.loads(text)) for key, text in memory.get([str(pair.id) for pair in part]).items()}
            for pair in part:
                key = str(pair.id)
                if key not in known:
                    ids.append(key)
                    known[key] = Item(f"{self.name}/{key}", {}, {})
                _merge(known[key], pair)
            memory.put(((key, json.dumps(item.plain(), ensure_ascii=False)) for key, item in known.items()), renew=True)
        for start in range(0, len(ids), _AT_ONCE):
            part_ids = ids[start : start + _AT_ONCE]
            texts = memory.get(part_ids)
            yield from (Item(**json.loads(texts[key])) for key in part_ids)

    def _joined(self, counts: Counts, memory: TextMemory) -> Iterator[Item]:
        """Yields an item for each query and passage of rows of ids, with the negatives of all their rows."""
        pairs: dict[tuple[str, str], list[str]] = {}
        for pair in self._pairs(counts):
            (query,), (passage,) = pair.query.values(), pair.passage.values()
            if self.config.limit is None or len(pairs) < self.config.limit or (query, passage) in pairs:
                others = pairs.setdefault((query, passage), [])
                for text in itertools.chain.from_iterable(each.values() for each in pair.negatives):
                    if len(others) < self.config.negatives and text not in others:
                        others.append(text)
        wanted = {
            "query": {query for query, _ in pairs},
            "passage": {passage for _, passage in pairs} | set(itertools.chain.from_iterable(pairs.values())),
        }
        for (side, code), files in self._tables.items():
            memory.put((f"{side} {code} {key}", text) for key, text in _id_lines(files, wanted[side]))
        codes = list(self.config.join_languages)
        for (query, passage), others in pairs.items():
            keys = [("query", query), ("passage", passage), *(("passage", other) for other in others)]
            texts = memory.get([f"{side} {code} {key}" for side, key in keys for code in codes])
            asked, answered, *rest = (
                {code: found for code in codes if (found := texts.get(f"{side} {code} {key}"))} for side, key in keys
            )
            if asked and answered:
                yield Item(f"{self.name}/{query}-{passage}", asked, answered, [each for each in rest if each])
            else:
                counts["pairs without a text"] += 1


def _merge(item: Item, pair: PairRow) -> None:
    """Adds the texts of a row to the item of its id."""
    for mine, texts, side in ((item.query, pair.query, "query"), (item.passage, pair.passage, "passage")):
        for code, text in texts.items():
            if mine.setdefault(code, text) != text:
                raise DataError(
                    f"{pair.where}: {item.id} has another {side} in {code} already; rows of one id are one item, so "
                    "give this row an id of its own, or name another column of ids"
                )
    item.negatives += [each for each in pair.negatives if each not in item.negatives]


def _id_lines(files: Sequence[Path], wanted: set[str]) -> Iterator[tuple[str, str]]:
    """Yields the (id, text) of lines of id, tab, text whose id is wanted."""
    for path in files:
        for where, line in text_lines(path):
            key, tab, text = line.partition("\t")
            if not tab:
                raise DataError(
                    f"{where}: the line has no tab; it must be an id, a tab and a text: fetch the file again"
                )
            if key in wanted and text.strip():
                yield key, text.strip()
