"""Says how many seeds find a given interaction of size and ratio, from the scatter in a pilot sweep."""

from __future__ import annotations

from pathlib import Path

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.statistics.contrasts import corrected_level
from mixlingual.analysis.statistics.estimates import PRIMARY, primary_means
from mixlingual.analysis.statistics.power import Pilot
from mixlingual.config.schema import SampleSizeConfig
from mixlingual.measures.registry import SETTING_TITLES
from mixlingual.records import MixlingualError


def plan(config: SampleSizeConfig) -> str:
    """For each benchmark and setting: seeds that each effect takes, and the effect that each number of seeds finds.

    Raises:
        MixlingualError: there is no such sweep, or it says nothing of the contrast.
    """
    sweep = read_sweep(Path(config.root) / config.sweep_name)
    primary = primary_means(sweep, sweep.analysis)
    pilots = {
        f"{part.benchmark}, {SETTING_TITLES[part.setting]}": pilot
        for part in primary
        if (pilot := Pilot.of(part.means, part.contrast))
    }
    if not pilots:
        raise MixlingualError(
            f"{config.sweep_name} is no pilot: it takes finished runs of two sizes at the ratios 0, "
            f"{sweep.analysis.ratio:g} and 1, with two seeds or more somewhere in each size"
        )
    tests = len(PRIMARY) * len({part.benchmark for part in primary})
    level = corrected_level(sweep.analysis.level, tests)
    sure = f"with chance {config.power:g}, at a level of {1 - sweep.analysis.level:.3g} over {tests} primary contrasts"
    lines = [f"Seeds in every cell that find a difference of gains {sure}:"]
    for name, pilot in pilots.items():
        needed = [(effect, pilot.seeds_for(effect, level, config.power)) for effect in config.effects]
        shown = "   ".join(f"{effect:g} mAP: {seeds or 'out of reach'}" for effect, seeds in needed)
        lines.append(f"  {name:40s} {shown}")
    lines.append("Difference in mAP that a number of seeds finds with that chance; questions alone set the last:")
    for name, pilot in pilots.items():
        found = [(str(seeds), pilot.detectable(seeds, level, config.power)) for seeds in config.seeds]
        limit = pilot.limit(level, config.power)
        shown = "   ".join(f"{seeds}: {effect:.4f}" for seeds, effect in (*found, ("any", limit)))
        lines.append(f"  {name:40s} {shown}")
    return "\n".join(lines) + "\n"
