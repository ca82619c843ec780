"""Half of the batches monolingual in a plain PyTorch loop that is stopped in the middle of an epoch and goes on."""

from torch.utils.data import ConcatDataset, DataLoader

from mixlingual.batches import HybridBatches

sets = {
    "de-de": [(f"Frage {n}", f"Antwort {n}") for n in range(90)],
    "en-en": [(f"question {n}", f"answer {n}") for n in range(120)],
    "de-en": [(f"Frage {n}", f"answer {n}") for n in range(90)],
}
data = ConcatDataset(sets.values())


def loader_of(batches: HybridBatches) -> DataLoader:
    """Pairs of texts, a batch of one pair of languages at a time."""
    return DataLoader(data, batch_sampler=batches, collate_fn=list)


def sampler() -> HybridBatches:
    """The sampler, the same in every start of the program."""
    return HybridBatches({pair: len(rows) for pair, rows in sets.items()}, batch_size=16, ratio=0.5, seed=0)


whole = list(loader_of(sampler()))
batches = sampler()
for step, _ in enumerate(loader_of(batches), start=1):
    if step == 7:
        saved = batches.state_dict(step)  # belongs into your checkpoint
        break
again = sampler()
again.load_state_dict(saved)
rest = list(loader_of(again))
print(f"{len(whole)} batches an epoch; after the stop {len(rest)}, the same ones: {rest == whole[7:]}")
print(f"the first is of {batches.pair(0)}: {whole[0][0]}")
