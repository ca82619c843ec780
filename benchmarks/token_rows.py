"""Times a training step of a token table by row, and of the same table under dense fused AdamW.

Both sides draw the same ids by Zipf's law, look them up and get the same gradient; a step is everything that
the table costs: lookup, backward pass and update. They take turns, step by step, in one process. Two processes then
add up the gradients of a step over gloo: that of the open rows, and that of the whole table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.optim import AdamW

from benchmarks.rows import Row, number, write_rows
from mixlingual.model.token_rows import TokenRows
from mixlingual.training.optimizer import RowAdamW

OPTIONS = {"lr": 3e-5, "betas": (0.9, 0.999), "eps": 1e-8}
Step = Callable[[Tensor, Tensor], None]


def ours(embedding: nn.Embedding) -> tuple[RowAdamW, Step]:
    """Steps by row: rows are brought up to date, opened, trained and written back."""
    table = TokenRows.from_embedding(embedding)
    optimizer = RowAdamW([{"params": [table.weight], "weight_decay": 0.01}], [table], **OPTIONS)

    def step(ids: Tensor, gradient: Tensor) -> None:
        distinct = ids.unique()
        optimizer.bring_up_to_date(table, distinct)
        table.open_rows(distinct)
        table(ids).backward(gradient)
        optimizer.step()
        table.close_rows()

    return optimizer, step


def dense(embedding: nn.Embedding) -> tuple[AdamW, Step]:
    """Steps as PyTorch does: by a gradient as large as the table, and a pass over all of it."""
    optimizer = AdamW([{"params": [embedding.weight], "weight_decay": 0.01}], fused=True, **OPTIONS)

    def step(ids: Tensor, gradient: Tensor) -> None:
        embedding(ids).backward(gradient)
        optimizer.step()
        optimizer.zero_grad()

    return optimizer, step


def zipf_draws(tokens: int, distinct: int, steps: int) -> list[Tensor]:
    """Draws `distinct` different ids for every step, those of rank k with a frequency as 1 / k."""
    generator = np.random.default_rng(1)
    share = 1 / np.arange(1, tokens + 1)
    # The largest u^(1/w) are a weighted draw without replacement (Efraimidis & Spirakis 2006).
    keys = (generator.exponential(size=tokens) / share for _ in range(steps))
    return [torch.from_numpy(np.argpartition(key, distinct)[:distinct]) for key in keys]


def seconds(act: Callable[[], None]) -> float:
    """Returns how many seconds a call takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def compare(tokens: int, width: int, distinct: int, steps: int) -> tuple[list[Row], float]:
    """Returns median times of both sides, and how far apart their tables are at the end."""
    embedding = nn.Embedding(tokens, width)
    twin = nn.Embedding.from_pretrained(embedding.weight.detach().clone(), freeze=False)
    (our_optimizer, our_step), (_, dense_step) = ours(embedding), dense(twin)
    our_times, dense_times = [], []
    for ids in zipf_draws(tokens, distinct, steps):
        gradient = torch.randn(len(ids), width)
        our_times.append(seconds(lambda: our_step(ids, gradient)))  # noqa: B023 - called at once
        dense_times.append(seconds(lambda: dense_step(ids, gradient)))  # noqa: B023
    finish = seconds(our_optimizer.finish)
    apart = float((embedding.weight - twin.weight).detach().abs().max())
    step_row = Row(f"step, {distinct} of {tokens} x {width}", "ms", 1e3 * median(our_times), 1e3 * median(dense_times))
    return [step_row, Row("bringing all rows up to date, once", "ms", 1e3 * finish, None)], apart


def exchange(tokens: int, width: int, distinct: int, repeats: int = 10) -> Row:
    """Times how two processes add up the gradients of a step, of the open rows and of the whole table."""
    with TemporaryDirectory() as folder:
        multiprocessing.spawn(_add_up, (folder, (distinct, tokens), width, repeats), nprocs=2)
        rows, table = torch.load(Path(folder) / "seconds.pt", weights_only=True)
    return Row(f"adding up gradients of 2 processes, {distinct} of {tokens} x {width}", "ms", 1e3 * rows, 1e3 * table)


def _add_up(rank: int, folder: str, lengths: tuple[int, ...], width: int, repeats: int) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    gradients = [torch.ones(length, width) for length in lengths]
    times = [[seconds(lambda: distributed.all_reduce(part)) for part in gradients] for _ in range(repeats)]  # noqa: B023
    if rank == 0:
        torch.save([median(column) for column in zip(*times, strict=True)], Path(folder) / "seconds.pt")
    distributed.destroy_process_group()


def main() -> None:
    """Measures, prints the rows, and writes them where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=250_000, help="rows of the table")
    parser.add_argument("--width", type=int, default=384, help="columns of the table")
    parser.add_argument("--distinct", type=int, default=2_500, help="different tokens of a step")
    parser.add_argument("--steps", type=int, default=300, help="steps of either side")
    parser.add_argument("--out", type=Path, help="JSON file of the rows")
    args = parser.parse_args()
    measured, apart = compare(args.tokens, args.width, args.distinct, args.steps)
    measured.append(exchange(args.tokens, args.width, args.distinct))
    for row in measured:
        print(f"{row.name}: ours {number(row.ours)}, dense {number(row.peer)} {row.unit}, ratio {number(row.ratio)}")
    print(f"largest difference between the two tables at the end: {apart:.1e}")
    if args.out:
        write_rows(args.out, measured)


if __name__ == "__main__":
    main()
