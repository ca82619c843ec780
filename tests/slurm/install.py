"""Installs Slurm itself from the packages of Debian."""

import os
import shutil
import subprocess


class NoSlurmError(Exception):
    """Slurm is not there and cannot be installed; the message says why."""


def install() -> None:
    """Makes sure that Slurm and munge are there.

    Raises:
        NoSlurmError: they are not, and this user or system cannot install them.
    """
    if os.geteuid() != 0:
        raise NoSlurmError("a Slurm of one's own is started as root here, and this user is not root")
    if shutil.which("slurmctld") and shutil.which("slurmd") and shutil.which("munged"):
        return
    if not shutil.which("apt-get"):
        raise NoSlurmError("slurmctld, slurmd and munged are not there, and there is no apt-get to install them with")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # 1: start no service
    for words in (["update"], ["install", "-y", "--no-install-recommends", "slurm-wlm", "munge"]):
        done = subprocess.run(["apt-get", "-q", *words], env=environment, capture_output=True, text=True)
        if done.returncode and words != ["update"]:
            raise NoSlurmError(f"apt-get install slurm-wlm munge: {done.stderr.strip()[-300:]}")
