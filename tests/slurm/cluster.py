"""Starts a real Slurm of two nodes on this machine, in a folder of its own, for tests and for developers.

    eval "$(python -m tests.slurm.cluster start FOLDER [--sacct])"     # then sinfo, sbatch, mixlingual.train ...
    python -m tests.slurm.cluster stop FOLDER

Several stand side by side: each has its own ports, keys and names. `stop` ends what was started here and the
processes that its jobs left behind, by their numbers. The folder's path must be short (sockets: 108 bytes).
Partitions: `low` (preemptible with a time of grace), `low0` (preemptible without), `high` (preempts both).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import getpass
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.slurm.install import install
from tests.slurm.processes import kill_all, ranks

NODES = ("one", "two")
GRACE = 5
"""A preempted job of partition `low` has so many seconds before it is killed."""
PATIENCE = 300
"""A state that does not come for so many seconds is an error."""


@dataclasses.dataclass
class Cluster:
    """Is a Slurm with its configuration, state and logs in `folder`; `sacct` puts a stand-in for accounting on PATH."""

    folder: Path
    sacct: bool = False
    daemons: dict[str, tuple[int, float]] = dataclasses.field(default_factory=dict)
    """munged, slurmctld or a node -> number of its process, and when that was started (seconds since 1970)."""

    @classmethod
    def at(cls, folder: Path) -> Cluster:
        """Returns the cluster that was started in the folder, perhaps by another process."""
        return cls(folder, **json.loads((folder / "cluster.json").read_text()))

    @property
    def environment(self) -> dict[str, str]:
        """Returns the variables with which Slurm's commands, and what they start, find this cluster."""
        stand_in = [str(self.folder / "bin")] if self.sacct else []
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": os.pathsep.join([*stand_in, os.environ["PATH"]]),
            "MASTER_ADDR": "127.0.0.1",  # the nodes' names stand for no host
            "GLOO_SOCKET_IFNAME": "lo",
        }

    def start(self) -> None:
        """Starts the daemons; returns when both nodes take jobs."""
        self._write_configuration()
        self._start_munge()
        self._start_daemon("slurmctld", ["slurmctld", "-D", "-f", self.environment["SLURM_CONF"]])
        wait_until(lambda: self.call("scontrol", "ping", check=False).returncode == 0, "slurmctld answers")
        for node in NODES:
            self.start_node(node)

    def stop(self) -> None:
        """Ends all jobs, the daemons, and whatever processes of jobs are left."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.call("scancel", "--user", getpass.getuser(), timeout=10)
        for daemon in reversed(list(self.daemons)):
            self._end_daemon(daemon, signal.SIGTERM)
        kill_all(self.folder)

    def end_jobs(self) -> None:
        """Cancels all jobs, kills what they leave behind, and returns when Slurm has seen them end."""
        self.call("scancel", "--user", getpass.getuser())
        kill_all(self.folder)
        wait_until(lambda: not self.has_jobs(), "all jobs have ended")

    def call(self, *command: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs a command in the cluster's environment."""
        options = {"env": os.environ | self.environment} | options
        return subprocess.run(command, check=check, capture_output=True, text=True, **options)

    def start_node(self, node: str) -> None:
        """Starts a node's daemon; returns when the node takes jobs."""
        self._start_daemon(node, ["slurmd", "-D", "-N", node, "-f", self.environment["SLURM_CONF"]])

        def takes_jobs() -> bool:
            state = self.node_state(node)
            if "DOWN" in state or "DRAIN" in state:
                self.call("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
            return state in ("IDLE", "MIXED", "ALLOCATED")

        wait_until(takes_jobs, f"node {node} takes jobs")

    def lose_node(self, node: str) -> None:
        """Takes a node down as a lost network does: its daemon is gone, Slurm gives it up, its jobs' processes live."""
        self._end_daemon(node, signal.SIGKILL)
        self.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")

    def repair(self) -> None:
        """Brings back the nodes that are down."""
        for node in sorted(set(NODES) - set(self.nodes_up())):
            self.start_node(node)

    def nodes_up(self) -> list[str]:
        """Returns the nodes whose daemon has not been ended."""
        return [node for node in NODES if node in self.daemons]

    def node_state(self, node: str) -> str:
        """Returns Slurm's word for the node's state, as IDLE or DOWN+NOT_RESPONDING."""
        return fields(self.call("scontrol", "-o", "show", "node", node).stdout)["State"].rstrip("*")

    def jobs(self) -> dict[str, dict[str, str]]:
        """Returns '12' or, of an array, '12_3' -> what `scontrol show job` says of it."""
        shown = self.call("scontrol", "-o", "show", "job").stdout.splitlines()
        jobs = [fields(line) for line in shown if line.startswith("JobId=")]
        return {name: job for job in jobs for name in job_names(job)}

    def job(self, name: str) -> dict[str, str]:
        """Returns what Slurm knows of a job; empty once it has forgotten it."""
        return self.jobs().get(name, {})

    def has_jobs(self) -> bool:
        """Tells whether a job is waiting or running."""
        return bool(self.call("squeue", "--noheader").stdout)

    def ranks_of(self, name: str) -> dict[int, psutil.Process]:
        """Returns number of a rank -> the Python process of a job's task, also on a node that Slurm has given up."""
        return ranks(self.folder, name)

    def _write_configuration(self) -> None:
        for name in ("state", "bin", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        host = platform.node()
        controller, *ports = _free_ports(1 + len(NODES))
        memory = psutil.virtual_memory().total // 2**20
        shared = f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory={memory} State=UNKNOWN"
        nodes = [f"NodeName={node} Port={port} {shared}" for node, port in zip(NODES, ports)]
        template = Path(__file__).with_name("slurm.conf").read_text()
        filled = template.format(
            name=f"test{controller}",
            host=host,
            controller_port=controller,
            user=getpass.getuser(),
            folder=self.folder,
            nodes="\n".join(nodes),
            grace=GRACE,
        )
        (self.folder / "slurm.conf").write_text(filled)
        stand_in = self.folder / "bin/sacct"
        stand_in.write_text(f"#!{sys.executable}\n" + Path(__file__).with_name("sacct.py").read_text())
        stand_in.chmod(0o755)

    def _start_munge(self) -> None:
        files = {name: str(self.folder / f"munge.{name}") for name in ("key", "socket", "pid", "log", "seed")}
        Path(files["key"]).write_bytes(os.urandom(128))
        Path(files["key"]).chmod(0o600)
        options = [f"--{word}={files[name]}" for word, name in (
            ("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"),
        )]  # fmt: skip
        self._start_daemon("munged", ["munged", "--foreground", "--force", "--num-threads=2", *options])
        wait_until(Path(files["socket"]).exists, "munged answers")

    def _start_daemon(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.out").open("a") as output:
            process = subprocess.Popen(
                command,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.daemons[name] = process.pid, psutil.Process(process.pid).create_time()
        written = {"sacct": self.sacct, "daemons": self.daemons}
        (self.folder / "cluster.json").write_text(json.dumps(written))

    def _end_daemon(self, name: str, number: signal.Signals) -> None:
        pid, started = self.daemons.pop(name)
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.create_time() == started:
                process.send_signal(number)
                _, alive = psutil.wait_procs([process], timeout=15)
                for process in alive:
                    process.kill()


def fields(line: str) -> dict[str, str]:
    """Returns the key=value words of a line of `scontrol -o show`."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def job_names(job: dict[str, str]) -> list[str]:
    """Returns the names that a user gives a job: its number, or that of its array and its place in it, as in 12_3."""
    tasks = job.get("ArrayTaskId")
    if tasks is None:
        return [job["JobId"]]
    names = []
    for part in tasks.split("%")[0].split(","):
        first, _, last = part.partition("-")
        names += [f"{job['ArrayJobId']}_{task}" for task in range(int(first), int(last or first) + 1)]
    return names


def wait_until(holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Looks until `holds()` is true, and returns what it gave.

    Raises:
        TimeoutError: it did not come to hold for `patience` seconds.
    """
    give_up = time.monotonic() + patience
    while not (value := holds()):
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited {patience:g} s in vain until {what}")
        time.sleep(0.1)
    return value


def _free_ports(count: int) -> list[int]:
    """Returns ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    """Starts a cluster and prints its variables as shell commands, or stops one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("start", "stop"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sacct", action="store_true", help="put a stand-in for sacct on PATH")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if arguments.action == "stop":
        Cluster.at(folder).stop()
        return
    install()
    cluster = Cluster(folder, arguments.sacct)
    cluster.start()
    for name, value in cluster.environment.items():
        sys.stdout.write(f"export {name}='{value}'\n")


if __name__ == "__main__":
    main()
