"""Images and methods of any name survive every table."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tiny_runs import CLASSES, config, run, table

from reciprocam_bench.reporting.report import report

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("label", ["2021", "007", "1e3", "nan", "a,b", 'say "x"', "Größe", "$\\frac$"])
def test_a_method_may_have_any_label(pictures: Path, tmp_path: Path, label: str) -> None:
    methods = [{"name": "gradcam", "label": label}]
    settings = config(pictures, methods=methods, limit=2, maps=int("$" in label))
    run(settings, tmp_path / "run")
    assert f" {label} " in report(tmp_path / "run", "markdown")
    summary = pd.read_csv(tmp_path / "run/summary.csv", dtype=str, keep_default_na=False)
    assert summary[["method", "images"]].to_numpy().tolist() == [[label, "2"]]


@pytest.mark.parametrize(
    "name", ["with space.png", "ünï.png", "a,b.png", "NA.png", "001.png", "x\u2028y.png", "$a_$.png"]
)
def test_an_image_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / "my pictures ☃"
    root.mkdir()
    Image.effect_noise((40, 40), 50).save(root / name)
    settings = config(root, dataset={"name": "folder", "root": str(root)}, methods=["gradcam"], maps=1)
    run(settings, tmp_path / "run")
    assert table(tmp_path / "run", "summary")["images"].tolist() == [1]
    assert len(list((tmp_path / "run" / "maps").iterdir())) == 1


def test_an_image_name_that_is_no_text_is_no_crash(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    Image.effect_noise((40, 40), 50).save(root / "good.png")
    (root / "bad\udcff.png").write_bytes((root / "good.png").read_bytes())
    run(config(root, dataset={"name": "folder", "root": str(root)}, methods=["gradcam"]), tmp_path / "run")
    assert table(tmp_path / "run", "summary")["images"].tolist() == [2]


def test_same_file_name_in_two_class_folders_gives_two_rows(tmp_path: Path) -> None:
    for wnid in CLASSES:
        (tmp_path / "p" / wnid).mkdir(parents=True)
        Image.effect_noise((40, 40), 50).save(tmp_path / "p" / wnid / "same.png")
    run(config(tmp_path / "p", methods=["gradcam"], maps=3), tmp_path / "run")
    rows = table(tmp_path / "run")
    assert dict(zip(rows["image"], rows["label"], strict=True)) == {
        f"{wnid}/same.png": label for wnid, label in CLASSES.items()
    }
    assert len(list((tmp_path / "run" / "maps").iterdir())) == 4
