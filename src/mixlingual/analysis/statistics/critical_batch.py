"""Finds how large a batch pays: steps to a target against the batch size, with the number of negatives held.

The target is a loss over one fixed pool of candidates (`evaluation.validation.pool_losses`), so that it is the same for
every batch size and number of negatives. A run needs S steps to reach it, where its curve of that loss first passes the
target, on the straight line between two validations; a run that ends before is censored at its last step. Over the runs
of an arm (one size, number of negatives, ratio and way to draw kinds), with batches of B pairs,

    log S = log(a + b / B) + e,    e ~ N(0, s^2)                                                                   (1)

after Zhang et al. 2024 (arXiv 2410.21676): b pairs without any loss to large batches, and a steps that no batch saves.
A censored run adds the probability that S is larger (Tobin 1958, doi 10.2307/1907382). The critical batch size is where
steps are 20 % more than b / B, which would be ideal:

    B_crit = b / (5 a)                                                                                             (2)

The paper compares with the steps at a reference batch in place of the ideal ones, which gives b / (5 a) + 1.2 B_ref, at
least 1.2 B_ref whatever was measured. Here B_ref is the smallest batch of the arm, in place of its 256.

Intervals of b / a are those of the profile likelihood, with the quantile of F in place of that of chi squared. They are
open above where the runs show no batch too large, and below where none is small enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, special, stats

from mixlingual.analysis.read.collect import Run, Sweep
from mixlingual.analysis.statistics.contrasts import quantile
from mixlingual.analysis.statistics.gaps import Attempts, NotPossibleError
from mixlingual.analysis.statistics.response import Interval
from mixlingual.records import is_number

TARGET = "pool_loss"
REACHED = 0.9
"""Of the runs of a size and ratio, so many reach their target."""

EXCESS = 0.2
"""Of steps over the ideal ones, at the critical batch size."""

_WIDEST = 1e6
"""A ratio b / a at most so many times away from the batches of the arm is looked for."""


class Arm(NamedTuple):
    """Runs that differ in the batch size and the seed."""

    model: str
    negatives: int
    ratio: float
    draw: str
    """`step` where a whole step draws its kind, `group` where each group of it does; `step` of one kind alone."""


@dataclass(frozen=True)
class Reached:
    """When a run reached the target of its size."""

    run: str
    arm: Arm
    batch_size: int
    seed: int
    steps: float
    """Those it needed; those it had, where it is censored."""
    censored: bool
    noise: float | None
    """Gradient noise scale of its probes, in pairs: the mean of the kinds; None without probes."""


@dataclass(frozen=True)
class Fit:
    """Equation (1) of an arm."""

    a: float
    b: float
    deviation: float
    critical: Interval
    """(2), in pairs."""
    anchored: float
    """The paper's, in pairs."""
    runs: int
    reached: int
    """Of `runs`, those that are not censored."""


@dataclass(frozen=True)
class CriticalBatch:
    """What is known of an arm."""

    arm: Arm
    set: str
    """Development set of the target."""
    target: float
    """In nats."""
    reached: tuple[Reached, ...]
    fit: Fit | None


@dataclass(frozen=True)
class DrawTest:
    """Whether drawing a kind for each group of a batch makes larger batches pay, beside one for the whole step."""

    model: str
    negatives: int
    ratio: float
    factor: float
    """b / a with a kind for each group, over that with one for the step."""
    p: float
    """Two-sided, of the likelihood ratio with one b / a for both."""


@dataclass(frozen=True)
class SameBatch:
    """What an arm needs of the steps that another one needs, at the same batches."""

    arm: Arm
    other: Arm
    """It differs in the number of negatives, or in the way to draw kinds."""
    factor: Interval
    """Steps of the arm, over steps of the other; the mean of logarithms over batches and seeds that both reached."""
    pairs: int
    left_out: int
    """Batches and seeds of which one or both did not reach the target."""


@dataclass(frozen=True)
class CriticalBatches:
    """Everything on batch sizes."""

    arms: tuple[CriticalBatch, ...] = ()
    draws: tuple[DrawTest, ...] = ()
    same_batches: tuple[SameBatch, ...] = ()


def critical_batches(sweep: Sweep, level: float, attempt: Attempts) -> CriticalBatches:
    """That of a sweep; empty where it does not vary the batch size with a set number of negatives.

    The target of a size and ratio is the loss that nine of ten of its runs reached: ratios differ in what they can
    reach, and only arms of one ratio are compared.

    Args:
        sweep: as read from its folder.
        level: of intervals.
        attempt: keeps a gap in place of an arm that the runs do not allow.
    """
    runs = [run for run in sweep.runs if run.point and run.result and _negatives(run) is not None and _curves(run)]
    if len({_batch(run) for run in runs}) < 2:
        return CriticalBatches()
    found: list[CriticalBatch] = []
    draws: list[DrawTest] = []
    values: list[SameBatch] = []
    places = {(name, run.point.model, run.point.ratio) for run in runs for name in _curves(run) if run.point}
    for name, model, ratio in sorted(places):
        own = [r for r in runs if r.point and (r.point.model, r.point.ratio) == (model, ratio) and name in _curves(r)]
        target = float(np.quantile([min(loss for _, loss in _curves(run)[name]) for run in own], REACHED))
        reached = [_reached(run, name, target) for run in own]
        for arm in sorted({each.arm for each in reached}):
            here = tuple(each for each in reached if each.arm == arm)
            label = f"{name}, {model}, {arm.negatives} negatives, ratio {ratio:g}, a kind for each {arm.draw}"
            fit = attempt(f"{label}: critical batch size", partial(fit_arm, here, level))
            found.append(CriticalBatch(arm, name, target, here, fit))
        draws += _draw_tests(reached)
        values += _same_batches(reached, level)
    return CriticalBatches(tuple(found), tuple(draws), tuple(values))


def _batching(run: Run) -> dict[str, Any]:
    assert run.result is not None
    found: dict[str, Any] = run.result.config["batching"]
    return found


def _negatives(run: Run) -> int | None:
    found: int | None = _batching(run).get("negatives")
    return found


def _batch(run: Run) -> int:
    return int(_batching(run)["batch_size"])


def _curves(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Development set -> (step, loss over its pool), by step."""
    assert run.result is not None
    curves: dict[str, list[tuple[int, float]]] = {}
    for point in run.result.validation.get("points", []):
        for name, value in point.items():
            where, _, measure = name.rpartition("/")
            if measure == TARGET and is_number(value):
                curves.setdefault(where, []).append((int(point["step"]), float(value)))
    return curves


def _reached(run: Run, name: str, target: float) -> Reached:
    assert run.point is not None
    assert run.result is not None
    batching, point = _batching(run), run.point
    pure = point.ratio in (0.0, 1.0)
    arm = Arm(
        point.model,
        int(batching["negatives"]),
        point.ratio,
        "step" if pure or batching["granularity"] == "batch" else "group",
    )
    noises = [run.result.probes.get(f"noise_scale_{kind}") for kind in ("mono", "cross")]
    known = [float(noise) for noise in noises if is_number(noise)]
    steps, censored = steps_to(_curves(run)[name], target)
    return Reached(run.name, arm, _batch(run), point.seed, steps, censored, fmean(known) if known else None)


def steps_to(curve: Sequence[tuple[int, float]], target: float) -> tuple[float, bool]:
    """(steps, whether the curve ends before): where it first passes the target, between two points on the line."""
    earlier: tuple[int, float] | None = None
    for step, loss in curve:
        if loss <= target:
            if earlier is None or earlier[1] == loss:
                return float(max(step, 1)), False
            part = (earlier[1] - target) / (earlier[1] - loss)
            return max(1.0, earlier[0] + part * (step - earlier[0])), False
        earlier = step, loss
    return float(max(1, curve[-1][0])), True


class _Data(NamedTuple):
    """Runs of an arm, by run."""

    batch: np.ndarray
    log_steps: np.ndarray
    censored: np.ndarray

    @classmethod
    def of(cls, reached: Sequence[Reached]) -> _Data:
        return cls(
            np.array([each.batch_size for each in reached], dtype=float),
            np.log([each.steps for each in reached]),
            np.array([each.censored for each in reached], dtype=bool),
        )

    def likelihood(self, log_a: float, log_ratio: float, log_deviation: float) -> float:
        """Logarithm of the likelihood of (1), with b / a in place of b."""
        expected = log_a + np.logaddexp(0.0, log_ratio - np.log(self.batch))
        z = (self.log_steps - expected) / math.exp(log_deviation)
        density = -0.5 * z**2 - log_deviation - 0.5 * math.log(2 * math.pi)
        return float(np.where(self.censored, special.log_ndtr(-z), density).sum())

    def profile(self, log_ratio: float) -> tuple[float, float, float]:
        """(largest likelihood with this b / a, and log a and the logarithm of the deviation there)."""
        rest = self.log_steps - np.logaddexp(0.0, log_ratio - np.log(self.batch))
        start = float(rest.mean()), math.log(max(math.exp(_LEAST), float(rest.std())))
        if not self.censored.any():
            return self.likelihood(start[0], log_ratio, start[1]), *start
        best = optimize.minimize(
            lambda x: -self.likelihood(x[0], log_ratio, max(x[1], _LEAST)), start, method="Nelder-Mead",
            options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000},
        )  # fmt: skip
        return -float(best.fun), float(best.x[0]), max(float(best.x[1]), _LEAST)


_LEAST = math.log(1e-4)
"""Of the logarithm of the deviation: runs that lie on a curve exactly would have none."""


def fit_arm(reached: Sequence[Reached], level: float) -> Fit:
    """Equation (1) of runs.

    Args:
        reached: runs of one arm.
        level: of the interval.

    Raises:
        NotPossibleError: there are fewer than three batch sizes, or fewer than two of them, or than four runs, reached
            the target.
    """
    sizes = {each.batch_size for each in reached}
    there = {each.batch_size for each in reached if not each.censored}
    number = sum(not each.censored for each in reached)
    if len(sizes) < 3 or len(there) < 2 or number < 4:
        raise NotPossibleError(
            f"{number} runs of {len(there)} batch sizes, of {len(sizes)}, reached the target; it takes 4 runs of 2 "
            "sizes, of 3"
        )
    data = _Data.of(reached)
    low, high = math.log(data.batch.min() / _WIDEST), math.log(data.batch.max() * _WIDEST)
    at, most = _highest(lambda log_ratio: data.profile(log_ratio)[0], low, high)
    _, log_a, log_deviation = data.profile(at)
    drop = allowed_drop(number, level)

    def inside(log_ratio: float) -> float:
        return data.profile(log_ratio)[0] - (most - drop)

    ends = [
        math.exp(optimize.brentq(inside, *sorted((at, end)), xtol=1e-4)) if inside(end) < 0 else bound
        for end, bound in ((low, 0.0), (high, math.inf))
    ]
    ratio, a = math.exp(at), math.exp(log_a)
    critical = Interval(*(EXCESS * found for found in (ratio, *ends)))
    anchored = EXCESS * ratio + (1 + EXCESS) * min(sizes)
    return Fit(a, a * ratio, math.exp(log_deviation), critical, anchored, len(reached), number)


def allowed_drop(runs: int, level: float, parameters: int = 3) -> float:
    """How far the profile likelihood may fall within an interval: runs / 2 log(1 + F / freedom), which is exact where
    (1) is linear and nothing is censored.
    """
    freedom = max(1, runs - parameters)
    return 0.5 * runs * math.log1p(float(stats.f.ppf(level, 1, freedom)) / freedom)


def _highest(of: Any, low: float, high: float) -> tuple[float, float]:
    """(place, height) of the highest point: of a grid first, since the profile may have a plateau at either end."""
    grid = np.linspace(low, high, 60)
    heights = [of(x) for x in grid]
    top = int(np.argmax(heights))
    around = grid[max(0, top - 1)], grid[min(len(grid) - 1, top + 1)]
    found = optimize.minimize_scalar(lambda x: -of(x), bounds=around, method="bounded", options={"xatol": 1e-4})
    return (float(found.x), -float(found.fun)) if -found.fun > heights[top] else (float(grid[top]), heights[top])


def _draw_tests(reached: Sequence[Reached]) -> Iterator[DrawTest]:
    for group in sorted({each.arm for each in reached if each.arm.draw == "group"}):
        sides = [[each for each in reached if each.arm == group._replace(draw=draw)] for draw in ("step", "group")]
        try:
            yield _draw_test(group, *sides)
        except NotPossibleError:
            continue  # the fit of the arm says why


def _draw_test(arm: Arm, step: Sequence[Reached], group: Sequence[Reached]) -> DrawTest:
    fits = [fit_arm(side, 0.95) for side in (step, group)]
    data = [_Data.of(side) for side in (step, group)]
    apart = sum(
        each.likelihood(math.log(f.a), math.log(f.b / f.a), math.log(f.deviation))
        for each, f in zip(data, fits, strict=True)
    )
    low, high = (
        math.log(end)
        for end in (min(d.batch.min() for d in data) / _WIDEST, max(d.batch.max() for d in data) * _WIDEST)
    )
    _, together = _highest(lambda log_ratio: sum(each.profile(log_ratio)[0] for each in data), low, high)
    runs = sum(fit.reached for fit in fits)
    freedom = max(1, runs - 6)
    statistic = freedom * math.expm1(2 * max(0.0, apart - together) / runs)
    return DrawTest(
        arm.model, arm.negatives, arm.ratio, (fits[1].b / fits[1].a) / (fits[0].b / fits[0].a),
        float(stats.f.sf(statistic, 1, freedom)),
    )  # fmt: skip


def _same_batches(reached: Sequence[Reached], level: float) -> Iterator[SameBatch]:
    """More negatives in place of the next fewer, and a kind for each group in place of one for the step."""
    arms = sorted({each.arm for each in reached})
    counts = sorted({arm.negatives for arm in arms})
    compared = [
        (arm._replace(negatives=more), arm)
        for fewer, more in pairwise(counts)
        for arm in arms
        if arm.negatives == fewer
    ]
    compared += [(arm, arm._replace(draw="step")) for arm in arms if arm.draw == "group"]
    for pair in compared:
        own, other = ({(e.batch_size, e.seed): e for e in reached if e.arm == arm} for arm in pair)
        both = [(own[place], other[place]) for place in own.keys() & other.keys()]
        logs = [math.log(a.steps / b.steps) for a, b in both if not (a.censored or b.censored)]
        if len(logs) > 1:
            mean, error = fmean(logs), float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
            half = quantile(level, len(logs) - 1) * error
            factor = Interval(*(math.exp(end) for end in (mean, mean - half, mean + half)))
            yield SameBatch(*pair, factor, len(logs), len(both) - len(logs))
