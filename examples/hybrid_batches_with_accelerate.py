"""Half of the batches monolingual in a loop with accelerate: `accelerate launch FILE`, or `python FILE` alone.

At a step all processes have the same pair of languages. The loop stops in the second epoch and goes on.
"""

import torch
from accelerate import Accelerator
from torch.nn.functional import cross_entropy
from torch.utils.data import ConcatDataset, DataLoader

from mixlingual.batches import HybridBatches

sets = {  # languages of query and passage -> pairs; yours go here
    "de-de": [(f"Frage {n}", f"Antwort {n}") for n in range(32)],
    "en-en": [(f"question {n}", f"answer {n}") for n in range(40)],
    "de-en": [(f"Frage {n}", f"answer {n}") for n in range(24)],
}
accelerator = Accelerator(cpu=True)
ranks = accelerator.num_processes


def ids(texts):
    """Returns byte ids [B, L] of texts, padded by zeros."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(list(text.encode())) for text in texts], batch_first=True)


def train(saved=None, stop=None):
    """Trains two epochs, or what is left of them after `saved`, up to the steps in all of `stop`.

    Returns:
        The batches of this process, and the state of the sampler.
    """
    sizes = {pair: len(rows) for pair, rows in sets.items()}
    batches = HybridBatches(sizes, batch_size=8 * ranks, ratio=0.5, ranks=ranks)
    if saved:
        batches.load_state_dict(saved)
    encoder = torch.nn.EmbeddingBag(256, 16, padding_idx=0)  # a tiny encoder of bytes; yours goes here
    optimizer = torch.optim.AdamW(encoder.parameters())
    loader = DataLoader(ConcatDataset(sets.values()), batch_sampler=batches, collate_fn=list)
    encoder, optimizer, loader = accelerator.prepare(encoder, optimizer, loader)
    seen = []
    for epoch in range(batches.epoch, 2):
        loader.set_epoch(epoch)
        first = batches.state_dict()["step"]
        for step, pairs in enumerate(loader, start=first + 1):
            queries, passages = zip(*pairs, strict=True)
            embedding_BD, other_BD = encoder(ids(queries + passages)).chunk(2)
            accelerator.backward(cross_entropy(embedding_BD @ other_BD.T, torch.arange(len(pairs))))
            optimizer.step()
            optimizer.zero_grad()
            seen.append(pairs)
            if epoch * batches.steps + step == stop:
                return seen, batches.state_dict(step)  # belongs into your checkpoint
    return seen, batches.state_dict()


if __name__ == "__main__":
    whole, _ = train()
    stopped = len(whole) // 2 + 2
    _, saved = train(stop=stopped)
    rest, _ = train(saved)
    accelerator.print(f"{len(whole)} steps; after step {stopped} the same batches: {rest == whole[stopped:]}")
    accelerator.print(f"epochs differ: {whole[: len(whole) // 2] != whole[len(whole) // 2 :]}")
