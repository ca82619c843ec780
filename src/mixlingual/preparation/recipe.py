"""A recipe from its sources to training data: read, filter, translate, mine and write.

Each step makes a folder in the cache that is named by all that its content depends on. A recipe that was killed, or
changed, therefore does what is missing and no more; any number of processes started with one recipe share its work.
"""

from __future__ import annotations

import itertools
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mixlingual.config.identity import to_plain
from mixlingual.config.schema import PrepareConfig
from mixlingual.data.registry import load_benchmarks
from mixlingual.evaluation.encode import encoder_fingerprint
from mixlingual.evaluation.scorer import Encoding
from mixlingual.evaluation.sentence_transformer import as_published
from mixlingual.evaluation.suite import embed_texts
from mixlingual.files import check_writable, digest, lock_on, read_object, written_whole
from mixlingual.model.hub import as_saved
from mixlingual.model.load import load_encoder
from mixlingual.preparation.filter import benchmark_runs, check_shard, drop_copies, removed_path
from mixlingual.preparation.mine import ALL, EncoderRanker, Miner, Passages, Ranker, WordRanker
from mixlingual.preparation.read import Source
from mixlingual.preparation.shards import SIDES, SUFFIX, Counts, counts_of, gzipped, share, step_folder, write_items
from mixlingual.preparation.translate import Translator
from mixlingual.records import AnyBenchmark, DataError, MixlingualError, fingerprint
from mixlingual.runs.lease import code_commit, write_json
from mixlingual.training.device import device_of, on_device, use_threads

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
REMOVED = "removed.txt.gz"
"""A line of JSON for each text and item that was left out; its name keeps readers of data away."""
_DONE = "done.json"
_PER_SHARD = ("identify", "query_characters", "passage_characters", "overlap_words")
"""Options of the filter that look at an item alone; the others compare items."""


class Recipe:
    """Runs one recipe. What cannot work is found when it is made, before anything is read.

    Raises:
        MixlingualError: a source, benchmark, engine or package is not there, or options do not fit together.
    """

    def __init__(self, config: PrepareConfig) -> None:
        self._device = device_of(config.accelerator)
        config = on_device(config, self._device)
        self._config, self._recipe = config, config.recipe
        if not self._recipe.sources:
            raise MixlingualError("recipe.sources is empty; choose a recipe, as in recipe=local")
        use_threads(config.threads)
        if self._recipe.mine.by == "encoder" and config.model.checkpoint is None:
            raise MixlingualError(
                "recipe.mine.by=encoder needs a trained encoder; set model.checkpoint=FOLDER_OR_HUB_ID"
            )
        self.translator = Translator(self._recipe.translate, self._device)
        self._engines = self.translator.identities()
        root = None if self._recipe.root is None else Path(self._recipe.root).expanduser()
        self.sources = [Source(name, source, root) for name, source in sorted(self._recipe.sources.items())]

    @cached_property
    def read(self) -> dict[str, list[Path]]:
        """The shards of each source, as they were read."""
        folders = {}
        for source in self.sources:
            plain = {**to_plain(source.config), "license": None, "note": None, "translate": None}
            folders[source.name] = step_folder(
                "read", plain, list(self._hashes[source.name].values()), self._recipe.shard_items
            )
        share([folder / _DONE for folder in folders.values()], partial(self._read_source, folders), "read")
        return {
            name: [folder / f"{name}-{n:05}{SUFFIX}" for n in range(int(read_object(folder / _DONE)["shards"]))]
            for name, folder in folders.items()
        }

    def _read_source(self, folders: dict[str, Path], target: Path) -> None:
        source = next(each for each in self.sources if folders[each.name] == target.parent)
        rows: Counter[str] = Counter()
        items = source.items(rows)
        for number in itertools.count():
            part = list(itertools.islice(items, self._recipe.shard_items))
            if not part:
                break
            write_items(target.parent / f"{source.name}-{number:05}{SUFFIX}", part, Counter())
        if number == 0:
            raise DataError(f"recipe.sources.{source.name}: no item is left of {rows['rows in']} rows; see its options")
        write_json(target, {"shards": number, **rows})

    @cached_property
    def _hashes(self) -> dict[str, dict[str, str]]:
        """File -> hash of its content, of each source."""
        return {source.name: {str(path): digest(path) for path in source.all_files()} for source in self.sources}

    @cached_property
    def _benchmarks(self) -> list[AnyBenchmark]:
        return load_benchmarks(self._config.evaluation)

    @cached_property
    def checked(self) -> list[Path]:
        """The shards of all sources, with what each item alone says of it."""
        options = self._recipe.filter
        benchmarks = self._benchmarks
        if not benchmarks:
            log.warning("no benchmark is named, so nothing is taken out that overlaps one; set evaluation.benchmarks")
        plain = {key: value for key, value in to_plain(options).items() if key in _PER_SHARD}
        made_from = [plain, {each.name: each.fingerprint for each in benchmarks}]
        targets = {
            step_folder("check", source.parent.name, *made_from) / source.name: source
            for shards in self.read.values()
            for source in shards
        }
        if missing := [target for target in targets if not target.exists()]:
            overlaps = benchmark_runs(benchmarks, options.overlap_words)
            share(missing, lambda target: check_shard(targets[target], target, options, overlaps), "check")
        return list(targets)

    @cached_property
    def filtered(self) -> list[Path]:
        """The shards without copies."""
        options = self._recipe.filter
        parents = list(dict.fromkeys(path.parent.name for path in self.checked))
        folder = step_folder("copies", parents, options.exact, options.near)
        targets = [folder / path.name for path in self.checked]

        def make(done: Path) -> None:
            drop_copies(self.checked, targets, options)
            write_json(done, {"shards": len(targets)})

        share([folder / _DONE], make, "copies")
        return targets

    @cached_property
    def translated(self) -> list[Path]:
        """The shards with translations; those of sources that are not translated as they were."""
        options = self._recipe.translate
        if not self._engines:
            return self.filtered
        plain = {**to_plain(options), "engines": None, "lines": None}
        folder = step_folder("translate", self.filtered[0].parent.name, plain, self._engines)
        targets = {
            folder / path.name: path for path in self.filtered if self._recipe.sources[source_of(path)].translate
        }
        share(list(targets), lambda target: self.translator.translate_shard(targets[target], target), "translate")
        return [target if (target := folder / path.name) in targets else path for path in self.filtered]

    @cached_property
    def mined(self) -> list[Path]:
        """The shards with hard negatives."""
        options = self._recipe.mine
        if options.by == "none":
            return self.translated
        parent = fingerprint(f"{path.parent.name}/{path.name}" for path in self.translated)
        passages = Passages(self.translated, self._recipe.shard_items, parent)
        folder = step_folder("mine", passages.parent, to_plain(options), self._ranking)
        targets = {folder / path.name: path for path in self.translated}
        if not all(target.exists() for target in targets):
            miner = Miner(passages, self._ranker(passages), options)
            miner.prepare()
            share(list(targets), lambda target: miner.mine_shard(targets[target], target), "mine")
        return list(targets)

    @cached_property
    def _encoding(self) -> Encoding:
        model = as_saved(as_published(self._config.model))
        encoder, tokenizer = load_encoder(model, None, seed=0)
        encoder.to(self._device).float().eval()
        evaluation = self._config.evaluation
        return Encoding(
            partial(embed_texts, encoder, tokenizer, evaluation, self._device),
            tokenizer,
            lambda: fingerprint((encoder_fingerprint(encoder, tokenizer), evaluation.precision)),
            self._device,
        )

    @cached_property
    def _ranking(self) -> str:
        """Names what ranks passages."""
        return "bm25" if self._recipe.mine.by == "bm25" else str(self._encoding.identity())

    def _ranker(self, passages: Passages) -> Ranker:
        if self._recipe.mine.by == "bm25":
            return WordRanker(passages, [ALL] if self._recipe.mine.pool == "all" else [])
        return EncoderRanker(passages, self._encoding, self._config.evaluation)

    def run(self) -> Path:
        """Makes all that is missing, and the folder of the data; returns its manifest.

        Raises:
            MixlingualError: a step could not be finished; what is done is kept.
        """
        output = Path(self._config.folder)
        check_writable(output)
        final = self.mined
        with lock_on(output.with_name(f".{output.name}.lock")):
            self._write(output, final)
        return output / MANIFEST

    def _write(self, output: Path, final: Sequence[Path]) -> None:
        """Puts the last step's shards into the folder, with a list of what was removed, and last the manifest."""
        mine = {path.name for path in final} | {*read_object(output / MANIFEST).get("files", ())}
        if strange := sorted(path.name for path in output.glob("*.jsonl*") if path.name not in mine):
            raise MixlingualError(
                f"{output} holds {strange[0]}, which this recipe did not write and training would read; set folder to "
                "another folder, or move the file away"
            )
        kept = {path.name: path for path in final if counts_of([path])["items out"]}
        for name in mine - kept.keys():
            (output / name).unlink(missing_ok=True)
        for name, path in kept.items():
            with written_whole(output / name) as temporary:
                shutil.copyfile(path, temporary)
        with written_whole(output / REMOVED) as temporary, gzipped(temporary) as file:
            for path in (*self.checked, *self.filtered):
                file.write(removed_path(path).read_bytes())
        write_json(output / MANIFEST, self._manifest(list(kept.values())))

    def _manifest(self, final: Sequence[Path]) -> dict[str, Any]:
        """Returns what the data were made from and how, and what became of each source's rows."""
        mine = self._recipe.mine
        mining: dict[str, Any] = {"by": mine.by}
        if mine.by != "none":
            mining |= {"ranking": self._ranking, "counts": _part(counts_of(self.mined), "negatives")}
        if mine.by == "encoder":
            mining["encoder"] = to_plain(self._config.model)
        return {
            "recipe": self._recipe.name,
            "commit": code_commit(),
            "sources": {source.name: self._about(source) for source in self.sources},
            "benchmarks": {each.name: each.fingerprint for each in self._benchmarks},
            "translations": self._translations(),
            "mining": mining,
            "options": to_plain(self._recipe),
            "files": {path.name: counts_of([path])["items out"] for path in final},
        }

    def _about(self, source: Source) -> dict[str, Any]:
        """Returns the part of the manifest about a source."""
        name, config = source.name, source.config
        of_source = [
            [path for path in step if source_of(path) == name] for step in (self.checked, self.filtered, self.mined)
        ]
        checked, filtered, final = map(counts_of, of_source)
        known = ("items in", "items out")
        return {
            "license": config.license,
            "hub": config.pairs.hub,
            "revision": config.pairs.revision,
            "note": config.note,
            "files": self._hashes[name],
            "read": read_object(self.read[name][0].parent / _DONE),
            "items": {"read": checked["items in"], "kept": final["items out"]},
            "removed": {
                reason: count
                for counts in (checked, filtered)
                for reason, count in counts.items()
                if reason not in known and not reason.startswith("text ")
            },
            "texts": {side: _part(final, f"text {side} ") for side in SIDES},
        }

    def _translations(self) -> dict[str, Any]:
        """Returns engine, model, and counts of what was kept and dropped, by side and pair of languages."""
        counts = counts_of(path for path in self.translated if path not in self.filtered)
        return {label: {"engine": identity, **_part(counts, f"{label}: ")} for label, identity in self._engines.items()}

    def table(self) -> str:
        """Returns what became of translations, as a table by side and pair of languages."""
        rows = self._translations()
        reasons = sorted({reason for row in rows.values() for reason in row} - {"engine", "kept"})
        head = ["translations", "kept", *reasons]
        lines = [[label, *(str(row.get(reason, 0)) for reason in head[1:])] for label, row in rows.items()]
        widths = [max(map(len, column)) for column in zip(head, *lines)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in (head, *lines))


def source_of(shard: Path) -> str:
    """Returns the source that a shard is of."""
    return shard.name.removesuffix(SUFFIX).rpartition("-")[0]


def _part(counts: Counts, prefix: str) -> dict[str, int]:
    """Returns the counts whose names start so, without that start."""
    return {name.removeprefix(prefix).strip(): n for name, n in sorted(counts.items()) if name.startswith(prefix)}
