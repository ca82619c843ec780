"""Makes tiny random encoders of every architecture, and checkpoint folders of them."""

import shutil

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    XLMRobertaConfig,
    XLMRobertaXLConfig,
)

from mixlingual.model.tokenizer import train_tokenizer

SENTENCES = {
    "ar": "العاصمة مدينة كبيرة على النهر",
    "de": "Die Hauptstadt ist eine große Stadt am Fluss.",
    "el": "Η πρωτεύουσα είναι μεγάλη πόλη στο ποτάμι",
    "en": "The capital is a large city on the river.",
    "es": "La capital es una ciudad grande junto al río.",
    "hi": "राजधानी नदी पर एक बड़ा शहर है",
    "ru": "Столица — большой город на реке",
    "th": "เมืองหลวงเป็นเมืองใหญ่ริมแม่น้ำ",
    "tr": "Başkent nehir kıyısında büyük bir şehirdir",
    "vi": "Thủ đô là một thành phố lớn bên sông",
    "zh": "首都是河边的一座大城市",
}
TEXTS = [sentence for sentence in SENTENCES.values() for _ in range(3)]

SIZES = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
ARCHITECTURES = {
    "bert": lambda **common: BertConfig(**SIZES, **common),
    "xlm_roberta": lambda **common: XLMRobertaConfig(**SIZES, type_vocab_size=1, **common),
    "xlm_roberta_xl": lambda **common: XLMRobertaXLConfig(**SIZES, type_vocab_size=1, **common),
    "modernbert": lambda **common: ModernBertConfig(
        **SIZES, local_attention=4, bos_token_id=0, cls_token_id=0, eos_token_id=2, sep_token_id=2, **common
    ),
    "distilbert": lambda **common: DistilBertConfig(dim=16, n_layers=4, n_heads=2, hidden_dim=32, **common),
}


@pytest.fixture
def sentences():
    return SENTENCES


@pytest.fixture
def tokenizer_hf():
    return train_tokenizer(TEXTS, 400)


@pytest.fixture
def tiny_backbone(tokenizer_hf):
    """Makes random backbones by architecture, with weights large enough that every layer matters."""

    def make(architecture="bert"):
        config = ARCHITECTURES[architecture](vocab_size=len(tokenizer_hf), max_position_embeddings=130, pad_token_id=1)
        torch.manual_seed(0)
        backbone = AutoModel.from_config(config)
        for parameter in backbone.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
        return backbone.eval()

    return make


@pytest.fixture(scope="session")
def saved_checkpoints(tmp_path_factory):
    """Names the folder of the checkpoints which `checkpoint` copies."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture
def checkpoint(tmp_path, saved_checkpoints, tokenizer_hf, tiny_backbone):
    """Makes checkpoint folders by architecture, each the test's own."""

    def make(architecture="bert", dtype=torch.float32):
        saved = saved_checkpoints / f"{architecture}-{dtype}"
        if not saved.exists():
            tiny_backbone(architecture).to(dtype).save_pretrained(saved)
            tokenizer_hf.save_pretrained(saved)
        return shutil.copytree(saved, tmp_path / f"checkpoint-{architecture}")

    return make
