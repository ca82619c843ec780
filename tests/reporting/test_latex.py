from mixlingual.reporting.latex import latex_tables
from mixlingual.reporting.tables import Cell, Table


def test_a_table_as_latex():
    table = Table("mAP, 2 seeds", ["size / ratio", "0", "0.5"], [[Cell("base"), Cell("0.5"), Cell("0.6", best=True)]])
    assert latex_tables([table], "mlqa_r") == (
        "% Needs \\usepackage{booktabs}. Bold: the best mean of a row, not a test.\n"
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{mAP, 2 seeds}\n"
        "\\label{tab:mlqa-r-1}\n"
        "\\begin{tabular}{lrr}\n"
        "\\toprule\n"
        "size / ratio & 0 & 0.5 \\\\\n"
        "\\midrule\n"
        "base & 0.5 & \\textbf{0.6} \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\end{table}\n"
    )


def test_names_are_no_commands():
    evil = "a&b_c%d#e$f{g}h~i^j\\input<k>\nl ü"
    text = latex_tables([Table(evil, [evil], [[Cell(evil, best=True)]])], "../x y")
    escaped = (
        r"a\&b\_c\%d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j"
        r"\textbackslash{}input\textless{}k\textgreater{} l ü"
    )
    assert f"\\caption{{{escaped}}}\n" in text
    assert f"\\textbf{{{escaped}}} \\\\\n" in text
    assert "\\label{tab:..-x-y-1}" in text
