"""What is printed as LaTeX compiles: every kind of table, with names that LaTeX takes for commands."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import METRICS, calls, rows, time, values, write

from reciprocam_bench.protocols.papers import paper_names
from reciprocam_bench.reporting.compare import compare
from reciprocam_bench.reporting.latex import to_latex
from reciprocam_bench.reporting.paper import paper_report
from reciprocam_bench.reporting.report import report
from reciprocam_bench.reporting.summary import write_tables

AWKWARD = r"a_b %&#$ ~^ \x{y} <z> [1] \"q\" 'r' é ß … — ± 10 ≤ ≥ σ Ω"
HEAD = r"\documentclass{article}\usepackage{booktabs, graphicx}\begin{document}"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A judged and timed run of three methods, one of them awkwardly named, with a metric of an awkward title."""
    metric = {**METRICS["increase"], "title": "Up_to 100 % & {more} \\ $x^2$"}
    methods = {AWKWARD: values(30, 1), "gradcam": values(30, 2), "scorecam": values(30, 3, 0.3)}
    config = {"methods": [{"name": "cam", "label": AWKWARD}, "gradcam", "scorecam"]}
    config["timing"] = {"relative_to": "scorecam"}
    folder = write(tmp_path / "run_1", rows(methods), metrics={"increase": metric}, config=config)
    write_tables(folder)
    return time(folder, calls({AWKWARD: np.full(30, 2.0), "scorecam": np.full(30, 600.0)}), "scorecam")


def compiled(text: str, place: Path) -> None:
    (place / "t.tex").write_text(f"{HEAD}\n{text}\\end{{document}}\n", "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-800:]
    assert "too large for page" not in done.stdout


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_every_kind_of_table_compiles(run: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "run_2", rows({"gradcam": values(30, 4), "scorecam": values(30, 5)}))
    write_tables(other)
    texts = [report(run, "latex"), compare([run], "latex"), compare([run, other], "latex", output=tmp_path)]
    texts += [paper_report([run], "latex", paper) for paper in paper_names()]
    assert all(r"\begin{tabular}" in text for text in texts)
    assert r"\textbf{" in texts[0] and r"\_b" in texts[0] and r"\_b" in texts[1]
    compiled("\n".join(texts), tmp_path)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_all_rows_of_a_long_table_are_printed(tmp_path: Path) -> None:
    table = pd.DataFrame({"method": [f"*m{i}" for i in range(200)], "ADCC": [f"{i}.00" for i in range(200)]})
    text = to_latex(table, "Many_rows", "many")
    assert text.count("\\label{many}") == 1 and text.count("(continued)") == 4
    compiled(text, tmp_path)
    assert r"{*}m0 & 0.00 \\" in text and r"{*}m199 & 199.00 \\" in text


def test_letters_that_pdflatex_has_not_are_told() -> None:
    packages, hint, *_ = to_latex(pd.DataFrame({"method": ["\u732b ą «é»"]}), "", "cat").splitlines()
    assert packages.startswith(r"% \usepackage")
    assert hint == "% compile with xelatex or lualatex: pdflatex may not set \u732b ą « »"
    assert r"\begin{table}" in to_latex(pd.DataFrame({"method": ["é σ ≤"]}), "", "cat").splitlines()[1]
