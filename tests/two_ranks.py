"""Trains on hybrid batches with two processes, under torchrun: writes which rows each rank got.

python two_ranks.py FOLDER MODE with the environment of torchrun; MODE is shard, split or unequal.
"""

import json
import os
import sys
from pathlib import Path

import torch
from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

sys.path.insert(0, str(Path(__file__).parent))
from static_model import static_model

from mixlingual.integrations.sentence_transformers import hybrid_batches
from mixlingual.records import MixlingualError

PAIRS = ("de-de", "en-en", "de-en")


def data_of(rows):
    def texts(pair, side):
        return [f"{pair} {side} {n}" for n in range(rows)]

    return DatasetDict(
        {
            pair: Dataset.from_dict({"anchor": texts(pair, "anchor"), "positive": texts(pair, "positive")})
            for pair in PAIRS
        }
    )


def trained(folder, data, *, split=False, steps=10, resume=None, save_steps=None, size=8, **options):
    """The anchors of each batch that this process trains on, in order; the loader fetches one more than that."""
    torch.manual_seed(0)
    model = static_model([text for part in data.values() for text in part["anchor"]], dimension=4)
    args = SentenceTransformerTrainingArguments(
        str(folder), max_steps=steps, per_device_train_batch_size=size, seed=options.pop("seed", 5), use_cpu=True,
        accelerator_config={"split_batches": split}, report_to=[], disable_tqdm=True, save_steps=save_steps or 500,
        save_strategy="steps" if save_steps else "no", logging_strategy="no",
        multi_dataset_batch_sampler=hybrid_batches(data, split_batches=split, **options),
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(model, args, train_dataset=data, loss=MultipleNegativesRankingLoss(model))
    seen, collate = [], trainer.data_collator

    def spy(rows):
        seen.append([row["anchor"] for row in rows])
        return collate(rows)

    spy.valid_label_columns = collate.valid_label_columns
    trainer.data_collator = spy
    trainer.train(resume_from_checkpoint=resume)
    first = 0 if resume is None else int(resume.rpartition("-")[2])
    return seen[: steps - first]


if __name__ == "__main__":
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    rank = int(os.environ["RANK"])
    data = data_of(40 + (rank if mode == "unequal" else 0))
    try:
        seen = trained(folder / f"out{rank}", data, split=mode == "split", size=8 if mode == "split" else 4)
    except MixlingualError as error:
        seen = str(error)
    (folder / f"{mode}{rank}.json").write_text(json.dumps(seen))
