"""Picture sheets of a run: which images, which maps, what is marked, and what is not explained twice."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import config, counted, draw, draw_classes, run, table

from reciprocam_bench.engine import sheets
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.figures import Strip

pytestmark = pytest.mark.slow

BACKBONE = {"model": "timm/test_resnet", "weights": "none"}
SMALL = {"metrics": ["average_drop", "increase"], "limit": 3}
VOC = """<annotation><size><width>60</width><height>40</height></size>{}</annotation>"""
OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>11</ymin><xmax>30</xmax><ymax>20</ymax></bndbox></object>"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Strip]]:
    """What is drawn, by the name of the file; nothing is written."""
    found: dict[str, list[Strip]] = {}

    def record(strips: list[Strip], path: Path, style: object, heading: str) -> list[Path]:
        found[path.name] = [*strips]
        found.setdefault("headings", []).append(heading)
        return []

    monkeypatch.setattr(sheets, "save_figure", record)
    return found


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "maps").iterdir())


def test_the_first_images_have_a_sheet_and_all_have_one_figure(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, maps=2, **SMALL), tmp_path / "run")
    first = [Path(image).stem for image in table(tmp_path / "run", "images")["image"][:2]]
    assert names(tmp_path / "run") == [f"000_{first[0]}.png", f"001_{first[1]}.png", "figure.png"]


def test_chosen_images_have_sheets_in_the_formats_asked_for(pictures: Path, tmp_path: Path) -> None:
    image = "n03028079/79_1.png"
    changes = {**SMALL, "limit": None, "maps": [image], "pictures": {"formats": ["pdf", "svg"]}}
    run(config(pictures, **changes), tmp_path / "run")
    place = table(tmp_path / "run", "images")["image"].tolist().index(image)
    assert names(tmp_path / "run") == [f"{place:03d}_79_1.pdf", f"{place:03d}_79_1.svg"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"maps": ["n03028079/79_9.png"]},
            "maps: 'n03028079/79_9.png' is no image of this run; did you mean 'n03028079/",
        ),
        ({"maps": -1}, "test: maps: give a number of images or a list of image ids, not -1"),
        ({"maps": [1.5]}, "test: maps: give a number of images or a list of image ids"),
        (
            {"pictures": {"formats": "gif"}},
            "test: pictures.formats: Input should be 'png', 'pdf' or 'svg', not",
        ),
        ({"pictures": {"colour": "jet"}}, "test: unknown key 'pictures.colour'; did you mean 'colormap'?"),
        ({"pictures": {"colormap": "jett"}}, "pictures.colormap: unknown colour map 'jett'; did you mean 'jet'?"),
        ({"pictures": {"metrics": ["adcc"]}}, "pictures.metrics: 'adcc' is no metric of this run with one value an"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    pictures: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(UserError) as error:
        run(config(pictures, **{**SMALL, "limit": None, **changes}), tmp_path / "run")
    assert str(error.value).startswith(message)
    assert not (tmp_path / "run").exists()


def test_a_strip_shows_all_of_the_picture_with_scores_and_names(tmp_path: Path, drawn: dict[str, list[Strip]]) -> None:
    root = draw_classes(tmp_path / "p")
    for path in root.rglob("*.png"):
        Image.open(path).resize((90, 40)).save(path)
    settings = config(root, maps=1, **SMALL, backbone=BACKBONE | {"class_names": [f"kind {i}" for i in range(1000)]})
    run(settings, tmp_path / "run")
    rows = table(tmp_path / "run").iloc[:2]
    (name, found), *_ = ((n, s[0]) for n, s in drawn.items() if n != "headings")
    assert name.startswith("000_") and found.size == (90, 40)
    assert [panel.title for panel in found.panels] == ["gradcam", "reciprocam"]
    assert [p.caption for p in found.panels] == [
        ("constant, " if status == "constant" else "") + f"Drop ↓ {100 * value:.1f} %"
        for status, value in zip(rows["status"], rows["average_drop"], strict=True)
    ]
    assert all(p.heat is not None and p.heat.shape == (40, 90) and p.peak is None for p in found.panels)
    label, predicted = rows["label"].iloc[0], rows["predicted"].iloc[0]
    assert f"explained: kind {predicted} (p = 0.0" in found.caption and f"labelled: kind {label}" in found.caption
    assert found.view == pytest.approx((25, 0, 65, 40))
    assert drawn["headings"] == [
        "timm/test_resnet on imagenet\nthe weights are random (weights: none): maps of such a network look convincing "
        "and score well, and mean nothing"
    ]


def test_boxes_and_the_maximum_are_marked_where_objects_are_annotated(
    tmp_path: Path, drawn: dict[str, list[Strip]]
) -> None:
    root = tmp_path / "VOC2007"
    draw(["JPEGImages/a.jpg"], root)
    Image.open(root / "JPEGImages/a.jpg").resize((60, 40)).save(root / "JPEGImages/a.jpg")
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets/Main/test.txt").write_text("a")
    objects = OBJECT.format("dog", 1) + OBJECT.format("dog", 6) + OBJECT.format("car", 11)
    (root / "Annotations/a.xml").write_text(VOC.format(objects))
    settings = {"dataset": {"name": "voc", "root": str(root)}, "protocol": "torchray-2019", "classes": "present"}
    run(config(root, **settings, metrics=["pointing_game"], maps=1), tmp_path / "run")
    assert sorted(drawn) == ["000_a_car", "000_a_dog", "figure", "headings"]
    boxes = {n: [(b.left, b.top, b.right, b.bottom) for b in drawn[n][0].boxes] for n in ("000_a_car", "000_a_dog")}
    assert boxes == {"000_a_car": [(10, 10, 30, 20)], "000_a_dog": [(0, 10, 30, 20), (5, 10, 30, 20)]}
    hits = table(tmp_path / "run").set_index(["category", "method"])["pointing_game"]
    for category in ("car", "dog"):
        (found,) = drawn[f"000_a_{category}"]
        assert found.caption.endswith(f", for: {category}")
        for panel in found.panels:
            assert panel.heat is not None and panel.peak is not None
            y, x = np.unravel_index(panel.heat.argmax(), panel.heat.shape)
            assert panel.peak == (x + 0.5, y + 0.5)
            assert panel.caption == f"Pointing ↑ {100 * float(hits[category, panel.title]):.1f} %"


def test_a_method_that_joins_stands_beside_the_others_which_are_not_explained_again(
    pictures: Path, tmp_path: Path, drawn: dict[str, list[Strip]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config(pictures, maps=2, **SMALL, methods=["gradcam"]), tmp_path / "run")
    before = drawn.pop("figure")
    calls = counted(monkeypatch, Method, "__call__")
    run(config(pictures, maps=2, **SMALL, methods=["gradcam", "reciprocam"]), tmp_path / "run")
    assert {method.title for method, _ in calls} == {"reciprocam"}
    for strip, old in zip(drawn["figure"], before, strict=True):
        assert [panel.title for panel in strip.panels] == ["gradcam", "reciprocam"]
        assert (strip.panels[0].heat == old.panels[0].heat).all()


def test_a_finished_run_draws_other_images_in_other_formats_without_judging_again(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config(pictures, maps=1, **SMALL), tmp_path / "run")
    rows = (tmp_path / "run/per_image.csv").read_bytes()
    calls = counted(monkeypatch, Method, "__call__")
    said = run(config(pictures, maps=2, **SMALL, pictures={"formats": "svg"}), tmp_path / "run")
    assert "holds this run, finished" in said
    assert [method.title for method, _ in calls] == ["gradcam", "reciprocam"]  # the second image alone
    assert [Path(name).suffix for name in names(tmp_path / "run")] == [".png", ".svg", ".svg", ".svg"]
    assert (tmp_path / "run/per_image.csv").read_bytes() == rows
    calls.clear()
    run(config(pictures, maps=2, **SMALL, pictures={"formats": "svg"}), tmp_path / "run")
    assert calls == []


def test_maps_made_again_are_those_that_were_kept(
    pictures: Path, tmp_path: Path, drawn: dict[str, list[Strip]]
) -> None:
    (tmp_path / "maps").mkdir()
    run(config(pictures, maps=2, **SMALL), tmp_path / "run")
    kept = drawn.pop("figure")
    for file in (tmp_path / "run/raw_maps/drawn").rglob("*.safetensors"):
        file.write_bytes(b"damaged")
    run(config(pictures, maps=2, **SMALL, pictures={"dpi": 151}), tmp_path / "run")
    for again, before in zip(drawn["figure"], kept, strict=True):
        for a, b in zip(again.panels, before.panels, strict=True):
            np.testing.assert_allclose(a.heat, b.heat, atol=1e-3)


def test_a_method_that_failed_is_told_under_the_plain_picture(
    pictures: Path, tmp_path: Path, method: Callable, drawn: dict[str, list[Strip]]
) -> None:
    def fails(fp: ForwardPass) -> torch.Tensor:
        raise RuntimeError("no luck")

    method("test-fails", fails)
    run(config(pictures, maps=1, **SMALL, methods=["gradcam", "test-fails"]), tmp_path / "run")
    (found,) = (strips[0] for name, strips in drawn.items() if name != "headings")
    assert found.panels[1].heat is None and found.panels[1].caption == "error: RuntimeError: no luck"
