"""The pointing game from the command line, on the real subsets."""

import csv

import pytest

from reciprocam_bench.cli import main

pytestmark = pytest.mark.slow


def _run(monkeypatch, words):
    monkeypatch.setattr("sys.argv", ["rcam-bench", *words.split()])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0


def _table(path):
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


@pytest.fixture
def roots(data, weights_dir, monkeypatch):
    monkeypatch.setenv("VOC_ROOT", str(data / "VOCdevkit"))
    monkeypatch.setenv("COCO_ROOT", str(data / "coco"))
    monkeypatch.setenv("IMAGENET_ROOT", str(data / "imagenet"))
    monkeypatch.setenv("IMAGENET_BOXES", str(data / "imagenet_boxes/val"))


FAST = "--set backbone.model=torchvision/resnet18 --set methods=[gradcam,center] --set maps=0 --quiet"


def test_voc_rows_are_trials_and_their_classes_come_from_wordnet(roots, tmp_path, monkeypatch):
    _run(monkeypatch, f"run --config resnet50_voc07 --limit 12 {FAST} --output {tmp_path / 'run'}")
    rows = _table(tmp_path / "run/per_image.csv")
    assert "cat" in {r["category"] for r in rows} and "person" not in {r["category"] for r in rows}
    for row in rows:
        assert row["status"] in ("ok", "constant") and row["pointing_game"] in ("0", "1")
        assert float(row["pointing_game_mask"]) <= float(row["pointing_game"])  # no tolerance is stricter
    (summary, _) = _table(tmp_path / "run/summary.csv")
    assert summary["classes"] == "imagenet classes by wordnet" and summary["difficult_by"] == "rule"
    assert int(summary["trials"]) == len(rows) / 2
    skipped = _table(tmp_path / "run/skipped.csv")
    assert any("'person'" in r["reason"] and "no output" in r["reason"] for r in skipped)
    classes = _table(tmp_path / "run/per_class.csv")
    of_gradcam = [float(r["pointing_game"]) for r in classes if r["method"] == "gradcam"]
    assert float(summary["pointing_game"]) == pytest.approx(sum(of_gradcam) / len(of_gradcam), abs=1e-3)


def test_coco_masks_and_imagenet_boxes_run(roots, tmp_path, monkeypatch):
    coco = "--set dataset.annotations=annotations/instances_val2017.json"
    _run(monkeypatch, f"run --config resnet50_coco14 {coco} --limit 4 {FAST} --output {tmp_path / 'coco'}")
    _run(monkeypatch, f"run --config resnet50_imagenet_boxes --limit 6 {FAST} --output {tmp_path / 'boxes'}")
    assert _table(tmp_path / "coco/summary.csv")[0]["dataset"] == "coco-val2017"
    boxes = _table(tmp_path / "boxes/summary.csv")[0]
    assert boxes["trials"] == boxes["images"] == "6" and boxes["classes"] == "label"
    assert float(boxes["pointing_game_box"]) >= 50
