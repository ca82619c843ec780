"""Stands in for sacct on a cluster without accounting: answers from `scontrol` what submitit asks.

sacct -o JobID,State,NodeList --parsable2 -j JOB [-j JOB ...]
"""

import subprocess
import sys


def rows(job):
    """Yields JobID, State and NodeList of a job, or of each member of an array; none that Slurm has forgotten."""
    shown = subprocess.run(["scontrol", "-o", "show", "job", job], capture_output=True, text=True, check=False).stdout
    for line in shown.splitlines():
        known = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if "JobId" not in known:
            continue
        task = known.get("ArrayTaskId")
        name = known["JobId"] if task is None else f"{known['ArrayJobId']}_{task if task.isdigit() else f'[{task}]'}"
        yield name, known["JobState"], known.get("NodeList", "")


if __name__ == "__main__":
    sys.stdout.write("JobID|State|NodeList\n")
    for option, job in zip(sys.argv, sys.argv[1:]):
        if option == "-j":
            sys.stdout.writelines("|".join(row) + "\n" for row in rows(job))
