"""Half of the batches monolingual in a Trainer of Lightning, which stops in the second epoch and goes on."""

import pytorch_lightning as lightning
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import ConcatDataset, DataLoader

from mixlingual.batches import HybridBatches

sets = {  # languages of query and passage -> pairs; yours go here
    "de-de": [(f"Frage {n}", f"Antwort {n}") for n in range(32)],
    "en-en": [(f"question {n}", f"answer {n}") for n in range(40)],
    "de-en": [(f"Frage {n}", f"answer {n}") for n in range(24)],
}


class HybridData(lightning.LightningDataModule):
    """Is all that you need: batches by `HybridBatches`, on any number of processes, and their place in checkpoints."""

    saved = None

    def train_dataloader(self):
        """Returns a loader whose every batch is of one pair of languages, on all processes the same at a step."""
        ranks = self.trainer.world_size
        self.batches = HybridBatches(
            {pair: len(rows) for pair, rows in sets.items()},
            batch_size=8 * ranks,
            ratio=0.5,
            ranks=ranks,
            rank=self.trainer.global_rank,
        )
        if self.saved:
            self.batches.load_state_dict(self.saved)
        return DataLoader(ConcatDataset(sets.values()), batch_sampler=self.batches, collate_fn=list)

    def state_dict(self):
        """Returns the place in the epoch, for checkpoints; Lightning warns nevertheless, as it looks at the loader."""
        return self.batches.state_dict(self.trainer.fit_loop.epoch_loop.batch_progress.current.processed)

    def load_state_dict(self, state):
        """Keeps the place of a checkpoint."""
        self.saved = state


class DualEncoder(lightning.LightningModule):
    """A tiny random encoder of bytes with in-batch negatives; yours goes here."""

    def __init__(self):
        super().__init__()
        self.bytes = torch.nn.EmbeddingBag(256, 16, padding_idx=0)
        self.seen = []

    def training_step(self, pairs):
        """Returns the loss of a list of (query, passage)."""
        self.seen.append(pairs)
        texts = [torch.tensor(list(text.encode())) for side in zip(*pairs, strict=True) for text in side]
        query, passage = self.bytes(torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)).chunk(2)
        return cross_entropy(query @ passage.T, torch.arange(len(pairs)))

    def configure_optimizers(self):
        """Returns AdamW."""
        return torch.optim.AdamW(self.parameters())


def train(resume=None, **options):
    """Trains two epochs, or what is left of them, and returns the trainer and the batches of this process."""
    model = DualEncoder()
    checkpoints = lightning.callbacks.ModelCheckpoint("output", "{step}", every_n_train_steps=9, save_top_k=-1)
    trainer = lightning.Trainer(
        max_epochs=2,
        use_distributed_sampler=False,  # HybridBatches gives each process its own part
        callbacks=[checkpoints],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(model, HybridData(), ckpt_path=resume, weights_only=True)
    return trainer, model.seen


if __name__ == "__main__":
    trainer, whole = train()
    again, rest = train(resume="output/step=18.ckpt")
    print(f"{trainer.global_step} steps; resumed at step 18 with the same batches: {rest == whole[18:]}")
    print(f"epochs differ: {whole[:12] != whole[12:]}; steps after both {again.global_step}")
