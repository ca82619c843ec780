"""The figures that docs/results states are those of the tables that the report left beside it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixlingual.analysis.read.collect import read_sweep
from mixlingual.analysis.read.parts import restore
from mixlingual.analysis.tables.grid import results_table
from mixlingual.reporting.page import without_dead_links

RESULTS = Path(__file__).parents[1] / "docs" / "results"
TEXT = (RESULTS / "README.md").read_text(encoding="utf-8")


GRID = RESULTS / "me5_grid"
PLACE = ["benchmark", "setting", "metric", "model"]


def table(name, folder=GRID):
    return pd.read_csv(folder / f"statistics_{name}.csv")


def shown(row, name=""):
    """A value with its interval, as the text has it."""
    ends = (row[name or "value"], *(row[f"{name}_{end}" if name else end] for end in ("low", "high")))
    form = "+,.0f" if row.metric == "rank_distance" else "+.4f"
    value, low, high = (format(end, form) for end in ends)
    return f"{value} ({low} to {high})"


def between_0_and_1(value):
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("0.", ".")


@pytest.mark.parametrize("page", sorted(RESULTS.glob("*/index.html")), ids=lambda page: page.parent.name)
def test_every_link_of_a_published_page_leads_somewhere(page):
    """Where one does not: python -m tools.publish_report FOLDER."""
    html = page.read_text(encoding="utf-8")
    assert without_dead_links(html, page.parent) == html


@pytest.mark.parametrize(("name", "number"), [("gains", 32), ("contrasts", 8)])
def test_every_gain_and_contrast_is_in_the_text(name, number):
    rows = table(name)
    assert len(rows) == number
    assert [text for _, row in rows.iterrows() if (text := shown(row)) not in TEXT] == []


def test_every_verdict_is_in_the_text():
    for _, row in table("gains").iterrows():
        assert f"{shown(row)}, {row.verdict}" in TEXT
    for _, row in table("contrasts").iterrows():
        form = "+,.0f" if row.metric == "rank_distance" else "+.4f"
        together = f"{format(row.low_all, form)} to {format(row.high_all, form)}"
        assert f"| {shown(row)} | {together} | {row.p:.3f} | {row.verdict} |" in TEXT


def test_every_gain_over_monolingual_batches_is_in_the_text():
    rows = table("contrasts_fixed").query("against == 1")
    assert len(rows) == 8
    for _, row in rows.iterrows():
        p = f"{row.p:.1e}" if row.p < 0.001 else f"{row.p:.3f}"
        assert f"{shown(row)} | {p} |" in TEXT


def test_every_best_ratio_is_in_the_text():
    rows = table("best_ratios").query("setting in ('mono', 'cross', 'multi')")
    assert len(rows) == 32
    for _, row in rows.iterrows():
        best, low, high = map(between_0_and_1, (row.best, row.best_low, row.best_high))
        assert f"{best} ({low} to {high})" in TEXT


def test_the_gains_follow_from_the_scores_by_question():
    """The mean at 0.5, moved from the share that its runs drew along the curve, less the better pure ratio."""
    scores = pd.read_parquet(GRID / "questions.parquet").rename(columns={"measure": "metric"})
    runs = pd.read_csv(GRID / "results.csv").query("series == 'hybrid'")[["run", "model", "ratio"]].drop_duplicates()
    batches = pd.read_csv(GRID / "batches.csv")[["run", "planned_ratio", "realised_ratio"]]
    of_runs = scores.groupby(["benchmark", "setting", "metric", "run"], as_index=False)["score"].mean().merge(runs)
    of_runs = of_runs.merge(batches).assign(shift=lambda each: each.realised_ratio - each.planned_ratio)
    gains = table("gains").set_index(PLACE)["value"]
    for place, own in of_runs.groupby(PLACE):
        cells = own.groupby("ratio")[["score", "shift"]].mean()
        slope = np.polyder(np.polyfit(cells.index, cells["score"], min(3, len(cells) - 1)))
        mean = cells["score"] - cells["shift"] * np.polyval(slope, cells.index)
        lower = place[2] == "rank_distance"
        better = min(mean[0.0], mean[1.0]) if lower else max(mean[0.0], mean[1.0])
        assert gains[place] == pytest.approx((mean[0.5] - better) * (-1 if lower else 1), rel=1e-4, abs=1e-6)


def test_the_published_report_can_be_a_part(tmp_path):
    restore([GRID], "me5_grid", tmp_path)
    sweep = read_sweep(tmp_path)
    assert len(sweep.in_state("done")) == pd.read_csv(GRID / "batches.csv")["run"].nunique()
    published = pd.read_csv(GRID / "results.csv")
    found = results_table(sweep)
    columns = ["run", "series", "benchmark", "setting", "metric"]
    pd.testing.assert_series_equal(
        found.set_index(columns)["value"].sort_index(), published.set_index(columns)["value"].sort_index()
    )


def test_every_share_is_in_the_text():
    rows = pd.concat([table("debiasing", GRID / "by_part" / part) for part in ("1", "2")])
    rows = rows.query("correction == 'centering' and share.notna() and mixing > 0")
    assert set(rows.model) == {"me5_small_l2", "me5_small"}
    for _, row in rows.iterrows():
        share = f"{row.share:.0%} ({row.share_low:.0%} to {row.share_high:.0%})"
        line = " | ".join((shown(row, "mixing"), shown(row, "correcting"), share, shown(row, "remaining")))
        assert line in TEXT


def test_no_gain_is_above_0():
    """Its first finding, in words."""
    assert not (table("gains").verdict == "better").any()
    assert (table("gains").low <= 0).all()


def test_the_effects_from_the_better_pure_ratio_are_the_gains():
    """Two ways to the same differences; positive gains are better, effects are in the unit of the measure."""
    effects = table("effects").query("reference == 'the better pure ratio' and ratio == 0.5").set_index(PLACE)
    gains = table("gains").set_index(PLACE)
    assert len(effects) == len(gains) == 32
    for place, gain in gains.iterrows():
        sign = -1 if place[2] == "rank_distance" else 1
        assert effects.loc[place, "value"] == pytest.approx(sign * gain["value"], rel=1e-6)
        assert effects.loc[place, "error"] == pytest.approx(gain["error"], rel=1e-6)


def test_two_contrasts_of_opposite_sign_are_separable():
    """Its second, which holds on the other scales too."""
    place = ["benchmark", "setting", "metric"]
    words = table("contrasts").set_index(place)["verdict"].to_dict()
    sure = {key: word for key, word in words.items() if word != "undecided"}
    assert sure == {("mlqa_r", "mono", "map"): "better", ("xquad_r", "multi", "map"): "worse"}
    scales = table("contrasts_scales").set_index([*place, "scale"]).sort_index()
    for key, word in sure.items():
        other = scales.loc[key]
        assert len(other) == 2
        assert ((other["value"] > 0) == (word == "better")).all()
        assert (other["p"] < 0.05).all()


def test_no_slope_is_separable():
    """Its fourth."""
    slopes = table("slopes")
    assert len(slopes) == 8
    assert ((slopes.low <= 0) & (slopes.high >= 0)).all()


def test_where_the_model_of_all_cells_finds_an_interaction():
    """Its third: in the pools of all and inside MLQA-R's languages; not across languages."""
    rows = table("size_by_ratio").query("term == 'p of the interaction'")
    p = rows.set_index(["benchmark", "setting", "metric"])["value"]
    pools = p.index.get_level_values("setting") == "multi"
    assert (len(p), sum(pools)) == (8, 4)
    assert (p[pools] < 0.05).all()
    assert (p[pools & (p.index.get_level_values("metric") == "map")] < 0.001).all()
    assert p["mlqa_r", "mono", "map"] * 8 < 0.05
    assert (p[p.index.get_level_values("setting") == "cross"] > 0.05).all()
