"""The figures that docs/results states are those of the tables that the report left beside it."""

from pathlib import Path

import pandas as pd
import pytest

RESULTS = Path(__file__).parents[1] / "docs" / "results"
TEXT = (RESULTS / "README.md").read_text(encoding="utf-8")


def table(name):
    return pd.read_csv(RESULTS / "me5_grid" / f"statistics_{name}.csv")


def shown(row, name=""):
    """A value with its interval, as the text has it."""
    ends = (row[name or "value"], *(row[f"{name}_{end}" if name else end] for end in ("low", "high")))
    form = "+,.0f" if row.metric == "rank_distance" else "+.4f"
    value, low, high = (format(end, form) for end in ends)
    return f"{value} ({low} to {high})"


@pytest.mark.parametrize("name", ["gains", "contrasts"])
def test_every_gain_and_contrast_is_in_the_text(name):
    rows = table(name)
    assert len(rows) == {"gains": 24, "contrasts": 8}[name]
    assert [text for _, row in rows.iterrows() if (text := shown(row)) not in TEXT] == []


def test_every_share_is_in_the_text():
    rows = table("debiasing").query("correction == 'centering' and share.notna() and mixing > 0")
    assert len(rows)
    for _, row in rows.iterrows():
        share = f"{row.share:.0%} ({row.share_low:.0%} to {row.share_high:.0%})"
        line = " | ".join((shown(row, "mixing"), shown(row, "correcting"), share, shown(row, "remaining")))
        assert line in TEXT


def test_no_gain_is_separably_above_0():
    """Its first finding, in words."""
    assert (table("gains").low <= 0).all()


def test_the_separable_contrast_is_the_one_that_the_words_name():
    separable = table("contrasts").query("p < 0.05")
    assert list(separable[["benchmark", "setting", "metric"]].itertuples(index=False, name=None)) == [
        ("xquad_r", "multi", "map")
    ]
    assert f"{separable.value.iloc[0]:.3f}".replace("-0", "") in TEXT
