"""Engines that translate lines: models by CTranslate2 or transformers, Apertium, and any program."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch

from mixlingual.config.schema import EngineConfig
from mixlingual.evaluation.encode import token_batches
from mixlingual.files import digest
from mixlingual.preparation.words import needed
from mixlingual.records import MixlingualError, fingerprint


class Engine(Protocol):
    """Maps lines to lines."""

    def identity(self, source: str, target: str) -> str:
        """Returns what names the translations of a pair of languages: two engines of one name give the same.

        Raises:
            MixlingualError: the engine, or its model of the pair, is not here.
        """
        ...

    def translate(self, lines: Sequence[str], source: str, target: str) -> list[str]:
        """Returns a translation of each line; lines are not empty and hold no line ends.

        Raises:
            MixlingualError: the engine ended with an error.
        """
        ...


def open_engine(name: str, config: EngineConfig, device: torch.device) -> Engine:
    """Returns the engine of that name. Raises MixlingualError if its options do not fit or a package is missing."""
    if config.kind == "program" and not config.command:
        raise MixlingualError(f"recipe.translate.engines.{name}.command is empty; give the words of a command")
    if config.kind in ("ctranslate2", "transformers") and config.model is None:
        raise MixlingualError(f"recipe.translate.engines.{name}.model is null; name a hub id or folder")
    if config.kind == "ctranslate2":
        return CTranslate2(name, config, device)
    if config.kind == "transformers":
        return Transformers(name, config, device)
    return Program(name, config)


class Program:
    """Is a command that reads lines and writes as many; Apertium is one that we know."""

    def __init__(self, name: str, config: EngineConfig) -> None:
        self._name = name
        self._codes = config.codes
        self._is_apertium = config.kind == "apertium"
        apertium = [shutil.which("apertium") or "apertium", "-u", "{source}-{target}"]
        self._command = apertium if self._is_apertium else list(config.command)
        self._between = "\n\n" if self._is_apertium else "\n"
        """Ends a line; to Apertium a blank line alone is the end of a sentence that lacks its full stop."""

    def identity(self, source: str, target: str) -> str:
        """Returns the command with hashes of the program and of Apertium's data for the pair."""
        command = self._words(source, target)
        files = [Path(found) for word in command[:2] if (found := shutil.which(word) or word) and Path(found).is_file()]
        if self._is_apertium:
            mode = Path("/usr/share/apertium/modes") / f"{command[-1]}.mode"
            if shutil.which(command[0]) and not mode.is_file():
                raise MixlingualError(
                    f"engine {self._name}: Apertium has no pair {command[-1]}; install one (Debian: apt install "
                    f"apertium-{command[-1]}), or map languages to its codes, as in codes={{en: eng, es: spa}}"
                )
            with contextlib.suppress(OSError):
                data = {Path(word) for word in mode.read_text().replace("'", " ").split() if word.startswith("/")}
                files += [mode, *sorted(path for path in data if path.is_file())]
        if not shutil.which(command[0]):
            raise MixlingualError(
                f"engine {self._name}: the program {command[0]} is not here; install it (Apertium on Debian: apt "
                "install apertium), or change the engine's command"
            )
        return " ".join([*command, *map(digest, files)])

    def translate(self, lines: Sequence[str], source: str, target: str) -> list[str]:
        """Returns what the command writes for the lines."""
        command = self._words(source, target)
        done = subprocess.run(
            command,
            input=self._between.join(lines) + "\n",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        found = done.stdout.removesuffix("\n").split(self._between)
        if done.returncode or (len(found) != len(lines) and done.stderr.strip()):
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise MixlingualError(
                f"`{' '.join(command)}` ended with code {done.returncode} and {len(found)} lines for {len(lines)} "
                f"({last}); try it by hand"
            )
        return found

    def _words(self, source: str, target: str) -> list[str]:
        return [_filled(word, self._codes, source, target) for word in self._command]


class Transformers:
    """Is a sequence-to-sequence checkpoint that transformers runs."""

    def __init__(self, name: str, config: EngineConfig, device: torch.device) -> None:
        self._name, self._config, self._device = name, config, device
        self._models: dict[str, tuple[Any, Any]] = {}

    def identity(self, source: str, target: str) -> str:
        """Returns the model with its options; a folder by the content of its files."""
        config = self._config
        model = _filled(str(config.model), config.codes, source, target)
        tokenizer = _filled(config.tokenizer or str(config.model), config.codes, source, target)
        parts = [config.kind, *map(_content, (model, tokenizer)), str(config.revision), config.prefix]
        return " ".join([*parts, f"beams={config.beams}", f"max_tokens={config.max_tokens}", config.compute])

    def translate(self, lines: Sequence[str], source: str, target: str) -> list[str]:
        """Returns a translation of each line, in batches of one length."""
        tokenizer, model = self._model(source, target)
        token_ids = self._encoded(tokenizer, lines, source, target)
        first = _first_token(tokenizer, self._code(target))
        found = [""] * len(lines)
        for rows in token_batches([len(ids) for ids in token_ids], self._config.batch_tokens):
            batch = tokenizer.pad({"input_ids": [token_ids[row] for row in rows]}, return_tensors="pt")
            with torch.inference_mode():
                made = model.generate(
                    **batch.to(self._device),
                    num_beams=self._config.beams,
                    do_sample=False,
                    max_new_tokens=self._config.max_tokens,
                    **({} if first is None else {"forced_bos_token_id": tokenizer.convert_tokens_to_ids(first)}),
                )
            for row, text in zip(rows, _decoded(tokenizer, made.tolist(), first)):
                found[row] = text
        return found

    def _model(self, source: str, target: str) -> tuple[Any, Any]:
        """Returns tokenizer and model of a pair, loaded once."""
        name = _filled(str(self._config.model), self._config.codes, source, target)
        if name not in self._models:
            tokenizer = _filled(self._config.tokenizer or name, self._config.codes, source, target)
            try:
                self._models = {name: (self._load_tokenizer(tokenizer), self._load(name))}
            except (OSError, ValueError, RuntimeError) as error:
                reason = str(error).partition("\n")[0]
                raise MixlingualError(
                    f"engine {self._name}: the model {name} cannot be loaded by {self._config.kind} ({reason}); set "
                    f"recipe.translate.engines.{self._name}.model to a folder that it reads"
                ) from error
        return self._models[name]

    def _load_tokenizer(self, name: str) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(name, revision=self._config.revision)

    def _load(self, name: str) -> Any:
        from transformers import AutoModelForSeq2SeqLM

        dtype = torch.float32 if self._config.compute == "default" else getattr(torch, self._config.compute)
        model = AutoModelForSeq2SeqLM.from_pretrained(
            name, revision=self._config.revision, dtype=dtype, use_safetensors=True
        )
        return model.to(self._device).eval()

    def _encoded(self, tokenizer: Any, lines: Sequence[str], source: str, target: str) -> list[list[int]]:
        """Returns the token ids of each line, prefix included, cut to what the model can read."""
        if _first_token(tokenizer, self._code(target)) is not None:
            tokenizer.src_lang = self._code(source)
        prefix = _filled(self._config.prefix, self._config.codes, source, target)
        limit = min(tokenizer.model_max_length, 1024)
        ids: list[list[int]] = tokenizer([prefix + line for line in lines], truncation=True, max_length=limit)[
            "input_ids"
        ]
        return ids

    def _code(self, language: str) -> str:
        return self._config.codes.get(language, language)


class CTranslate2(Transformers):
    """Is a converted checkpoint that CTranslate2 runs, with the tokenizer of transformers."""

    @cached_property
    def _library(self) -> Any:
        return needed("ctranslate2")

    def _load(self, name: str) -> Any:
        device = "cuda" if self._device.type == "cuda" else "cpu"
        threads = {} if device == "cuda" else {"intra_threads": torch.get_num_threads()}
        return self._library.Translator(name, device=device, compute_type=self._config.compute, **threads)

    def translate(self, lines: Sequence[str], source: str, target: str) -> list[str]:
        """Returns a translation of each line; CTranslate2 makes the batches."""
        tokenizer, model = self._model(source, target)
        first = _first_token(tokenizer, self._code(target))
        tokens = [tokenizer.convert_ids_to_tokens(ids) for ids in self._encoded(tokenizer, lines, source, target)]
        made = model.translate_batch(
            tokens,
            target_prefix=None if first is None else [[first]] * len(tokens),
            beam_size=self._config.beams,
            max_batch_size=self._config.batch_tokens,
            batch_type="tokens",
            max_decoding_length=self._config.max_tokens,
        )
        ids = [tokenizer.convert_tokens_to_ids(each.hypotheses[0]) for each in made]
        return _decoded(tokenizer, ids, first)


def _first_token(tokenizer: Any, code: str) -> str | None:
    """Returns the token that tells a multilingual model its target language; None for a model of one pair.

    Raises:
        MixlingualError: the model does not know the language.
    """
    if not hasattr(tokenizer, "src_lang"):
        return None
    named = getattr(tokenizer, "lang_code_to_token", {}).get(code, code)
    if tokenizer.convert_tokens_to_ids(named) in (None, tokenizer.unk_token_id):
        raise MixlingualError(
            f"the tokenizer {tokenizer.name_or_path} has no language {code}; map the language to its code with the "
            "engine's codes, as in codes={en: eng_Latn}"
        )
    return str(named)


def _decoded(tokenizer: Any, ids: Sequence[Sequence[int]], first: str | None) -> list[str]:
    """Returns the texts without special tokens, of which the target's is none to transformers 5 in M2M-100."""
    name = None if first is None else tokenizer.convert_tokens_to_ids(first)
    found: list[str] = tokenizer.batch_decode(
        [[token for token in line if token != name] for line in ids], skip_special_tokens=True
    )
    return found


def _filled(text: str, codes: dict[str, str], source: str, target: str) -> str:
    """Returns the text with the engine's codes in place of {source} and {target}."""
    return text.replace("{source}", codes.get(source, source)).replace("{target}", codes.get(target, target))


def _content(name: str) -> str:
    """Returns a hub id as it is, and a folder as a hash of its files."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return name
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return fingerprint(part for path in files for part in (str(path.relative_to(folder)), digest(path)))
