"""Mixlingual measures how model size and the ratio of monolingual batches interact in multilingual retrieval.

What is listed here is public, and the rest may change at any time. A name is imported when it is first used, so that
`import mixlingual` takes no time and imports no PyTorch.

    evaluate_encoder   any encoder on any benchmark, with every measure of quality and of language bias
    compare_runs       systems with several seeds each, paired by question; also from TREC runs
    export_encoder     a trained encoder with its model card, as ONNX, on the Hugging Face hub
    load_encoder       a trained encoder, for queries and passages
    load_benchmark     the texts of a benchmark, in the order that ready embeddings have
    read_sweep         the results of a sweep as data frames
    batches            the plan and the sampler, which need NumPy alone
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixlingual import batches
    from mixlingual.api.comparison import Comparison, compare_runs
    from mixlingual.api.encoder import TrainedEncoder, load_encoder
    from mixlingual.api.evaluation import Evaluation, evaluate_encoder, load_benchmark
    from mixlingual.api.export import Exported, export_encoder
    from mixlingual.api.sweeps import SweepFrames, read_sweep
    from mixlingual.records import MixlingualError

_HOMES = {
    "Comparison": "api.comparison",
    "Evaluation": "api.evaluation",
    "Exported": "api.export",
    "MixlingualError": "records",
    "SweepFrames": "api.sweeps",
    "TrainedEncoder": "api.encoder",
    "batches": "batches",
    "compare_runs": "api.comparison",
    "evaluate_encoder": "api.evaluation",
    "export_encoder": "api.export",
    "load_benchmark": "api.evaluation",
    "load_encoder": "api.encoder",
    "read_sweep": "api.sweeps",
}
"""Name -> module that it lies in."""

__all__ = [
    "Comparison", "Evaluation", "Exported", "MixlingualError", "SweepFrames", "TrainedEncoder", "batches",
    "compare_runs", "evaluate_encoder", "export_encoder", "load_benchmark", "load_encoder", "read_sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOMES[name]}")
    return module if _HOMES[name] == name else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


os.environ.setdefault("OMP_WAIT_POLICY", "passive")
"""Threads that wait for others sleep. OpenMP reads this when PyTorch is loaded; by its own default they spin, which
takes the cores from every other run of the machine. A value that the user has set, as one of GOMP_SPINCOUNT, stays."""


def _without_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Says in a word that Ctrl-C has ended the program."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv and sys.argv[0].rpartition(os.sep)[2] in ("-m", "mixlingual"):
    # `python -m mixlingual.NAME` and `mixlingual NAME` come here first, and then import for seconds
    sys.excepthook = _without_traceback
