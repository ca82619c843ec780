"""Runs that are told to leave, killed, superseded or out of disk: what they leave, and that their bits are the same.

Processes are forks of this one, told what befalls them at which step.
"""

import errno
import hashlib
import json
import math
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import psutil
import pytest
import torch
from training_fixture import STEPS, prepare, train, weights

import mixlingual.grid.cell
import mixlingual.grid.doors
import mixlingual.runs.lease
from mixlingual.config.schema import TrainConfig
from mixlingual.records import MixlingualError
from mixlingual.runs.exits import ExitCode
from mixlingual.runs.lease import read_attempts
from mixlingual.training import preemption
from mixlingual.training.checkpoint import VerifiedCheckpointIO, newest_checkpoint
from mixlingual.training.preemption import Request, _request_of
from mixlingual.training.step import ContrastiveStep

PATIENCE = 120


def spawn(folder, *, world=1, events=(), environment=(), largest_file=None, **options):
    """Forks the processes of one attempt; `events` are (step, rank, signal), where step -1 is before training
    and `STEPS` after it. Returns their ids.

    Files stop growing at `largest_file` bytes, as they do on a full disk.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    children = []
    for rank in range(world):
        if child := os.fork():
            children.append(child)
            continue
        code = 70
        try:
            os.environ.update(environment)
            if largest_file:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
            if world > 1:
                ranks = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": world, "MASTER_PORT": port}
                os.environ.update({name: str(value) for name, value in ranks.items()})
                os.environ.update(MASTER_ADDR="127.0.0.1", TORCHELASTIC_RUN_ID="test", LOCAL_WORLD_SIZE=str(world))
            code = one_process(folder, [(step, number) for step, who, number in events if who == rank], world, options)
        except SystemExit as ended:
            code = ended.code % 256 if isinstance(ended.code, int) else 1
        except BaseException as error:
            (folder / f"error{rank}").write_text(traceback.format_exc())
            code = mixlingual.grid.doors.exit_code(error)
        finally:
            os._exit(code)
    return children


def one_process(folder, events, world, options):
    """What `mixlingual.train` does in a process, with the tiny run in the place of a real one."""
    sys.stderr = (folder / "stderr").open("a")
    signal.signal(signal.SIGUSR2, submitit)
    original = ContrastiveStep.gradient

    def befall(now):
        for step, number in events:
            if step == now:
                for child in psutil.Process().children() if number != signal.SIGKILL else ():
                    child.send_signal(number)  # Slurm and terminals send to all processes
                os.kill(os.getpid(), number)

    def disturbed(self, batch, device):
        befall(int(batch["step"]))
        return original(self, batch, device)

    def run(config, folder, signals, save):
        encoder, data, _, _ = prepare(devices=world, **options)
        befall(-1)
        signals.answer_now()
        train(folder, encoder, data, config, signals)
        befall(STEPS)
        signals.answer_now()
        torch.save(weights(encoder), folder / f"weights{os.environ.get('RANK', '0')}.pt")

    ContrastiveStep.gradient = disturbed
    mixlingual.grid.cell.run = run
    mixlingual.grid.cell.train(prepare(devices=world, **options)[-1], folder)
    return 0


def submitit(number, frame):
    """Stands in for the handler that pickles the job again, asks for its requeue and leaves."""
    os.write(sys.stderr.fileno(), b"requeue\n")
    if "REFUSED" in os.environ:
        raise subprocess.CalledProcessError(1, ["scontrol", "requeue"])
    sys.exit(-1)


def wait(children):
    """Exit codes; minus the signal for those killed by one."""
    codes = []
    for child in children:
        deadline = time.monotonic() + PATIENCE
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                pytest.fail("a process hangs")
            time.sleep(0.005)
        codes.append(os.waitstatus_to_exitcode(ended[1]))
    return codes


def end_of(folder):
    return torch.load(folder / "weights0.pt")


def outcomes(folder):
    return [event["outcome"] for event in read_attempts(folder) if event["event"] == "end"]


def status(folder):
    return json.loads((folder / "status.json").read_text())


CODES = {
    signal.SIGUSR1: (255, 0),
    signal.SIGUSR2: (255, 0),
    signal.SIGTERM: (143, 143),
    signal.SIGINT: (130, 130),
    signal.SIGKILL: (-9, ExitCode.PEER_LOST),
}
"""Signal -> exit codes of the first process and of the others; where one is killed, of that one and of the others."""


@pytest.mark.parametrize(("world", "accumulate", "workers"), [(1, 1, 0), (1, 2, 2), (2, 1, 1), (2, 2, 0)])
def test_a_disturbed_run_ends_with_the_same_bits(tmp_path, world, accumulate, workers):
    """Every signal once, each at a random step, to a random process and those that load its data."""
    options = {"accumulate": accumulate, "workers": workers, "checkpoint_steps": 3}
    assert wait(spawn(tmp_path / "whole", world=world, accumulate=accumulate)) == [0] * world
    draw = random.Random(world * 10 + accumulate)
    numbers = draw.sample(list(CODES), len(CODES))
    steps = sorted(draw.sample(range(1, STEPS - 1), len(CODES)))
    folder, expected = tmp_path / "cut", []
    for number, step in zip(numbers, steps):
        who = draw.randrange(world)
        codes = wait(spawn(folder, world=world, events=[(step, who, number)], **options))
        first = who if number == signal.SIGKILL else 0
        wanted = [CODES[number][rank != first] for rank in range(world)]
        assert codes == wanted, (number, step, who, (folder / "stderr").read_text())
        if number in (signal.SIGUSR1, signal.SIGUSR2):
            expected.append("requeued")
            assert status(folder)["state"] == "requeued"
        elif number != signal.SIGKILL or who > 0:
            expected.append("interrupted")
            assert "started again it goes on" in status(folder)["reason"]
    assert wait(spawn(folder, world=world, **options)) == [0] * world
    assert outcomes(folder) == [*expected, "done"]
    assert status(folder)["attempt"] == len(CODES) + 1
    assert torch.equal(end_of(folder), end_of(tmp_path / "whole"))
    assert (folder / "stderr").read_text().count("requeue\n") == 2


def test_a_signal_saves_where_nothing_else_does(tmp_path):
    """Without checkpoints by steps or time, one step is lost at most: that of the signal is done to its end."""
    assert wait(spawn(tmp_path / "whole")) == [0]
    assert wait(spawn(tmp_path / "cut", events=[(7, 0, signal.SIGUSR2)])) == [255]
    (folder,) = (tmp_path / "cut/checkpoints").iterdir()
    assert newest_checkpoint(folder).name.startswith("step-000000008-")
    assert read_attempts(tmp_path / "cut")[-1]["step"] == 8
    assert wait(spawn(tmp_path / "cut")) == [0]
    assert torch.equal(end_of(tmp_path / "cut"), end_of(tmp_path / "whole"))


def test_slurms_terminate_saves_and_goes_on(tmp_path):
    """Slurm sends it to preempt and to cancel, and then ends the job itself."""
    environment = {"SLURM_JOB_ID": "12"}
    assert wait(spawn(tmp_path / "run", events=[(7, 0, signal.SIGTERM)], environment=environment)) == [0]
    (folder,) = (tmp_path / "run/checkpoints").iterdir()
    assert [path.name[:15] for path in folder.iterdir()] == ["step-000000008-"]
    assert outcomes(tmp_path / "run") == ["done"]
    assert status(tmp_path / "run")["job"] == "12"


@pytest.mark.parametrize("step", [-1, 7])
def test_where_slurm_must_not_requeue_the_run_says_how_to_go_on(tmp_path, step):
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho JobState=RUNNING Requeue=0")
    scontrol.chmod(0o755)
    environment = {"REFUSED": "1", "SLURM_JOB_ID": "12", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    events = [(step, 0, signal.SIGUSR2)]
    assert wait(spawn(tmp_path / "run", events=events, environment=environment)) == [ExitCode.FAILED]
    assert outcomes(tmp_path / "run") == ["interrupted"]
    assert "hydra.launcher.requeue=false keeps it out of the queue; the same" in status(tmp_path / "run")["reason"]
    assert status(tmp_path / "run")["traceback"] is None


@pytest.mark.parametrize("step", [-1, STEPS])
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_outside_of_training_a_signal_is_answered_before_the_next_part(tmp_path, step, number):
    """What the last checkpoint does not hold is not worth saving: started again, the run trains what is missing."""
    assert wait(spawn(tmp_path, events=[(step, 0, number)], checkpoint_steps=3)) == [CODES[number][0]]
    assert not (tmp_path / "weights0.pt").exists()
    assert outcomes(tmp_path) == ["requeued" if number == signal.SIGUSR1 else "interrupted"]
    assert len(list(tmp_path.glob("checkpoints/*/step-000000020-*"))) == (step == STEPS)


@pytest.mark.parametrize("step", [-1, STEPS])
def test_slurms_terminate_outside_of_training_changes_nothing(tmp_path, step):
    assert wait(spawn(tmp_path, events=[(step, 0, signal.SIGTERM)], environment={"SLURM_JOB_ID": "12"})) == [0]
    assert outcomes(tmp_path) == ["done"]


def answered(what, *numbers, environment=(), requeuer=submitit):
    """Exit code and outcomes of a run that is sent signals and then does `what`."""

    def run(config, folder, signals, save):
        for number in numbers:
            signal.raise_signal(number)
        what()

    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.environ.update(environment)
                preemption._PATIENCE_SECONDS = 0.1
                mixlingual.grid.cell.run = run
                signal.signal(signal.SIGUSR2, requeuer)
                mixlingual.grid.cell.train(TrainConfig(), Path(folder))
                code = 0
            except SystemExit as ended:
                code = ended.code % 256
            except BaseException as error:
                code = mixlingual.grid.doors.exit_code(error)
            finally:
                os._exit(code)
        return wait([child])[0], outcomes(Path(folder))


def lose_a_worker():
    raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated.")


def hang():
    time.sleep(PATIENCE)


@pytest.mark.parametrize(
    ("what", "numbers", "environment", "ends"),
    [
        (lose_a_worker, [signal.SIGTERM], {}, (143, ["interrupted"])),
        (lose_a_worker, [signal.SIGINT], {}, (130, ["interrupted"])),
        (lose_a_worker, [signal.SIGTERM], {"SLURM_JOB_ID": "12"}, (143, ["interrupted"])),
        (lose_a_worker, [signal.SIGUSR2, signal.SIGTERM], {"SLURM_JOB_ID": "12"}, (255, ["requeued"])),
        (lose_a_worker, [], {}, (ExitCode.FAILED, ["failed"])),
        (hang, [signal.SIGTERM], {}, (143, ["interrupted"])),
        (hang, [signal.SIGUSR1], {}, (255, ["requeued"])),
        (lambda: time.sleep(1), [signal.SIGTERM], {"SLURM_JOB_ID": "12"}, (0, ["done"])),
    ],
)
def test_a_signal_outranks_what_follows_from_it_and_does_not_wait_for_ever(what, numbers, environment, ends):
    """An exception of a data worker that the same signal has ended; a call that does not come back."""
    assert answered(what, *numbers, environment=environment) == ends


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_without_someone_who_requeues_the_run_is_interrupted(number):
    ends = (128 + signal.SIGUSR2, ["interrupted"])
    assert answered(lose_a_worker, number, requeuer=signal.SIG_DFL) == ends


def test_a_signal_that_comes_after_the_exception_that_follows_from_it(monkeypatch):
    """A terminal and Slurm send it to all processes, so that a data worker may be the first to go."""

    def late():
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        lose_a_worker()

    assert answered(late) == (143, ["interrupted"])


def snapshot(folder):
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("stderr", "run.log")
    }


@pytest.mark.parametrize("seconds", [1.0, math.inf], ids=["at the end of a step", "before a write"])
def test_a_zombie_leaves_and_writes_nothing(tmp_path, monkeypatch, seconds):
    """It stands still, as on a machine that has lost its network, while the requeued job finishes the run.

    It notices at the end of a step, and, if it has looked just before, by its next point of curves.csv.
    """
    monkeypatch.setattr(mixlingual.runs.lease, "_LEASE_SECONDS", seconds)
    options = {"checkpoint_steps": 3}
    job = {"SLURM_JOB_ID": "12"}
    zombie = spawn(tmp_path / "run", events=[(7, 0, signal.SIGSTOP)], environment=job, **options)
    os.waitpid(zombie[0], os.WUNTRACED)
    other = spawn(tmp_path / "run", environment={"SLURM_JOB_ID": "13"}, **options)
    assert wait(other) == [ExitCode.FAILED], "another job does not take over"
    assert wait(spawn(tmp_path / "run", environment=job | {"SLURM_RESTART_COUNT": "1"}, **options)) == [0]
    assert outcomes(tmp_path / "run") == ["superseded", "done"]
    before = snapshot(tmp_path / "run")
    time.sleep(1.1)  # a lease is looked at once a second
    os.kill(zombie[0], signal.SIGCONT)
    assert wait(zombie) == [ExitCode.SUPERSEDED]
    assert snapshot(tmp_path / "run") == before
    assert wait(spawn(tmp_path / "whole")) == [0]
    assert torch.equal(end_of(tmp_path / "run"), end_of(tmp_path / "whole"))


@pytest.mark.parametrize("world", [1, 2])
def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, world):
    options = {"world": world, "checkpoint_steps": 3}
    folder = tmp_path / "run"
    assert wait(spawn(folder, events=[(7, 0, signal.SIGKILL)], **options))[0] == -signal.SIGKILL
    codes = wait(spawn(folder, largest_file=30_000, **options))
    assert codes == [ExitCode.FAILED, ExitCode.PEER_LOST][:world]
    (checkpoints,) = (folder / "checkpoints").iterdir()
    good = newest_checkpoint(checkpoints)
    assert good.name.startswith("step-000000006-")
    assert status(folder)["state"] == "failed"
    assert status(folder)["reason"].startswith(
        f"MixlingualError: cannot write the checkpoint of step-000000009 into {checkpoints}: [Errno 27] File too large"
    )
    assert f"The last good one is {good}; make room there" in status(folder)["reason"]
    assert {path.suffix for path in checkpoints.iterdir()} == {".ckpt"}, "nothing half-written is left"
    assert wait(spawn(folder, **options)) == [0] * world
    assert wait(spawn(tmp_path / "whole", world=world)) == [0] * world
    assert torch.equal(end_of(folder), end_of(tmp_path / "whole"))


def test_a_disk_that_fills_at_the_last_moment(tmp_path, monkeypatch):
    """The file system may tell only when the data have to reach it."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MixlingualError, match=r"No space left on device\. There is none before it; make room there"):
        VerifiedCheckpointIO().save_checkpoint({"weight": torch.ones(3)}, tmp_path / "step-000000001.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_and_its_name_reach_the_disk(tmp_path, monkeypatch):
    original, synced = os.fsync, []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino) or original(handle))
    VerifiedCheckpointIO().save_checkpoint({"weight": torch.ones(3)}, tmp_path / "step-000000001.ckpt")
    (path,) = tmp_path.iterdir()
    assert synced == [path.stat().st_ino, tmp_path.stat().st_ino]


def test_a_checkpoint_is_hashed_while_it_is_written(tmp_path, monkeypatch):
    """One of a large encoder takes minutes to read again, which a signal does not leave."""
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", None)
        content = {"weight": torch.randn(100_000), "step": 3}
        VerifiedCheckpointIO().save_checkpoint(content, tmp_path / "step-000000001.ckpt")
    found = newest_checkpoint(tmp_path)
    assert torch.equal(VerifiedCheckpointIO().load_checkpoint(found)["weight"], content["weight"])


def test_a_process_that_fails_says_so_for_the_first(tmp_path, monkeypatch):
    """The first one only sees that it is alone; status.json tells what the other died of."""
    original = ContrastiveStep.gradient

    def broken(self, batch, device):
        if os.environ["RANK"] == "1" and int(batch["step"]) == 5:
            raise ZeroDivisionError("on purpose")
        return original(self, batch, device)

    monkeypatch.setattr(ContrastiveStep, "gradient", broken)
    assert wait(spawn(tmp_path / "run", world=2)) == [ExitCode.PEER_LOST, ExitCode.FAILED]
    assert status(tmp_path / "run")["state"] == "failed"
    assert status(tmp_path / "run")["reason"] == "process 1: ZeroDivisionError: on purpose"
    assert "in broken" in status(tmp_path / "run")["traceback"]
    assert outcomes(tmp_path / "run") == ["failed"]


def test_in_a_shell_of_slurm_terminate_ends_the_run(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert _request_of(signal.SIGTERM) == Request.CHECKPOINT
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert _request_of(signal.SIGTERM) == Request.TERMINATE
