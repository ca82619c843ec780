"""Writes a saved encoder as ONNX, in float32 and with int8 weights, and compares both with PyTorch.

The files hold the backbone, from `input_ids` and `attention_mask`, int64 [B, T], to `last_hidden_state` [B, T, D];
pooling and normalisation stay outside, as in sentence-transformers' `backend="onnx"`.

Shape suffixes: N texts, B texts of a batch, T tokens, D width of the embedding.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel

from mixlingual.config.schema import ModelConfig
from mixlingual.model.encoder import DualEncoder
from mixlingual.model.hub import as_saved, quiet
from mixlingual.model.load import drop_pooler, load_encoder
from mixlingual.model.pooling import POOLING
from mixlingual.model.tokenizer import Side, TextTokenizer, pad
from mixlingual.records import MixlingualError

FP32, INT8 = "onnx/model.onnx", "onnx/model_int8.onnx"
LEAST_COSINE = 0.9999
"""An export in float32 that is further from PyTorch than this is a fault."""

_INPUTS = ["input_ids", "attention_mask"]
_ONE_FILE = 1.5e9
"""Bytes of weights that one file may hold; Protobuf ends at 2 GiB. Larger weights lie beside it."""


class Agreement(NamedTuple):
    """How near the embeddings of an exported file are to those of PyTorch."""

    least_cosine: float
    mean_cosine: float
    texts: int


def export_onnx(folder: Path, texts: Mapping[Side, Sequence[str]]) -> dict[str, Agreement]:
    """Writes onnx/ into the folder of a saved encoder, whole or not at all.

    Args:
        folder: what `save_encoder` wrote.
        texts: queries and passages that both encode, for the comparison.

    Returns:
        Name of a file -> how near it is to PyTorch.

    Raises:
        MixlingualError: a package is missing, the encoder cannot be exported, or float32 gives other embeddings.
    """
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise MixlingualError(f"format=onnx needs {', '.join(missing)}; run `pip install 'mixlingual[onnx]'`")
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as temporary, _silent():
        (Path(temporary) / "onnx").mkdir()
        _write(folder, Path(temporary))
        encoder, tokenizer = load_encoder(as_saved(ModelConfig(checkpoint=str(folder))), None, seed=0)
        found = {name: _agreement(Path(temporary, name), encoder.eval(), tokenizer, texts) for name in (FP32, INT8)}
        if found[FP32].least_cosine < LEAST_COSINE:
            raise MixlingualError(
                f"{folder}: the ONNX file in float32 gives other embeddings than PyTorch, with a cosine down to "
                f"{found[FP32].least_cosine:.4f}, so nothing was written; use the encoder with PyTorch"
            )
        if (folder / "onnx").exists():
            (folder / "onnx").rename(Path(temporary, "replaced"))
        (Path(temporary) / "onnx").rename(folder / "onnx")
    return found


def _write(folder: Path, target: Path) -> None:
    """Writes both files below `target`."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    backbone = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    drop_pooler(backbone)
    is_large = sum(weight.numel() * 4 for weight in backbone.parameters()) > _ONE_FILE
    ids_BT = torch.full((2, 7), backbone.config.pad_token_id or 0)
    ids_BT[0], ids_BT[1, :4] = 5, 6
    present_BT = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    try:
        torch.onnx.export(
            _States(backbone).eval(),
            (ids_BT, present_BT),
            target / FP32,
            input_names=_INPUTS,
            output_names=["last_hidden_state"],
            dynamic_shapes=(dims, dims),
            external_data=is_large,
            dynamo=True,
            verbose=False,
        )
        quantize_dynamic(target / FP32, target / INT8, weight_type=QuantType.QInt8, use_external_data_format=is_large)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise MixlingualError(
            f"{folder}: PyTorch cannot export a {backbone.config.model_type} encoder as ONNX: {reason}. Use it with "
            "PyTorch, or try another release of torch and onnx"
        ) from error


class _States(nn.Module):
    """Is the backbone as a function of two tensors."""

    def __init__(self, backbone: PreTrainedModel) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Returns the last hidden states [B, T, D]."""
        state_BTD: Tensor = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return state_BTD


@torch.no_grad()
def _agreement(
    path: Path, encoder: DualEncoder, tokenizer: TextTokenizer, texts: Mapping[Side, Sequence[str]]
) -> Agreement:
    """Compares the embeddings of a file with those of PyTorch, in padded batches of all texts of a side."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    cosines = []
    for side, own in texts.items():
        ids_BT, present_BT = pad(tokenizer.encode(own, side), tokenizer.pad_id)
        (state_BTD,) = session.run(None, dict(zip(_INPUTS, (ids_BT.numpy(), present_BT.numpy()))))
        embedding_BD = POOLING[encoder.pooling](torch.from_numpy(state_BTD).float(), present_BT)
        cosines.append(functional.cosine_similarity(embedding_BD, encoder(ids_BT, present_BT), dim=-1))
    cosine_N = torch.cat(cosines)
    return Agreement(float(cosine_N.min()), float(cosine_N.mean()), len(cosine_N))


@contextmanager
def _silent() -> Iterator[None]:
    """Holds back what the exporter says of its own parts."""
    before = logging.root.manager.disable
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
