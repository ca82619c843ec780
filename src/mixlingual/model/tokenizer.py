"""Turns texts into token ids, with prefix and truncation, and trains a tokenizer for encoders without one.

Shape suffixes: B texts, T tokens.
"""

from __future__ import annotations

import json
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import tokenizers
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast

from mixlingual.config.schema import ModelConfig
from mixlingual.files import built_once, cache_dir
from mixlingual.records import fingerprint

log = logging.getLogger(__name__)

Side = Literal["query", "passage"]

_RECIPE = "bpe-1"
"""The recipe names the way `train_tokenizer` works; if the result changes, so does the name of its cache."""
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_LONGEST_PIECE = 16


class TextTokenizer:
    """Is a Hugging Face tokenizer with the prefix and the length limit of each side."""

    def __init__(self, hf: PreTrainedTokenizerFast, config: ModelConfig) -> None:
        self.hf = hf
        self.prefix: dict[Side, str] = {"query": config.query_prefix, "passage": config.passage_prefix}
        self.max_length: dict[Side, int] = {"query": config.max_query_length, "passage": config.max_passage_length}
        self.hf.model_max_length = max(self.max_length.values())
        self.hf.padding_side = "right"

    @property
    def pad_id(self) -> int:
        """Returns the token id of padding."""
        return int(self.hf.pad_token_id)

    @property
    def vocabulary(self) -> int:
        """Token ids are below this number."""
        return max(self.hf.get_vocab().values()) + 1

    def identity(self) -> str:
        """Returns a hash of all that decides the ids which `encode` gives."""
        backend = self.hf.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        sides = json.dumps([self.prefix, self.max_length], sort_keys=True)
        cut = [] if self.hf.truncation_side == "right" else [self.hf.truncation_side]
        return fingerprint((tokenizers.__version__, backend.to_str(), sides, *cut))

    def encode(self, texts: Sequence[str], side: Side) -> list[list[int]]:
        """Returns the token ids of each text, special tokens included, cut to the side's limit and not padded."""
        return self.encode_marked(texts, side)[0]

    def encode_marked(self, texts: Sequence[str], side: Side) -> tuple[list[list[int]], list[bool]]:
        """Returns what `encode` does, and whether the limit cut each text."""
        if not texts:
            return [], []
        encoded = self.hf(
            [self.prefix[side] + text for text in texts],
            truncation=True,
            max_length=self.max_length[side],
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        rows = encoded.encodings
        return [row.ids for row in rows], [bool(row.overflowing) for row in rows]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Counts the tokens of each text, without prefix and special tokens, and with nothing cut."""
        if not texts:
            return []
        encoded = self.hf(
            list(texts),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return [len(ids) for ids in encoded["input_ids"]]

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files, with the longer of the two limits as `model_max_length`.

        A class that transformers 4 does not know is named as it was there, which release 5 reads, too.
        """
        self.hf.backend_tokenizer.no_truncation()
        self.hf.save_pretrained(folder)
        path = folder / "tokenizer_config.json"
        written = path.read_text(encoding="utf-8")
        path.write_text(written.replace('"TokenizersBackend"', '"PreTrainedTokenizerFast"'), encoding="utf-8")


def pad(token_ids: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Returns rows of token ids as right-padded tensors.

    Returns:
        input_ids_BT and attention_mask_BT (1 at real tokens), both int64; T is the longest row.
    """
    length_B = torch.tensor([len(ids) for ids in token_ids])
    rows = [torch.tensor(ids, dtype=torch.int64) for ids in token_ids]
    input_ids_BT = pad_sequence(rows, batch_first=True, padding_value=pad_id)
    attention_mask_BT = (torch.arange(input_ids_BT.shape[1]) < length_B[:, None]).long()
    return input_ids_BT, attention_mask_BT


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Returns a byte-pair tokenizer for the given texts, from the cache if these texts were seen before.

    Text is NFKC-normalised and split at spaces, punctuation and digits. Characters outside the alphabet
    become UTF-8 bytes, so no text loses content. The same texts give the same tokenizer.

    Args:
        texts: training texts in any languages, also ones written without spaces.
        vocabulary: largest number of pieces, the 4 special tokens and 256 bytes included.

    Returns:
        A tokenizer that puts <s> before and </s> after the pieces of a text.
    """
    texts = list(texts)
    folder = cache_dir() / "tokenizers" / fingerprint((_RECIPE, str(vocabulary), *texts))

    def write(written: Path) -> None:
        log.info("training a tokenizer of %d pieces on %d texts", vocabulary, len(texts))
        _for_transformers(_with_bytes(_train_bpe(texts, vocabulary))).save_pretrained(written)

    hf: PreTrainedTokenizerFast = built_once(folder, write, PreTrainedTokenizerFast.from_pretrained)
    return hf


def _train_bpe(texts: list[str], vocabulary: int) -> Tokenizer:
    room = vocabulary - len(_SPECIAL) - len(_BYTES)
    alphabet = _alphabet(texts, limit=room // 2)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    trainer = trainers.BpeTrainer(
        vocab_size=room,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        max_token_length=_LONGEST_PIECE,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _alphabet(texts: list[str], limit: int) -> list[str]:
    """Returns the most frequent characters; equally frequent ones come in code point order.

    The trainer itself would cut its alphabet in an order that differs from process to process.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(unicodedata.normalize("NFKC", text))
    del counts[" "]
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    return ["▁", *ranked[: limit - 1]]


def _with_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Returns the tokenizer with special tokens and the 256 byte pieces in front of its vocabulary."""
    state = json.loads(tokenizer.to_str())
    learned = sorted(state["model"]["vocab"], key=state["model"]["vocab"].__getitem__)
    pieces = (*_SPECIAL, *_BYTES, *learned)
    ids = {piece: i for i, piece in enumerate(pieces)}
    state["model"] |= {"vocab": ids, "byte_fallback": True, "unk_token": "<unk>"}
    complete = Tokenizer.from_str(json.dumps(state))
    complete.add_special_tokens(list(_SPECIAL))
    complete.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(token, complete.token_to_id(token)) for token in ("<s>", "</s>")]
    )
    return complete


def _for_transformers(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    bos, pad_token, eos, unk = _SPECIAL
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=bos, cls_token=bos, pad_token=pad_token, eos_token=eos, sep_token=eos, unk_token=unk,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
