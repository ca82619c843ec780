"""Takes means of the per-query table by setting: over languages or pairs, over queries, and of each group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixlingual.measures.registry import METRICS, is_depth_column, rank_columns

Means = dict[str, float | int]


def aggregate(table: pd.DataFrame) -> dict[str, Any]:
    """Gives, for each setting, its macro means, its `micro` means, and the means of each of its languages or pairs.

    Settings without rows are left out. Pairs are named QUERY_LANGUAGE-CANDIDATE_LANGUAGE.
    """
    sections: dict[str, Any] = {}
    for setting, rows in table.groupby("setting", sort=False):
        cross = setting == "cross"
        language = rows["query_language"]
        means = _group_means(rows, language + "-" + rows["candidate_language"] if cross else language)
        section = {**macro(list(means.values())), "micro": _means(rows), "pairs" if cross else "languages": means}
        if cross:
            section["query_languages"] = _macro_by(rows, means, "query_language")
            section["candidate_languages"] = _macro_by(rows, means, "candidate_language")
        sections[str(setting)] = section
    return sections


def macro(groups: list[Means]) -> Means:
    """Takes the mean of each measure over the groups that have it; numbers of queries are left out."""
    measures = dict.fromkeys(measure for group in groups for measure in group if measure != "queries")
    return {measure: float(np.mean([group[measure] for group in groups if measure in group])) for measure in measures}


def _macro_by(rows: pd.DataFrame, means: dict[str, Means], side: str) -> dict[str, Means]:
    """Gives, for each language on one side, macro means over the pairs that it is in."""
    pairs = rows[["query_language", "candidate_language"]].drop_duplicates()
    named = pairs.assign(name=pairs["query_language"] + "-" + pairs["candidate_language"])
    return {str(key): macro([means[name] for name in part["name"]]) for key, part in named.groupby(side, sort=False)}


def _group_means(rows: pd.DataFrame, key: pd.Series) -> dict[str, Means]:
    return {str(name): _means(part) for name, part in rows.groupby(key, sort=False)}


def _means(rows: pd.DataFrame) -> Means:
    """Takes means over queries, and counts them."""
    of_ranks = rank_columns()
    columns = [column for column in rows if column in of_ranks or is_depth_column(column)]
    names = {column: of_ranks[column].name if column in of_ranks else column for column in columns}
    means: Means = {name: float(rows[column].mean()) for column, name in names.items()}
    averages = [measure for measure in METRICS.values() if measure.column and not measure.of_ranks]
    for measure in sorted(averages, key=lambda measure: measure.average != "mean"):
        if rows[measure.column].notna().any():
            means[measure.name] = float(rows[measure.column].agg(measure.average))
    return {**means, "queries": len(rows)}
