"""Half of the batches monolingual in the Trainer of transformers, which stops in the second epoch and goes on."""

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import ConcatDataset, DataLoader
from transformers import BertConfig, BertModel, Trainer, TrainerCallback, TrainingArguments

from mixlingual.batches import HybridBatches

sets = {  # languages of query and passage -> pairs; yours go here
    "de-de": [(f"Frage {n}", f"Antwort {n}") for n in range(32)],
    "en-en": [(f"question {n}", f"answer {n}") for n in range(40)],
    "de-en": [(f"Frage {n}", f"answer {n}") for n in range(24)],
}


class HybridTrainer(Trainer):
    """Is all that you need: it draws batches by `HybridBatches`, on any number of processes."""

    def get_train_dataloader(self):
        """Returns a loader whose every batch is of one pair of languages, on all processes the same at a step."""
        ranks = self.args.world_size
        batches = HybridBatches(
            {pair: len(rows) for pair, rows in sets.items()},
            batch_size=self.args.train_batch_size * ranks,
            ratio=0.5,
            seed=self.args.seed,
            ranks=ranks,
        )
        self.add_callback(Epochs(batches))
        loader = DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)


class Epochs(TrainerCallback):
    """Tells the sampler which epoch begins, which the trainer of several processes omits when it resumes."""

    def __init__(self, batches):
        self.batches = batches

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Sets the epoch, which is 1 in the middle of the second."""
        self.batches.set_epoch(int(state.epoch))


class DualEncoder(torch.nn.Module):
    """A tiny random encoder of bytes with in-batch negatives; yours goes here."""

    def __init__(self):
        super().__init__()
        config = BertConfig(
            vocab_size=256, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
        )
        self.bert = BertModel(config, add_pooling_layer=False)

    def forward(self, queries, passages):
        """Returns the loss of a batch of byte ids, each [B, L]."""
        query, passage = (self.bert(ids, ids > 0).last_hidden_state.mean(1) for ids in (queries, passages))
        return {"loss": cross_entropy(query @ passage.T, torch.arange(len(query), device=query.device))}


seen = []


def collate(pairs):
    """Returns byte ids of both sides, padded by zeros."""
    seen.append(pairs)

    def ids(texts):
        rows = [torch.tensor(list(text.encode())) for text in texts]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    return {"queries": ids(query for query, _ in pairs), "passages": ids(passage for _, passage in pairs)}


def train(resume=None):
    """Trains two epochs, or what is left of them, and returns the batches."""
    seen.clear()
    args = TrainingArguments(
        "output",
        num_train_epochs=2,
        per_device_train_batch_size=8,
        save_steps=9,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
    )
    data = ConcatDataset(sets.values())
    trainer = HybridTrainer(DualEncoder(), args, train_dataset=data, data_collator=collate)
    trainer.train(resume_from_checkpoint=resume)
    return list(seen), trainer.state.global_step


if __name__ == "__main__":
    whole, steps = train()
    rest, _ = train(resume="output/checkpoint-18")
    print(f"{steps} steps; resumed at step 18 with the same batches: {rest == whole[18:]}")
    print(f"epochs differ: {whole[: steps // 2] != whole[steps // 2 :]}")
