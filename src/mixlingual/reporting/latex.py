"""Writes tables as LaTeX, for papers: with booktabs, and with everything escaped that LaTeX would read as a command."""

from __future__ import annotations

from collections.abc import Sequence

from mixlingual.reporting.labels import file_name
from mixlingual.reporting.tables import Cell, Table

_ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "\n": " ",
    }
)


def latex_tables(tables: Sequence[Table], benchmark: str) -> str:
    r"""Writes the tables of a benchmark as `table` environments, one after the other; the best values are bold.

    They need `\usepackage{booktabs}`; names in scripts other than Latin need XeLaTeX or LuaLaTeX.
    """
    needs = "% Needs \\usepackage{booktabs}. Bold: the best mean of a row, not a test.\n"
    label = file_name(benchmark).replace("_", "-")
    return needs + "\n".join(_latex(table, f"tab:{label}-{number}") for number, table in enumerate(tables, 1))


def _latex(table: Table, label: str) -> str:
    body = [f"{_row(row)} \\\\" for row in table.rows]
    lines = [
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{table.title.translate(_ESCAPES)}}}",
        f"\\label{{{label}}}",
        f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"\toprule",
        f"{_row([Cell(title) for title in table.header])} \\\\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[Cell]) -> str:
    texts = ((cell.text.translate(_ESCAPES), cell.best) for cell in cells)
    return " & ".join(f"\\textbf{{{text}}}" if best else text for text, best in texts)
