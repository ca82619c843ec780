"""Reads what a run's validation.csv says, also while the run trains."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TypeGuard

from mixlingual.layout import VALIDATION
from mixlingual.records import is_number


def read_points(folder: Path) -> list[dict[str, float]]:
    """Returns the validations of the run in a folder, in order; none where there is no such file, or a damaged one.

    Each has the `step` and the `pairs` that were trained on before, the `seconds` that it took, the `value` by which
    validations are compared, and the figures as SET/loss and SET/SETTING/MEASURE.
    """
    try:
        with (folder / VALIDATION).open(newline="", encoding="utf-8") as file:
            points = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError):
        return []
    return [point for point in points if is_point(point)]


def is_point(content: object) -> TypeGuard[dict[str, float]]:
    """Whether something read from a file is a validation; its figures may still be no numbers."""
    return isinstance(content, dict) and all(is_number(content.get(name)) for name in ("step", "pairs", "value"))
