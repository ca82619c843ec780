"""The planner on a pilot sweep, as its user runs it."""

import re
import subprocess
import sys

import pytest
from scored_sweep import write_scored_sweep

from mixlingual.config.schema import SampleSizeConfig
from mixlingual.records import MixlingualError
from mixlingual.reporting.sample_size import plan


def test_smaller_effects_take_more_seeds_and_the_questions_set_the_limit(tmp_path):
    write_scored_sweep(tmp_path, seeds=3, ratios=(0.0, 0.5, 1.0))
    text = plan(SampleSizeConfig("scored", str(tmp_path), effects=[0.001, 0.02, 0.5]))
    row = next(line for line in text.splitlines() if "multilingual" in line and "mAP:" in line)
    seeds = re.findall(r"mAP: (\d+|out of reach)", row)
    assert seeds[0] == "out of reach"
    assert seeds[2] == "2"
    found = [float(x) for x in re.findall(r"\w+: (\d\.\d+)", text.splitlines()[-1])]
    assert found == sorted(found, reverse=True)
    assert len(found) == 5


@pytest.mark.parametrize("options", [{"seeds": 1}, {"seeds": 2, "ratios": (0.0, 1.0)}])
def test_a_sweep_that_is_no_pilot_is_refused(tmp_path, options):
    write_scored_sweep(tmp_path, **options)
    with pytest.raises(
        MixlingualError, match=r"is no pilot: it takes finished runs of two sizes at the ratios 0, 0\.5"
    ):
        plan(SampleSizeConfig("scored", str(tmp_path)))


def test_the_command_prints_the_plan_and_explains_itself(tmp_path):
    write_scored_sweep(tmp_path, seeds=2, ratios=(0.0, 0.5, 1.0))
    command = [sys.executable, "-m", "mixlingual.sample_size"]
    done = subprocess.run(
        [*command, "sweep_name=scored", f"root={tmp_path}"], capture_output=True, text=True, check=True
    )
    assert "Seeds in every cell" in done.stdout
    missing = subprocess.run([*command, "sweep_name=none", f"root={tmp_path}"], capture_output=True, text=True)
    assert missing.returncode == 1
    assert "sweeps beside it: scored" in missing.stderr
    assert "How many seeds" in subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
