"""``rcam-bench compare --agreement``: rank correlations of maps that lie in a run folder."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy.stats import spearmanr, t
from small_maps import TRIALS, keep
from small_runs import rows, values, write

from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.agreement import agree, on_grid
from reciprocam_bench.runfolder.raw_maps import DRAWN, PAGE, drawn_path

METHODS = ["cam", "gradcam", "reciprocam[mask=gaussian]"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "run", rows({method: values(3) for method in METHODS}))


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(agree(folder, "csv"))).set_index(["method", "against"])


def test_it_is_the_mean_over_images_of_scipys_correlation(run: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 4, 7, 7)).round(1)
    keep(run, "cam", a)
    keep(run, "gradcam", b)
    found = table(run)
    assert list(found.index) == [("gradcam", "cam")] and (run / "agreement.csv").read_text() == agree(run, "csv")
    of_trial = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    of_image = [of_trial[0], np.mean(of_trial[1:3]), of_trial[3]]
    row = found.iloc[0]
    half = t.ppf(0.975, 2) * np.std(of_image, ddof=1) / 3**0.5
    assert row["correlation"] == pytest.approx(np.mean(of_image), abs=1e-5)
    assert (row["low"], row["high"]) == pytest.approx((np.mean(of_image) - half, np.mean(of_image) + half), abs=1e-5)
    assert (row["images"], row["left_out"], row["protocol"]) == (3, 0, "poppi-2021")


def test_the_same_order_is_1_and_the_reverse_minus_1(run: Path) -> None:
    maps = np.random.default_rng(1).random((4, 5, 5))
    for method, other in zip(METHODS, (maps, maps**3, -maps), strict=True):
        keep(run, method, other)
    assert table(run)["correlation"].round(6).tolist() == [1, -1, -1]


def test_maps_without_order_and_trials_that_one_method_lacks_are_left_out(run: Path) -> None:
    maps = np.random.default_rng(2).random((4, 3, 3))
    blank = maps.copy()
    blank[0], blank[1, 0, 0] = 0.5, np.nan
    keep(run, "cam", maps)
    keep(run, "gradcam", blank[:3], TRIALS[:3])
    row = table(run).iloc[0]
    assert (row["images"], row["left_out"]) == (1, 2) and np.isnan(row["low"]) and row["correlation"] == 1


def test_a_trial_that_two_files_hold_counts_once(run: Path) -> None:
    maps = np.random.default_rng(3).random((4, 3, 3))
    for method in METHODS[:2]:
        keep(run, method, maps)
        keep(run, method, maps[3:], TRIALS[3:], "y")
    assert table(run)["images"].tolist() == [3]


def test_maps_of_two_sizes_are_compared_on_the_coarser_grid(run: Path) -> None:
    maps = np.random.default_rng(4).random((4, 3, 3))
    keep(run, "cam", maps)
    keep(run, "gradcam", maps.repeat(4, 1).repeat(5, 2))
    assert table(run)["correlation"].tolist() == pytest.approx([1])
    cells = on_grid(np.arange(5.0)[None, None].repeat(2, 1), 1, 2)
    assert cells.tolist() == [[[1, 3]]]  # 0 1 2 and 2 3 4


def test_without_save_maps_the_images_of_the_page_are_asked(run: Path) -> None:
    rng, found = np.random.default_rng(6), []
    for image, kind, size in (("000.png", DRAWN, 32), ("001.png", PAGE, 16)):
        maps = {method: rng.random((size, size), dtype=np.float32) for method in METHODS[:2]}
        path = drawn_path(run, "poppi-2021", image, 1, kind)
        path.parent.mkdir(parents=True)
        save_file(maps, path)
        coarse = [on_grid(maps[method][None], 16, 16).ravel() for method in METHODS[:2]]
        found.append(spearmanr(*coarse).statistic)
    row = table(run).loc[("gradcam", "cam")]
    assert (row["images"], row["left_out"]) == (2, 0) and row["correlation"] == pytest.approx(np.mean(found), abs=1e-5)
    keep(run, "cam", np.ones((4, 2, 2)))
    with pytest.raises(UserError, match="keeps no raw maps of two methods"):
        agree(run, "csv")  # maps of all images were asked for, and of one method they are there


def test_the_text_is_a_table_of_methods_by_methods(run: Path) -> None:
    maps = np.random.default_rng(5).random((4, 3, 3))
    for method in METHODS:
        keep(run, method, maps)
    text = agree(run, "markdown")
    assert text.startswith(
        "torchvision/resnet18 on imagenet, mean rank correlation of maps with 95 % interval (protocol poppi"
    )
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")] == [
        "method",
        *METHODS[1:],
    ]
    assert text.count("1.00 (1.00 to 1.00)") == 3
    assert r"\begin{tabular}{lrr}" in agree(run, "latex") and "gradcam" in agree(run, "terminal")


def test_a_run_that_kept_no_maps_is_told_what_to_do(run: Path) -> None:
    (run / "raw_maps/drawn/poppi-2021").mkdir(parents=True)
    with pytest.raises(UserError, match="keeps no raw maps of two methods; run two with --fresh --set maps=1 "):
        agree(run, "csv")
    keep(run, "cam", np.ones((4, 2, 2))).write_bytes(b"damaged")
    keep(run, "gradcam", np.ones((4, 2, 2)))
    with pytest.raises(UserError, match="keeps no raw maps of two methods"):
        agree(run, "csv")
    assert not (run / "agreement.csv").exists()


def test_a_constant_map_has_no_order_on_any_grid() -> None:
    values = np.random.default_rng(0).uniform(0, 1, (50, 1, 1)).astype(np.float32)
    flat = np.broadcast_to(values, (50, 14, 14)).copy()
    for height in (8, 9, 14):
        gridded = on_grid(flat, height, height)
        assert (gridded == values).all()
