"""Number formats by device: what auto becomes, what is refused, and what an interrupted run goes on in."""

import json
import os
import subprocess
import sys

import pytest
import torch
from forks import on_ranks
from run_folder import result_of, write_result
from threadpoolctl import threadpool_info
from training_fixture import trained

from mixlingual.config.identity import config_hash, evaluation_hash, written_out
from mixlingual.config.schema import EvaluateConfig, EvaluationConfig, ModelConfig, TrainConfig, TrainerConfig
from mixlingual.grid.cell import train
from mixlingual.grid.cost import Preflight, describe
from mixlingual.grid.evaluation import evaluate
from mixlingual.grid.guards import _check_same_evaluation
from mixlingual.records import MixlingualError
from mixlingual.runs.record import RunRecord
from mixlingual.training.device import going_on, has_bf16, on_device, use_threads

CPU, GPU = torch.device("cpu"), torch.device("cuda")
AUTO = TrainConfig(trainer=TrainerConfig(steps=1, precision="auto"), evaluation=EvaluationConfig(precision="auto"))
WITH, WITHOUT = written_out(AUTO, bf16=True), written_out(AUTO, bf16=False)
PLACES = [(CPU, {"amx_bf16": True}), (CPU, {"avx512_bf16": True, "avx2": True}), (CPU, {"bf16": True}), (GPU, True)]
LACKING = [(CPU, {"avx512_f": True, "amx_int8": True, "amx_bf16": False, "l1d_cache_size": 32768}), (GPU, False)]


@pytest.fixture
def machine(monkeypatch):
    """Makes this machine one whose CPU has the instructions, or whose GPU multiplies in bf16 or does not."""

    def become(found):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found if isinstance(found, dict) else {})
        emulated = lambda including_emulation=True: including_emulation or found is True  # noqa: E731
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", emulated)
        monkeypatch.setattr("mixlingual.training.device.matrix_rate", lambda *_, **__: 5e9)

    return become


@pytest.mark.parametrize(("device", "found"), [*PLACES, *LACKING])
def test_auto_is_bf16_exactly_where_the_device_has_it(machine, device, found):
    machine(found)
    assert has_bf16(device) == ((device, found) in PLACES)
    config = on_device(AUTO, device)
    assert config == (WITH if has_bf16(device) else WITHOUT)
    precisions = config.trainer.precision, config.evaluation.precision
    assert precisions == (("bf16-mixed", "bf16") if has_bf16(device) else ("32-true", "fp32"))
    assert on_device(EvaluateConfig(evaluation=AUTO.evaluation), device).evaluation == config.evaluation
    assert on_device(TrainConfig(), device) == TrainConfig(), "what is written stays"


@pytest.mark.parametrize(("device", "found"), LACKING)
@pytest.mark.parametrize(
    "asked", [{"trainer": WITH.trainer}, {"evaluation": WITH.evaluation}], ids=["trainer", "evaluation"]
)
def test_bf16_is_refused_where_it_is_emulated(machine, device, found, asked):
    machine(found)
    with pytest.raises(MixlingualError, match=r"\.precision=bf16.* at 5\.0 GFLOP/s, against 5 in fp32; set .*=auto"):
        on_device(TrainConfig(**asked), device)


def test_a_refused_run_has_trained_nothing(machine, tmp_path):
    machine({})
    with pytest.raises(MixlingualError, match=r"trainer\.precision=bf16-mixed: this CPU has no instructions"):
        train(TrainConfig(trainer=TrainerConfig(steps=1, precision="bf16-mixed", accelerator="cpu")), tmp_path)
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "failed"
    assert not (tmp_path / "curves.csv").exists()


def test_every_number_of_threads_is_the_configured_one(machine, tmp_path, monkeypatch):
    machine({})
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()
    half, none = EvaluationConfig(benchmarks=[], precision="bf16"), ModelConfig(checkpoint="none")
    acts = {
        2: lambda: train(TrainConfig(trainer=TrainerConfig(threads=2, accelerator="cpu"), evaluation=half), tmp_path),
        3: lambda: evaluate(EvaluateConfig(threads=3, accelerator="cpu", evaluation=half, model=none)),
    }
    try:
        for threads, act in acts.items():
            with pytest.raises(MixlingualError, match="no instructions"):
                act()
            blas = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
            assert (torch.get_num_threads(), blas) == (threads, {threads})
    finally:
        use_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp prints what it was told")
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "GOMP_SPINCOUNT = '0'"),
        ({"GOMP_SPINCOUNT": "77"}, "GOMP_SPINCOUNT = '77'"),
        ({"OMP_WAIT_POLICY": "active"}, "OMP_WAIT_POLICY = 'ACTIVE'"),
    ],
)
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(given, shown):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    said = subprocess.run(
        [sys.executable, "-c", "import mixlingual.training.device"],
        env=environment | given | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    assert shown in said


def test_a_run_is_named_by_what_auto_became():
    for name, of in ((config_hash, TrainConfig), (evaluation_hash, EvaluateConfig)):
        auto = of(evaluation=EvaluationConfig(precision="auto"))
        written = [name(of(evaluation=EvaluationConfig(precision=precision))) for precision in ("fp32", "bf16")]
        assert written == [name(written_out(auto, bf16=bf16)) for bf16 in (False, True)]
        with pytest.raises(AssertionError, match="written out"):
            name(auto)


@pytest.mark.parametrize("finished", [WITH, WITHOUT])
def test_auto_is_done_by_a_run_of_either_precision(tmp_path, finished):
    write_result(tmp_path, result_of(finished))
    assert RunRecord(tmp_path, AUTO).finished().config["trainer"]["precision"] == finished.trainer.precision
    other = WITH if finished == WITHOUT else WITHOUT
    with pytest.raises(MixlingualError, match=r"\n  evaluation\.precision: .*\n  trainer\.precision: "):
        RunRecord(tmp_path, other).finished()
    seeded = TrainConfig(seed=1, trainer=AUTO.trainer, evaluation=AUTO.evaluation)
    with pytest.raises(MixlingualError, match=r"configuration:\n  seed: 0 there, 1 now\nChoose"):
        RunRecord(tmp_path, seeded).finished()


def test_auto_takes_an_evaluation_of_either_precision(tmp_path):
    for precision in ("fp32", "bf16", "fp16"):
        config = EvaluateConfig(output=str(tmp_path / precision), evaluation=EvaluationConfig(precision=precision))
        (tmp_path / precision).write_text(json.dumps({"evaluation_hash": evaluation_hash(config)}))
        config.evaluation.precision = "auto"
        if precision != "fp16":
            _check_same_evaluation(config)
    with pytest.raises(MixlingualError, match="holds an evaluation with other options"):
        _check_same_evaluation(config)


def test_an_interrupted_run_keeps_its_precision_or_is_refused(machine, tmp_path):
    def begin(name, config):
        (folder := tmp_path / name / "checkpoints" / f"{config_hash(config)}-0123").mkdir(parents=True)
        (folder / "step-000000001-00.ckpt").touch()

    begin("half", WITH)
    begin("full", WITHOUT)
    begin("other", TrainConfig(seed=5))
    machine({"amx_bf16": True})
    chosen = {name: going_on(AUTO, CPU, tmp_path / name) for name in ("half", "full", "other", "none")}
    assert chosen == {"half": WITH, "full": WITHOUT, "other": WITH, "none": WITH}
    machine({})
    chosen = {name: going_on(AUTO, CPU, tmp_path / name) for name in ("full", "other", "none")}
    assert chosen == dict.fromkeys(chosen, WITHOUT)
    with pytest.raises(MixlingualError, match=r"interrupted on a device with bf16.*move .*checkpoints away"):
        going_on(AUTO, CPU, tmp_path / "half")


def test_the_processes_of_a_run_must_have_found_the_same(tmp_path):
    def one_process():
        mine = ("32-true", "bf16-mixed")[int(os.environ["RANK"])]
        with pytest.raises(MixlingualError, match="bf16-mixed in some of the run's processes"):
            trained(tmp_path / "all", devices=2, precision=mine)

    on_ranks(tmp_path, 2, one_process)


def test_preflight_says_what_auto_became(machine):
    machine({"amx_bf16": True})
    run = TrainConfig(trainer=TrainerConfig(steps=1, precision="auto", accelerator="cpu"))
    run.evaluation.benchmarks = []
    (preflight := Preflight()).check(run)
    assert "\nprecision bf16-mixed to train, fp32 to evaluate\n" in describe(preflight)
