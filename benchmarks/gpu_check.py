"""Checks on a GPU what tests cannot check on a CPU: a line for each, PASS, FAIL or SKIP, and figures as JSON.

    python -m benchmarks.gpu_check [--out FILE.json] [--only NAME ...] [--toy]

Needs no network and no data: encoders of true sizes have random weights, and texts are random tokens, of lengths as
questions and paragraphs have. Under 8 minutes on one GPU. On a CPU it runs at toy size, to be tested; what needs a GPU
is skipped there. Ends with 1 if a check fails.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModel, PreTrainedConfig, XLMRobertaConfig, XLMRobertaXLConfig

from benchmarks.train_throughput import matrix_peak
from mixlingual.config.devices import Device
from mixlingual.config.schema import (
    BatchingConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
    TrainerConfig,
)
from mixlingual.evaluation.encode import encode
from mixlingual.files import written_whole
from mixlingual.grid.cost import TRAIN_FLOPS
from mixlingual.model.attention import use_attention
from mixlingual.model.dropout import use_cheap_dropout
from mixlingual.model.encoder import DualEncoder, parameter_counts
from mixlingual.model.hub import quiet
from mixlingual.model.tokenizer import train_tokenizer
from mixlingual.records import MixlingualError
from mixlingual.training.footprint import footprint
from mixlingual.training.forecast import CONTEXT_BYTES, forecast
from mixlingual.training.module import RetrieverModule
from mixlingual.training.step import Batch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
WAITS = 3
"""A step may wait for the GPU so many times."""
PLANNED = 1.15
"""Memory may exceed the plan by this factor."""


@dataclass(frozen=True)
class Scale:
    """Says how large everything is."""

    models: dict[str, PreTrainedConfig]
    batches: tuple[int, ...]
    longest: int
    texts: int
    """So many are encoded."""
    steps: int
    """A measurement has so many, after two that do not count."""
    run_steps: int
    """The run that is interrupted has so many."""


def scale_of(*, toy: bool) -> Scale:
    """Returns the true sizes, or toy ones."""
    if toy:
        tiny = {"vocab_size": 300, "num_attention_heads": 2, "max_position_embeddings": 40, "pad_token_id": 1}
        models: dict[str, PreTrainedConfig] = {
            "base": XLMRobertaConfig(hidden_size=16, num_hidden_layers=2, intermediate_size=32, **tiny),
            "xl": XLMRobertaXLConfig(hidden_size=16, num_hidden_layers=3, intermediate_size=32, **tiny),
        }
        return Scale(models, (8, 16), longest=24, texts=200, steps=2, run_steps=150)
    big = {"vocab_size": 250_002, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1}
    sizes = {"base": (768, 12, 12), "large": (1024, 24, 16)}
    ladder: dict[str, PreTrainedConfig] = {
        name: XLMRobertaConfig(
            hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * hidden, **big
        )
        for name, (hidden, layers, heads) in sizes.items()
    }
    ladder["xl"] = XLMRobertaXLConfig()
    return Scale(ladder, (100, 1024, 4096), longest=128, texts=20_000, steps=4, run_steps=400)


@dataclass
class Outcome:
    """Holds what a check found."""

    passed: bool | None
    """None: it was skipped."""
    words: str
    figures: dict[str, Any] = field(default_factory=dict)


def batch_of(pairs: int, longest: int, vocabulary: int, step: int = 0) -> Batch:
    """Returns a step of random texts as `StepBatches` gives them: a fifth as long as the longest, or up to it."""
    rng = np.random.default_rng(step)
    query, passage = rng.integers(4, longest // 4 + 4, pairs), rng.integers(longest // 4, longest + 1, pairs)
    lengths = np.concatenate([query, passage])
    order = np.argsort(-lengths, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    ids = rng.integers(5, vocabulary, lengths.sum()).astype(np.int32)
    arrays = {
        "token_ids": ids,
        "lengths": lengths[order].astype(np.int32),
        "query": place[:pairs],
        "passage": place[pairs:],
        "negative": np.zeros(0, np.int64),
        "item": np.arange(pairs),
        "monolingual": np.ones(pairs, bool),
        "tokens": query + passage,
        "negatives_of": np.zeros((1, 1), np.int64),
        "vocabulary": np.unique(ids).astype(np.int64),
        "step": np.array(step),
    }
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    return {name: values.pin_memory() if DEVICE.type == "cuda" else values for name, values in tensors.items()}


def trainer_of(architecture: PreTrainedConfig, *, dropout: float = 0.0, **options: Any) -> RetrieverModule:
    """Returns what trains an encoder of random weights, in bf16 on a GPU, on its device."""
    torch.manual_seed(0)
    architecture = type(architecture).from_dict(architecture.to_dict())
    architecture.attention_probs_dropout_prob = architecture.hidden_dropout_prob = dropout
    with torch.device(DEVICE):
        backbone = AutoModel.from_config(architecture, add_pooling_layer=False)
    use_attention(backbone)
    use_cheap_dropout(backbone)
    encoder = DualEncoder(backbone, "mean", normalize=True, temperature=0.05, learn_temperature=False).train()
    precision = "bf16-mixed" if DEVICE.type == "cuda" else "32-true"
    embeddings = options.pop("embeddings", "rows")
    config = TrainConfig(
        model=ModelConfig(name="check"),
        batching=BatchingConfig(batch_size=8),
        optim=OptimConfig(embeddings=embeddings),
        trainer=TrainerConfig(steps=100, **{"precision": precision} | options),
    )
    module = RetrieverModule(encoder, config, steps=100, diverged=_diverged).to(DEVICE)
    module.configure_optimizers()
    return module


def _diverged(what: str, step: int) -> MixlingualError:
    return MixlingualError(f"{what} is not finite at step {step}")


def step_of(module: RetrieverModule, batch: Batch) -> dict[str, Any]:
    """Takes a step as `RetrieverModule.training_step` does, without a trainer around it."""
    with module.gradient(batch) as loss_N:
        found = module._read_back(batch, loss_N, module._clipped())
        module.optimizer.step()
    return found


def gradient_of(module: RetrieverModule, batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns the losses of a step and its gradient, flat."""
    with module.gradient(batch) as loss_N:
        held = [values.grad for values in module.optimizer.tensors_with_gradients() if values.grad is not None]
        return loss_N.clone(), torch.cat([values.flatten() for values in held])


def _apart(found: Tensor, expected: Tensor) -> float:
    """Returns how far two gradients differ, as a share of the length of one."""
    return float((found - expected).norm() / expected.norm())


@contextlib.contextmanager
def padded() -> Iterator[None]:
    """Takes packing away in the block."""
    original = DualEncoder.packs
    DualEncoder.packs = lambda *_: False  # type: ignore[method-assign]
    try:
        yield
    finally:
        DualEncoder.packs = original  # type: ignore[method-assign]


def packed_against_padded(scale: Scale) -> Outcome:
    """Losses and gradients are the same with padding and without."""
    module = trainer_of(scale.models["base"])
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
        missing = module.encoder.why_padded(DEVICE)
    if missing:
        return Outcome(None, f"packing needs {missing}")
    batch = batch_of(scale.batches[0], scale.longest, scale.models["base"].vocab_size)
    loss, gradient = gradient_of(module, batch)
    with padded():
        expected_loss, expected = gradient_of(module, batch)
    figures = {"loss": float((loss - expected_loss).abs().max()), "gradient": _apart(gradient, expected)}
    return Outcome(figures["loss"] < 0.05 and figures["gradient"] < 0.05, "largest difference", figures)


def recomputed_against_kept(scale: Scale) -> Outcome:
    """Passes that are computed twice, and compiled ones, have the gradients of those that are kept."""
    batch = batch_of(scale.batches[0], scale.longest, scale.models["base"].vocab_size)
    found = {}
    for name, options in {"kept": {}, "again": {"activation_gib": 0.0}, "kept once more": {}}.items():
        found[name] = gradient_of(trainer_of(scale.models["base"], dropout=0.1, pass_tokens=1024, **options), batch)
    plain, compiled = (trainer_of(scale.models["base"], pass_tokens=1024) for _ in range(2))
    compiled_words = _compiled(compiled)
    figures = {
        "same bits": all(torch.equal(a, b) for a, b in zip(found["again"], found["kept"])),
        "bits repeat at all": all(torch.equal(a, b) for a, b in zip(found["kept once more"], found["kept"])),
        "gradient": _apart(found["again"][1], found["kept"][1]),
    }
    if compiled_words is None:
        figures["compiled"] = _apart(gradient_of(compiled, batch)[1], gradient_of(plain, batch)[1])
    else:
        figures["compiled"] = compiled_words
    close = figures["gradient"] < 1e-2 and (isinstance(figures["compiled"], str) or figures["compiled"] < 0.05)
    return Outcome(close and figures["same bits"] >= figures["bits repeat at all"], "again against kept", figures)


def _compiled(module: RetrieverModule) -> str | None:
    """Compiles the encoder where there is a GPU; returns why not."""
    if DEVICE.type != "cuda":
        return "not on a CPU"
    module.encoder.backbone.compile(dynamic=True)
    return None


def memory(scale: Scale) -> Outcome:
    """The largest memory of two steps is within the plan."""
    if DEVICE.type != "cuda":
        plans = {name: _planned(scale, name, scale.batches[0]).peak for name in scale.models}
        return Outcome(None, "a CPU's peak is not measured", {f"{name} planned": peak for name, peak in plans.items()})
    figures: dict[str, Any] = {}
    within = True
    for name in scale.models:
        for pairs in scale.batches[:2]:
            _free()
            torch.cuda.reset_peak_memory_stats()
            module = trainer_of(scale.models[name])
            for step in range(2):
                step_of(module, batch_of(pairs, scale.longest, scale.models[name].vocab_size, step))
            measured, planned = torch.cuda.max_memory_reserved() + CONTEXT_BYTES, _planned(scale, name, pairs).peak
            figures[f"{name}, {pairs} pairs"] = {
                "measured": measured, "planned": planned, "pass_tokens": module.step.pass_tokens,
            }  # fmt: skip
            within &= measured < PLANNED * planned
            del module
    return Outcome(within, f"measured below {PLANNED} of the plan", figures)


def _planned(scale: Scale, name: str, pairs: int) -> Any:
    config = TrainConfig(trainer=TrainerConfig(steps=1, precision="bf16-mixed"))
    tokens = float(batch_of(pairs, scale.longest, scale.models[name].vocab_size)["lengths"].sum())
    total = torch.cuda.get_device_properties(DEVICE).total_memory if DEVICE.type == "cuda" else 80 * 2**30
    return forecast(footprint(scale.models[name], config), config, Device(total, 1.0, 1.0), tokens, gpu=True)


def waits(scale: Scale) -> Outcome:
    """A step waits for the GPU a few times, and never in a pass; PyTorch names the lines."""
    if DEVICE.type != "cuda":
        return Outcome(None, "a CPU waits for nothing; tests/training/test_waits.py counts on one that plays a GPU")
    module = trainer_of(scale.models["base"], pass_tokens=1024)
    batches = [batch_of(scale.batches[0], scale.longest, scale.models["base"].vocab_size, step) for step in range(2)]
    step_of(module, batches[0])
    lines: Counter[str] = Counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step_of(module, batches[1])
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for one in caught:
        if "synchroniz" in str(one.message):
            lines[f"{Path(one.filename).name}:{one.lineno}"] += 1
    return Outcome(sum(lines.values()) <= WAITS, f"at most {WAITS} a step", dict(lines))


def throughput(scale: Scale) -> Outcome:
    """Pairs a second, share of the matrix peak, kernels and how long the GPU is busy, beside sentence-transformers."""
    architecture = scale.models["base"]
    peak = matrix_peak("bf16-mixed" if DEVICE.type == "cuda" else "32-true")
    figures: dict[str, Any] = {"matrix peak": peak}
    kinds = {"packed": contextlib.nullcontext, "padded": padded}
    for pairs in scale.batches:
        batches = [batch_of(pairs, scale.longest, architecture.vocab_size, step) for step in range(scale.steps + 2)]
        for kind, context in kinds.items():
            for compiled in (False, True):
                module = trainer_of(architecture)
                if compiled and (pairs == scale.batches[-1] or _compiled(module)):
                    continue
                with context():
                    name = f"{pairs} pairs, {kind}{', compiled' * compiled}"
                    figures[name] = _speed(lambda batch, module=module: step_of(module, batch), batches)
                weights = parameter_counts(module.encoder)["non_embedding"]
                tokens = float(np.mean([len(batch["token_ids"]) for batch in batches[2:]]))
                operations = TRAIN_FLOPS * weights * tokens * figures[name]["pairs a second"] / pairs
                figures[name]["share of the peak"] = operations / peak
                del module
                _free()
    if find_spec("sentence_transformers"):
        pairs = scale.batches[0]
        batches = [batch_of(pairs, scale.longest, architecture.vocab_size, step) for step in range(scale.steps + 2)]
        figures[f"{pairs} pairs, sentence-transformers"] = _speed(_peer(scale), batches)
    best = max(figures[f"{scale.batches[0]} pairs, {kind}"]["pairs a second"] for kind in kinds)
    peer = figures.get(f"{scale.batches[0]} pairs, sentence-transformers", {}).get("pairs a second", 0.0)
    faster = best > peer if DEVICE.type == "cuda" else None
    return Outcome(faster, f"{best:.1f} pairs/s, sentence-transformers {peer:.1f}", figures)


def _speed(step: Callable[[Batch], object], batches: list[Batch]) -> dict[str, Any]:
    """Returns the rate over all batches but the first two, and of one more what a profiler sees."""
    for batch in batches[:2]:
        step(batch)
    _settle()
    start = time.perf_counter()
    for batch in batches[2:]:
        step(batch)
    _settle()
    seconds = (time.perf_counter() - start) / len(batches[2:])
    figures: dict[str, Any] = {"pairs a second": len(batches[0]["query"]) / seconds}
    if DEVICE.type == "cuda":
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            step(batches[-1])
            _settle()
        kernels = [event for event in seen.events() if event.device_type == torch.autograd.DeviceType.CUDA]
        busy = sum(event.time_range.elapsed_us() for event in kernels) / 1e6
        figures |= {"kernels": len(kernels), "busy share": min(1.0, busy / seconds)}
    return figures


def _peer(scale: Scale) -> Callable[[Batch], object]:
    """Returns a step of sentence-transformers with the same encoder, loss and optimiser, on padded tokens."""
    from sentence_transformers import SentenceTransformer, losses, models

    architecture = scale.models["base"]
    with quiet(), tempfile.TemporaryDirectory() as folder:
        AutoModel.from_config(architecture, add_pooling_layer=False).save_pretrained(folder)
        train_tokenizer(["some words for a tokenizer that nobody asks"] * 3, 300).save_pretrained(folder)
        unpadded = DEVICE.type == "cuda" and find_spec("flash_attn") is not None
        options = {"attn_implementation": "flash_attention_2", "dtype": "bfloat16"} if unpadded else {}
        transformer = models.Transformer(folder, max_seq_length=scale.longest, model_args=options)
    pooling = models.Pooling(architecture.hidden_size)
    model = SentenceTransformer(modules=[transformer, pooling, models.Normalize()], device=DEVICE.type).train()
    loss = losses.MultipleNegativesRankingLoss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, fused=True)

    def step(batch: Batch) -> float:
        texts = batch["token_ids"].long().split(batch["lengths"].tolist())
        sides = []
        for side in ("query", "passage"):
            rows = [texts[place] for place in batch[side].tolist()]
            ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=1).to(DEVICE)
            sides.append({"input_ids": ids, "attention_mask": (ids != 1).long()})
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
            value = loss(sides, None)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(value.detach())

    return step


def row_optimiser(scale: Scale) -> Outcome:
    """The token table by row ends where fused AdamW, which moves all of it, does; both are timed."""
    ends, figures = [], {}
    vocabulary = scale.models["base"].vocab_size
    batches = [batch_of(scale.batches[0], scale.longest, vocabulary, step) for step in range(scale.steps + 2)]
    for embeddings in ("rows", "dense"):
        module = trainer_of(scale.models["base"], embeddings=embeddings)
        figures[f"{embeddings}, pairs a second"] = _speed(lambda batch, module=module: step_of(module, batch), batches)[
            "pairs a second"
        ]
        module.optimizer.finish()
        ends.append(module.encoder.backbone.get_input_embeddings().weight.detach().clone())
        del module
        _free()
    figures["table"] = _apart(*ends)
    return Outcome(figures["table"] < 1e-3, "difference of the tables, as a share", figures)


def interruption(scale: Scale) -> Outcome:
    """A run that SIGTERM ends saves, goes on when it is started again, and ends with the losses of a whole one."""
    with tempfile.TemporaryDirectory() as name:
        whole, cut = (Path(name, run) for run in ("whole", "cut"))
        codes = [_train(whole, scale, stop=False), _train(cut, scale, stop=True), _train(cut, scale, stop=False)]
        if codes[0] or codes[2]:
            return Outcome(passed=False, words=f"exit codes {codes}, expected 0, {128 + signal.SIGTERM}, 0")
        losses = [json.loads((run / "result.json").read_text())["training"]["final_loss"] for run in (whole, cut)]
    figures = {"exit codes": codes, "final losses": losses}
    stopped = codes[1] == 128 + signal.SIGTERM
    return Outcome(stopped and abs(losses[0] - losses[1]) < 1e-2 * abs(losses[0]), "whole and resumed", figures)


def _train(folder: Path, scale: Scale, *, stop: bool) -> int:
    """Runs a small training on the embedded data, and ends it by SIGTERM once a few steps are done if asked."""
    words = [
        sys.executable, "-m", "mixlingual.train", "model=scratch_xs", "data.languages=[de,en]", "evaluation=none",
        "trainer.precision=auto", f"trainer.steps={scale.run_steps}", "trainer.log_every=1", "trainer.threads=1",
        "trainer.save_model=false", "trainer.checkpoint_minutes=10", f"hydra.run.dir={folder}",
    ]  # fmt: skip
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("a") as log:
        run = subprocess.Popen(words, cwd=folder.parent, stdout=log, stderr=log)
    curves = folder / "curves.csv"
    while stop and run.poll() is None and (not curves.exists() or curves.read_text().count("\n") < 5):
        time.sleep(0.01)
    if stop and run.poll() is None:
        run.send_signal(signal.SIGTERM)
    code = run.wait()
    return 128 - code if code < 0 else code


def collectives(scale: Scale) -> Outcome:
    """A group of one process, NCCL's on a GPU, adds up and gathers."""
    backend = "nccl" if DEVICE.type == "cuda" else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(backend, init_method=f"file://{folder}/group", rank=0, world_size=1)
        try:
            values = torch.arange(float(scale.texts), device=DEVICE)
            total, rows = values.clone(), [torch.empty_like(values)]
            torch.distributed.all_reduce(total)
            torch.distributed.all_gather(rows, values)
            same = torch.equal(total, values) and torch.equal(rows[0], values)
        finally:
            torch.distributed.destroy_process_group()
    return Outcome(same, backend)


class _RandomTokens:
    """Gives texts of digits random tokens: the text is the seed."""

    def __init__(self, scale: Scale) -> None:
        self._longest, self._vocabulary = scale.longest, scale.models["base"].vocab_size

    def encode_marked(self, texts: list[str], _: str) -> tuple[list[list[int]], list[bool]]:
        ids = []
        for text in texts:
            rng = np.random.default_rng(int(text))
            ids.append(rng.integers(5, self._vocabulary, rng.integers(4, self._longest + 1)).tolist())
        return ids, [False] * len(ids)


def encoding(scale: Scale) -> Outcome:
    """Texts a second in fp32, TF32 and bf16, and how many queries have another best passage than in fp32."""
    encoder = trainer_of(scale.models["base"]).encoder.eval()
    texts = [str(number) for number in range(scale.texts)]
    embeddings, figures = {}, {}
    for name in ("fp32", "tf32", "bf16")[: 3 if DEVICE.type == "cuda" else 1]:
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        start = time.perf_counter()
        found = encode(
            encoder, _RandomTokens(scale), texts, "passage",  # type: ignore[arg-type]
            precision="bf16" if name == "bf16" else "fp32", batch_tokens=None, device=DEVICE, description="texts",
        )  # fmt: skip
        figures[name] = {"texts a second": len(texts) / (time.perf_counter() - start)}
        rows = torch.from_numpy(found.embedding_ND)
        embeddings[name] = rows - rows.mean(0)  # random encoders give all texts much the same
    torch.backends.cuda.matmul.allow_tf32 = False
    queries = min(1000, len(texts) // 10)
    best = {name: (rows[:queries] @ rows[queries:].T).topk(10).indices for name, rows in embeddings.items()}
    for name, places in best.items():
        figures[name]["other best"] = float((places[:, 0] != best["fp32"][:, 0]).float().mean())
        cosine = nn.functional.cosine_similarity(embeddings[name], embeddings["fp32"]).mean()
        figures[name]["cosine to fp32"] = float(cosine)
    return Outcome(all(one["cosine to fp32"] > 0.98 for one in figures.values()), "in all formats", figures)


def faiss_search(scale: Scale) -> Outcome:
    """The library faiss finds what a matrix product does, on the GPU where it has one."""
    if not find_spec("faiss"):
        return Outcome(None, "faiss is not installed")
    import faiss

    rows = nn.functional.normalize(torch.randn(scale.texts, 64), dim=1)
    index = faiss.IndexFlatIP(64)
    gpus = getattr(faiss, "get_num_gpus", lambda: 0)()
    if gpus:
        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    index.add(rows.numpy())
    start = time.perf_counter()
    _, found = index.search(rows[:100].numpy(), 10)
    seconds = time.perf_counter() - start
    expected = (rows[:100] @ rows.T).topk(10).indices.numpy()
    same = float((found == expected).mean())
    passed = same > 0.99 if gpus or DEVICE.type == "cpu" else None
    return Outcome(passed, f"on {gpus} GPUs", {"same places": same, "seconds": seconds})


CHECKS: dict[str, Callable[[Scale], Outcome]] = {
    "packed against padded": packed_against_padded,
    "recomputed against kept": recomputed_against_kept,
    "memory": memory,
    "waits": waits,
    "throughput": throughput,
    "row optimiser": row_optimiser,
    "interruption": interruption,
    "collectives": collectives,
    "encoding": encoding,
    "faiss": faiss_search,
}


def _settle() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def _free() -> None:
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()


def main() -> None:
    """Runs the checks, each to its end whatever became of the one before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file for what each check found")
    parser.add_argument(
        "--only", nargs="+", choices=CHECKS, default=list(CHECKS), metavar="NAME", help=", ".join(CHECKS)
    )
    parser.add_argument("--toy", action="store_true", help="tiny encoders; always so on a CPU")
    words = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    toy = words.toy or DEVICE.type == "cpu"
    about = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "a CPU"
    print(f"{about}, torch {torch.__version__}{', toy size' * toy}", flush=True)
    outcomes = {}
    for name in words.only:
        start = time.perf_counter()
        try:
            outcome = CHECKS[name](scale_of(toy=toy))
        except Exception as error:
            outcome = Outcome(passed=False, words=f"{type(error).__name__}: {error}".splitlines()[0])
        _free()
        outcomes[name] = asdict(outcome) | {"seconds": round(time.perf_counter() - start, 1)}
        mark = {True: "PASS", False: "FAIL", None: "SKIP"}[outcome.passed]
        print(f"{mark}  {name}: {outcome.words} {json.dumps(outcome.figures, default=str)}", flush=True)
    if words.out:
        with written_whole(words.out) as path:
            content = {"device": about, "torch": torch.__version__, "toy": toy, "checks": outcomes}
            path.write_text(json.dumps(content, indent=1, default=str) + "\n")
    if any(outcome["passed"] is False for outcome in outcomes.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
