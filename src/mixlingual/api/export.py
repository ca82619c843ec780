"""Makes a trained encoder ready for others: its model card, other formats, and the Hugging Face hub."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from mixlingual.config.schema import ModelConfig
from mixlingual.data.sources.atlas import atlas_benchmark
from mixlingual.layout import MODEL, QUERIES, RESULT, SAVED_OPTIONS
from mixlingual.model.hub import front_matter
from mixlingual.model.onnx import INT8, Agreement, export_onnx
from mixlingual.model.tokenizer import Side
from mixlingual.records import MixlingualError
from mixlingual.reporting.card import CARD, PLACEHOLDER, write_card
from mixlingual.runs.result import MALFORMED, read_run

log = logging.getLogger(__name__)

_TEXTS = 24
"""A new format and PyTorch both encode about so many queries, and as many passages."""
_LEAST_INT8 = 0.98


@dataclass(frozen=True)
class Exported:
    """An encoder that is ready for others."""

    folder: Path
    files: dict[str, int]
    """Name -> bytes of what goes to the hub."""
    agreement: dict[str, Agreement]
    """Name of a new file -> how near its embeddings are to those of PyTorch."""
    url: str | None
    """Where the encoder now is on the hub; None if it was not pushed."""

    def table(self) -> str:
        """Returns what was compared, and the files with their sizes."""
        compared = [
            f"{name}: cosine with PyTorch at least {found.least_cosine:.6f}, mean {found.mean_cosine:.6f} "
            f"({found.texts} texts)"
            for name, found in self.agreement.items()
        ]
        return "\n".join([*compared, *(f"{size / 1e6:12.3f} MB  {name}" for name, size in self.files.items())])


def export_encoder(
    folder: str | Path,
    *,
    format: str | None = None,  # noqa: A002 - the name of the option
    push: str | None = None,
    dry_run: bool = True,
    private: bool = True,
) -> Exported:
    """Makes a trained encoder ready for others, and says what it consists of.

    Writes a model card where there is none. A token for the hub is taken from `hf auth login` or $HF_TOKEN.

    Args:
        folder: multirun/SWEEP/RUN, or the folder model/ in it.
        format: onnx adds onnx/model.onnx and onnx/model_int8.onnx; None adds nothing.
        push: OWNER/NAME on the Hugging Face hub that receives the files; None pushes nothing.
        dry_run: only lists what `push` would send.
        private: a repository that `push` makes is private.

    Raises:
        MixlingualError: there is no encoder that Mixlingual saved, it cannot be exported, or the hub refuses it.
    """
    folder = Path(folder).expanduser()
    folder = folder / MODEL if (folder / MODEL).is_dir() else folder
    if not (folder / SAVED_OPTIONS).is_file():
        raise MixlingualError(
            f"folder={folder}: it holds no encoder that Mixlingual saved ({SAVED_OPTIONS} is missing); give "
            "multirun/SWEEP/RUN of a run with trainer.save_model=true"
        )
    if format not in (None, "onnx"):
        raise MixlingualError(f"format: got {format!r}; allowed: onnx")
    if push is not None:
        _check_name(push)
    if not (folder / CARD).is_file():
        _describe(folder)
    agreement = export_onnx(folder, _texts()) if format else {}
    if agreement and agreement[INT8].mean_cosine < _LEAST_INT8:
        log.warning("%s differs from PyTorch: evaluate it before use", INT8)
    files = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and _is_part(path.relative_to(folder))
    }
    url = _push(folder, push, list(files), private) if push and not dry_run else None
    return Exported(folder, files, agreement, url)


def _is_part(path: Path) -> bool:
    """Tells the files of an encoder from hidden ones."""
    return not any(part.startswith(".") and part != ".eval_results" for part in path.parts)


def _check_name(push: str) -> None:
    try:
        validate_repo_id(push)
    except HFValidationError as error:
        raise MixlingualError(f"push: got {push!r}; {error}") from error
    if push.count("/") != 1:
        raise MixlingualError(f"push: got {push!r}; it takes OWNER/NAME")


def _describe(folder: Path) -> None:
    """Writes the card of a folder that has none, from what its run has left."""
    try:
        run = read_run(folder.parent) if folder.name == MODEL and (folder.parent / RESULT).is_file() else None
    except MALFORMED as error:
        raise MixlingualError(f"{folder.parent / RESULT} cannot be read: {error}; move it away") from error
    model = run.config["model"] if run else {}
    queries = folder.parent / QUERIES
    began = ModelConfig(checkpoint=model.get("checkpoint"), revision=model.get("revision"))
    base = front_matter(began) if began.checkpoint else {}
    write_card(folder, run, queries if run and queries.is_file() else None, base)


def _texts() -> dict[Side, list[str]]:
    """Returns queries and passages in the languages of the atlas."""
    benchmark = atlas_benchmark(None)
    queries = [query.text for query in benchmark.queries]
    passages = [candidate.text for candidate in benchmark.candidates]
    return {"query": queries[:: len(queries) // _TEXTS], "passage": passages[:: len(passages) // _TEXTS]}


def _push(folder: Path, push: str, files: list[str], private: bool) -> str:
    """Sends the files, with the encoder's name in the examples of its card, and returns the address."""
    api = huggingface_hub.HfApi()
    card = (folder / CARD).read_text(encoding="utf-8").replace(PLACEHOLDER, push)
    others = [name for name in files if name != CARD]
    try:
        url = str(api.create_repo(push, private=private, exist_ok=True))
        api.upload_folder(repo_id=push, folder_path=folder, allow_patterns=others)
        api.upload_file(repo_id=push, path_or_fileobj=card.encode(), path_in_repo=CARD)
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise MixlingualError(
            f"push={push}: the hub did not take it: {reason} Log in with `hf auth login` as someone who may write there"
        ) from error
    return url
