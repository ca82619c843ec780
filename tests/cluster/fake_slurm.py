"""Slurm's commands, imitated from files: each of `programs` is this file under another name.

$FAKE_SLURM/jobs.json holds {job: {"state", "script", "reason" for waiting}}; the file `down` there makes the
controller unreachable, and `refuse` makes sbatch fail with the file's content, `mute` makes scontrol succeed without
a word.
"""

import json
import os
import re
import sys
from pathlib import Path

MAX_ARRAY_SIZE = 5
PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel", "srun")


class FakeSlurm:
    """The state, as a test sees and changes it."""

    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def installed(cls, folder, monkeypatch):
        """Its programs come first on PATH."""
        (folder / "bin").mkdir(parents=True)
        for name in PROGRAMS:
            program = folder / "bin" / name
            program.write_text(f"#!{sys.executable} -SE\n" + Path(__file__).read_text())
            program.chmod(0o755)
        monkeypatch.setenv("FAKE_SLURM", str(folder))
        monkeypatch.setenv("PATH", str(folder / "bin"), prepend=os.pathsep)
        return cls(folder)

    @property
    def jobs(self):
        path = self.folder / "jobs.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def set(self, job, state, reason="None"):
        jobs = self.jobs
        jobs[job] |= {"state": state, "reason": reason}
        self.write(jobs)

    def forget(self, job):
        self.write({name: entry for name, entry in self.jobs.items() if name != job})

    def write(self, jobs):
        (self.folder / "jobs.json").write_text(json.dumps(jobs))

    def script(self, job):
        return Path(self.jobs[job]["script"]).read_text()

    @property
    def calls(self):
        """Names and arguments of the programs that were called."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


def sbatch(slurm, script):
    refuse = slurm.folder / "refuse"
    if refuse.exists():
        sys.exit(refuse.read_text())
    number = 1 + max((int(job.split("_")[0]) for job in slurm.jobs), default=0)
    array = re.search(r"^#SBATCH --array=0-(\d+)%", Path(script).read_text(), re.MULTILINE)
    names = [f"{number}_{n}" for n in range(int(array[1]) + 1)] if array else [str(number)]
    slurm.write(slurm.jobs | {name: {"state": "PENDING", "script": script} for name in names})
    sys.stdout.write(f"Submitted batch job {number}\n")


def squeue(slurm, *options):
    assert "--format=%F|%K|%T|%r|%o" in options
    for job, entry in slurm.jobs.items():
        number, _, place = job.partition("_")
        sys.stdout.write(
            f"{number}|{place or 'N/A'}|{entry['state']}|{entry.get('reason', 'None')}|{entry['script']}\n"
        )


def scontrol(slurm, *words):
    if words == ("show", "config"):
        sys.stdout.write(f"Configuration data\nMaxArraySize            = {MAX_ARRAY_SIZE}\nMaxJobCount = 10000\n")
        return
    *_, job = words
    if (slurm.folder / "mute").exists():
        return
    known = slurm.jobs[job]
    requeue, restarts = known.get("requeue", 1), known.get("restarts", 0)
    if "requeue" not in words:
        sys.stdout.write(f"JobId={job} JobState={known['state']} Reason=None Requeue={requeue} Restarts={restarts}\n")
    elif not requeue:
        sys.exit("Requested operation is presently disabled")


def scancel(slurm, *jobs):
    for job in jobs:
        slurm.set(job, "CANCELLED")


if __name__ == "__main__":
    slurm = FakeSlurm(Path(os.environ["FAKE_SLURM"]))
    name = Path(sys.argv[0]).name
    with (slurm.folder / "calls").open("a") as calls:
        calls.write(json.dumps([name, *sys.argv[1:]]) + "\n")
    if (slurm.folder / "down").exists():
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    {"sbatch": sbatch, "squeue": squeue, "scontrol": scontrol, "scancel": scancel}[name](slurm, *sys.argv[1:])
