"""Entry point: evaluates one encoder zero-shot, without training, or every finished run of a sweep.

python -m mixlingual.evaluate model=me5_small evaluation.benchmarks=[mlqa_r] output=FILE.json
python -m mixlingual.evaluate -m sweep_name=NAME evaluation.benchmarks=[miracl]
"""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from mixlingual.config.schema import EvaluateConfig
from mixlingual.grid.doors import door, end_cell
from mixlingual.runs.lease import global_rank
from mixlingual.runs.progress import write_progress


def evaluate_here(config: EvaluateConfig) -> None:
    """Evaluates; a cell of a grid also says where its encoded passages are, for the script around its job."""
    from mixlingual.grid.evaluation import evaluate

    if HydraConfig.get().mode == RunMode.MULTIRUN and global_rank() == 0:
        folder = Path(HydraConfig.get().runtime.output_dir)
        write_progress(folder, "evaluating", 0, 0, embeddings=config.evaluation.embeddings)
    evaluate(config)


main = door("evaluate", EvaluateConfig, evaluate_here, end_cell)

if __name__ == "__main__":
    main()
